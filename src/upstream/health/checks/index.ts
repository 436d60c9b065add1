/** The active checks, by the name a config uses. */
import type { CheckDefinition } from "./check.ts";
import { http } from "./http.ts";
import { tcp } from "./tcp.ts";
import { tls } from "./tls.ts";

export const checks: readonly CheckDefinition[] = [http, tcp, tls];

/** The active checks, by the name a config uses. */
import type { CheckDefinition } from "./check.ts";
import { grpc } from "./grpc.ts";
import { http } from "./http.ts";
import { tcp } from "./tcp.ts";
import { tls } from "./tls.ts";

export const checks: readonly CheckDefinition[] = [grpc, http, tcp, tls];

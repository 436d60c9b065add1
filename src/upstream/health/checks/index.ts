/** The active checks, by the name a config uses. */
import type { CheckDefinition } from "./check.ts";

export const checks: readonly CheckDefinition[] = [];

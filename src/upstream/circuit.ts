/** Stops sending to an upstream that fails most of the time, and tries again after a while. Shared by all workers. */
import type { CircuitConfig } from "../config/gateway-config.ts";
import type { StateMemory } from "./endpoint-state.ts";

export const CIRCUIT_SHARED_CELLS = 8;
export const CIRCUIT_TIME_CELLS = 4;

export class Circuit {
  constructor(
    _config: CircuitConfig,
    _memory: StateMemory,
    _cells: { readonly shared: number; readonly times: number },
  ) {}

  /** May an exchange go to the upstream? A probe is counted here. */
  admit(): boolean {
    return true;
  }

  /** Whole seconds until it is worth trying again, at least 1. */
  get retryAfterSeconds(): number {
    return 1;
  }

  succeeded(): void {}

  failed(): void {}
}

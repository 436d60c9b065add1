/** Asks the endpoints of an upstream how they are, and marks them up and down. Runs in the supervisor. */
import type { Log } from "../../base/log.ts";
import type { CheckConfig } from "../../config/gateway-config.ts";
import type { EndpointState } from "../endpoint-state.ts";
import type { Check } from "./checks/check.ts";

export interface HealthCheckerOptions {
  readonly config: CheckConfig;
  readonly check: Check;
  readonly slowStartMs: number;
  readonly log: Log;
}

export interface CheckView {
  readonly passed: boolean;
  readonly reason: string | null;
  readonly at: string;
}

export class HealthChecker {
  constructor(_options: HealthCheckerOptions) {}

  update(_targets: readonly { readonly address: string; readonly state: EndpointState }[]): void {}

  view(_address: string): CheckView | null {
    return null;
  }

  stop(): void {}
}

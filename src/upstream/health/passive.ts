/** What traffic says of endpoints: ejects those that fail, for a while that grows, never too many of them. */
import type { Failure } from "../../base/failure.ts";
import type { PassiveHealthConfig } from "../../config/gateway-config.ts";
import type { Endpoint } from "../endpoint.ts";

export class PassiveHealth {
  constructor(_config: PassiveHealthConfig) {}

  update(_endpoints: readonly Endpoint[]): void {}

  answered(_endpoint: Endpoint, _status: number, _latencyMs: number): void {}

  failed(_endpoint: Endpoint, _failure: Failure): void {}

  /** Ends an ejection whose time is over. @returns true if the endpoint is usable now */
  readmit(_endpoint: Endpoint): boolean {
    return false;
  }
}

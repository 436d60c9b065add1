/** One try at an endpoint, as the log shows it (http/exchange.ts). */
import type { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import type { Attempt } from "../http/exchange.ts";
import type { Endpoint } from "../upstream/endpoint.ts";

export class RelayAttempt implements Attempt {
  readonly endpoint: string;
  readonly hedge = false;
  readonly reused = false;
  readonly startedAt = clock.now;
  connectedAt = 0;
  firstOctetAt = 0;
  readonly status = 0;
  failure: Failure | null = null;

  constructor({ address }: Endpoint) {
    this.endpoint = address;
  }

  /** Since it began. */
  get ageMs(): number {
    return clock.now - this.startedAt;
  }
}

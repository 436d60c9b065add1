/** When an attempt that went wrong is followed by another: `retry` of the config, decided once per route. */
import type { Failure, RetryCause } from "../base/failure.ts";
import { type TimerList, timerList } from "../base/timer.ts";
import type { RetryConfig } from "../config/gateway-config.ts";
import { type BodySource, NO_BODY } from "../http/body.ts";
import { type HttpRequest, isIdempotent } from "../http/message.ts";
import { ReplayBody } from "./replay.ts";

export class RetryRules {
  /** Further attempts at most. */
  readonly attempts: number;
  /** Limit of one attempt until its response head; null: none. */
  readonly attemptTime: TimerList | null;
  readonly #contentOctets: number;
  readonly #anyMethod: boolean;
  readonly #causes: ReadonlySet<RetryCause>;
  readonly #statuses: ReadonlySet<number>;

  constructor({ attempts, on, anyMethod, content, perAttempt }: RetryConfig) {
    this.attempts = attempts;
    this.attemptTime = timerList(perAttempt);
    this.#contentOctets = content;
    this.#anyMethod = anyMethod;
    this.#causes = new Set(on.filter((condition) => typeof condition === "string"));
    this.#statuses = new Set(on.filter((condition) => typeof condition === "number"));
  }

  /** May a request be made twice, although the first one may have been acted on (RFC 9110 §9.2.2)? */
  mayRepeat(method: string): boolean {
    return this.#anyMethod || isIdempotent(method);
  }

  coversFailure(failure: Failure): boolean {
    return this.#causes.has(failure.retry);
  }

  coversStatus(status: number): boolean {
    return this.#statuses.size > 0 && this.#statuses.has(status);
  }

  /** The request's content in a form that can be sent again; null if it has none, or it would be of no use. */
  keepContent({ method, body }: HttpRequest): ReplayBody | null {
    if (body === NO_BODY) return null;
    if (this.#keeps(method, body)) return new ReplayBody(body, this.#contentOctets);
    // With a limit for an attempt it has to be known whether the client is waited for, or the endpoint.
    return this.attemptTime === null ? null : new ReplayBody(body, 0);
  }

  #keeps(method: string, { length }: BodySource): boolean {
    return (
      this.#contentOctets > 0 && (length ?? 0) <= this.#contentOctets && this.attempts > 0 && this.mayRepeat(method)
    );
  }
}

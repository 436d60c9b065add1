/**
 * The end of a route's chain: sends the exchange to an endpoint of an upstream and gives back the
 * response whose content is still flowing. One object per exchange: the response to come itself.
 *
 * It decides what follows an attempt (attempt.ts): the response goes on to the client, another
 * endpoint is tried (retry-rules.ts), or the exchange has failed. There may be two attempts at a
 * time, where hedging is on; the first response wins. Nothing is tried once anything of a final
 * response has gone on.
 */
import { Failure } from "../base/failure.ts";
import { Timer, type TimerList, timerList } from "../base/timer.ts";
import type { HedgeConfig, RetryConfig } from "../config/gateway-config.ts";
import { NO_BODY } from "../http/body.ts";
import type { Handler } from "../http/define.ts";
import type { Exchange } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { grpcTimeoutMs } from "../http/grpc.ts";
import { type HttpResponse, isIdempotent } from "../http/message.ts";
import { PendingResponse } from "../http/pending-response.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { noEndpoint } from "../upstream/no-endpoint.ts";
import type { QueueWaiter } from "../upstream/queue.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import type { Branding } from "./branding.ts";
import { addForwardedFields } from "./forwarded.ts";
import type { ReplayBody } from "./replay.ts";
import { RetryRules } from "./retry-rules.ts";

export interface ForwardSettings {
  readonly upstream: Upstream;
  readonly retry: RetryConfig;
  /** null: no attempt beside another. */
  readonly hedge: HedgeConfig | null;
  /** The external origin this upstream is worked as; null = none. */
  readonly branding: Branding | null;
  /** Is the peer of this exchange a trusted proxy? */
  readonly trusts: (exchange: Exchange) => boolean;
  /** Default limit of a whole exchange, in ms; Infinity = none. */
  readonly exchangeMs: number;
}

/** What is the same for all exchanges of a route. */
interface Plan extends ForwardSettings {
  readonly rules: RetryRules;
  readonly hedgeTime: TimerList | null;
}

/** The handler that forwards to an upstream. */
export function forwardTo(settings: ForwardSettings): Handler {
  const rules = new RetryRules(settings.retry);
  const hedgeTime = settings.hedge === null ? null : timerList(settings.hedge.after);
  const plan: Plan = { ...settings, rules, hedgeTime };
  return (exchange) => {
    exchange.upstream = plan.upstream.name;
    plan.branding?.prepare(exchange);
    addForwardedFields(exchange, plan.trusts(exchange));
    return new Forwarding(exchange, plan).start();
  };
}

/** RFC 9110 §7.6.3, by the version in which the response was received. */
const VIA = {
  "1.0": FieldSection.of({ via: "1.0 lintel" }).seal(),
  "1.1": FieldSection.of({ via: "1.1 lintel" }).seal(),
  "2": FieldSection.of({ via: "2 lintel" }).seal(),
  "3": FieldSection.of({ via: "3 lintel" }).seal(),
} as const;

/** Said by a server that could not do its work: what a circuit breaker counts as a failure. */
const isGatewayError = (status: number): boolean => status >= 502 && status <= 504;

class Forwarding extends PendingResponse implements AttemptOwner, QueueWaiter {
  readonly exchange: Exchange;
  content: ReplayBody | null = null;
  readonly #plan: Plan;
  /** The attempt that is waited for, or that has answered. */
  #attempt: Attempt | null = null;
  /** A second one beside it (hedging). */
  #rival: Attempt | null = null;
  /** Endpoints that are not to be tried (again); null until there is one. */
  #tried: Endpoint[] | null = null;
  #retries = 0;
  /** A stream that an endpoint refused was asked for again at the same one. */
  #askedAgain = false;
  /** How the last attempt failed. */
  #failure: Failure | null = null;
  /** Content has begun to go out. */
  #contentSent = false;
  #waiting: { cancel(): void } | null = null;
  /** What the circuit breaker wants back, once; 0: nothing. */
  #pass = 0;
  #hedged = false;
  #hedgeTimer: Timer | null = null;
  #deadline: Timer | null = null;

  constructor(exchange: Exchange, plan: Plan) {
    super();
    this.exchange = exchange;
    this.#plan = plan;
  }

  get upstream(): Upstream {
    return this.#plan.upstream;
  }

  start(): this {
    const { exchange, upstream } = this;
    const { circuit } = upstream;
    if (circuit !== null) {
      this.#pass = circuit.admit();
      if (this.#pass === 0) {
        this.reject(circuitOpen(upstream.name, circuit.retryAfterSeconds));
        return this;
      }
    }
    upstream.budget.exchange();
    const ownMs = exchange.timeouts?.exchangeMs ?? this.#plan.exchangeMs;
    const limit = timerList(Math.min(ownMs, grpcTimeoutMs(exchange.request.fields)));
    if (limit !== null) {
      this.#deadline = new Timer(() => this.#expired());
      this.#deadline.arm(limit);
    }
    exchange.waitsFor = this;
    const { request } = exchange;
    if (request.body !== NO_BODY) {
      this.content = this.#plan.rules.keepContent(request);
      if (this.content !== null) request.body = this.content;
    }
    const endpoint = upstream.pick(exchange, null);
    if (endpoint !== null) this.#begin(endpoint, false);
    else if (upstream.isFull) this.#wait();
    else this.#giveUp(noEndpoint(upstream));
    return this;
  }

  #begin(endpoint: Endpoint, hedge: boolean): void {
    const attempt = this.#add(endpoint, hedge);
    const { hedgeTime, rules } = this.#plan;
    if (hedgeTime !== null && !this.#hedged && this.#mayHedge()) {
      this.#hedgeTimer ??= new Timer(() => this.#hedge());
      this.#hedgeTimer.arm(hedgeTime);
    }
    attempt.start(rules.attemptTime);
  }

  #add(endpoint: Endpoint, hedge: boolean): Attempt {
    const { exchange } = this;
    const attempt = new Attempt(this, endpoint, hedge);
    if (exchange.attempts === null) exchange.attempts = [attempt];
    else exchange.attempts.push(attempt);
    if (this.#attempt === null) this.#attempt = attempt;
    else this.#rival = attempt;
    return attempt;
  }

  // ── waiting for room at an endpoint ────────────────────────────────────────────────────────

  #wait(): void {
    this.exchange.phase = "queue";
    this.#waiting = this.upstream.wait(this);
    if (this.#waiting !== null) return;
    const { name } = this.upstream;
    this.#giveUp(
      this.#failure ??
        new Failure("queue-full", `upstream ${name}: every endpoint is at its limit, and the queue is full`),
    );
  }

  onRoom(): boolean {
    const { upstream } = this;
    const endpoint = upstream.pick(this.exchange, this.#tried);
    if (endpoint === null && upstream.isFull) return false;
    this.#waiting = null;
    if (endpoint === null) this.#giveUp(this.#failure ?? noEndpoint(upstream));
    else this.#begin(endpoint, false);
    return true;
  }

  onQueueTimeout(): void {
    this.#waiting = null;
    const { name } = this.upstream;
    this.#giveUp(
      this.#failure ?? new Failure("queue-timeout", `upstream ${name}: no endpoint had room within queue.timeout`),
    );
  }

  // ── a second attempt beside the first ──────────────────────────────────────────────────────

  #mayHedge(): boolean {
    const { method, body, upgrade } = this.exchange.request;
    return body === NO_BODY && upgrade === null && isIdempotent(method);
  }

  #hedge(): void {
    const { upstream } = this;
    this.#hedged = true;
    this.#exclude(this.#attempt!.target);
    const endpoint = upstream.pick(this.exchange, this.#tried);
    if (endpoint === null) return;
    if (this.#isWorthIt(endpoint)) this.#begin(endpoint, true);
    else upstream.release(endpoint);
  }

  /** An attempt that is not needed yet goes to a sound endpoint only, and only if the budget has room for it. */
  #isWorthIt(endpoint: Endpoint): boolean {
    return endpoint.state.status === 0 && this.upstream.budget.tryRetry();
  }

  #otherThan(attempt: Attempt): Attempt | null {
    return attempt === this.#attempt ? this.#rival : this.#attempt;
  }

  // ── how attempts go ────────────────────────────────────────────────────────────────────────

  onSending(): void {
    if (this.exchange.request.body !== NO_BODY) this.#contentSent = true;
  }

  onAnswer(attempt: Attempt, response: HttpResponse): void {
    const { status } = response;
    this.upstream.answered(attempt.target, status, attempt.latencyMs);
    if (this.#plan.rules.coversStatus(status) && this.#tryInstead(attempt, response)) return;
    this.#settle(attempt, response);
  }

  /** Drops a response of a status that is to be retried, if there is another endpoint to ask. */
  #tryInstead(attempt: Attempt, response: HttpResponse): boolean {
    const rival = this.#otherThan(attempt);
    if (rival !== null) {
      this.#drop(attempt, response);
      this.#attempt = rival;
      this.#rival = null;
      return true;
    }
    if (!this.#mayTryAgain(true)) return false;
    const { upstream } = this;
    this.#exclude(attempt.target);
    const endpoint = upstream.pick(this.exchange, this.#tried);
    if (endpoint === null) return false;
    if (!this.#isWorthIt(endpoint)) {
      upstream.release(endpoint);
      return false;
    }
    this.#drop(attempt, response);
    this.#attempt = null;
    this.#retries++;
    this.#begin(endpoint, false);
    return true;
  }

  #drop(attempt: Attempt, response: HttpResponse): void {
    const isSent = this.content?.isDelivered ?? !this.#contentSent;
    this.content?.detach();
    attempt.drop(response, isSent);
  }

  /** This response goes on to the client, whatever comes of its content. */
  #settle(attempt: Attempt, response: HttpResponse): void {
    const { branding } = this.#plan;
    const { exchange, upstream } = this;
    this.#otherThan(attempt)?.cancel(null);
    this.#attempt = attempt;
    this.#rival = null;
    this.#hedgeTimer?.cancel();
    try {
      branding?.rewrite(response, exchange);
      upstream.bind(exchange, response, attempt.target);
    } catch (thrown) {
      return this.cancel(Failure.from(thrown));
    }
    response.gatewayFields = VIA[response.receivedVersion];
    this.content?.commit();
    // With the head: a stream that goes on for hours must not keep the circuit waiting.
    if (this.#pass !== 0) this.#tellCircuit(isGatewayError(response.status) ? "failed" : "succeeded");
    exchange.waitsFor = null;
    this.resolve(response);
  }

  onComplete(attempt: Attempt, failure: Failure | null): void {
    this.#deadline?.cancel();
    // A tunnel has no framing: whether its end was a cut is not ours to say.
    if (failure !== null && failure.side === "upstream" && this.exchange.phase !== "tunnel")
      this.upstream.failed(attempt.target, failure, true, attempt.ageMs);
    attempt.release();
  }

  onFailed(attempt: Attempt, failure: Failure): void {
    const { upstream } = this;
    this.content?.detach();
    const rival = this.#otherThan(attempt);
    this.#attempt = rival;
    this.#rival = null;
    if (attempt.wasStale && this.#mayRepeat()) {
      // That an endpoint closed a kept connection says nothing about it: once more, on a fresh one.
      // Not on another kept one: a request that brings the endpoint down would go through them all.
      this.#add(attempt.handOver(), attempt.hedge).startAfresh(this.#plan.rules.attemptTime);
      return;
    }
    if (attempt.wasRefused && !this.#askedAgain && this.#canSendContent()) {
      // RFC 9113 §8.7: nothing was done, whatever the method. Once: the endpoint may mean it.
      this.#askedAgain = true;
      this.#add(attempt.handOver(), attempt.hedge).start(this.#plan.rules.attemptTime);
      return;
    }
    // An endpoint that takes no more streams on a connection is not ill.
    if (failure.side === "upstream" && !attempt.wasStale && !attempt.wasRefused)
      upstream.failed(attempt.target, failure, false, attempt.ageMs);
    attempt.release();
    this.#hedgeTimer?.cancel();
    this.#failure = failure;
    if (rival !== null) return; // That one may still answer.
    if (
      !this.#plan.rules.coversFailure(failure) ||
      !this.#mayTryAgain(attempt.connectedAt > 0 && failure.retry !== "connect")
    )
      return this.#giveUp(failure);
    this.#exclude(attempt.target);
    this.#tryAnother(failure);
  }

  #tryAnother(failure: Failure): void {
    const { upstream } = this;
    const endpoint = upstream.pick(this.exchange, this.#tried);
    if (endpoint === null && !upstream.isFull) return this.#giveUp(failure);
    if (!upstream.budget.tryRetry()) {
      if (endpoint !== null) upstream.release(endpoint);
      return this.#giveUp(failure);
    }
    this.#retries++;
    if (endpoint === null) this.#wait();
    else this.#begin(endpoint, false);
  }

  #exclude(endpoint: Endpoint): void {
    if (this.#tried === null) this.#tried = [endpoint];
    else if (!this.#tried.includes(endpoint)) this.#tried.push(endpoint);
  }

  /** @param reached the endpoint may have acted on the request */
  #mayTryAgain(reached: boolean): boolean {
    return this.#retries < this.#plan.rules.attempts && (reached ? this.#mayRepeat() : this.#canSendContent());
  }

  #mayRepeat(): boolean {
    return this.#plan.rules.mayRepeat(this.exchange.request.method) && this.#canSendContent();
  }

  #canSendContent(): boolean {
    return this.content === null ? !this.#contentSent : this.content.canBeSentAgain;
  }

  // ── ends without a response ────────────────────────────────────────────────────────────────

  #giveUp(failure: Failure): void {
    this.#deadline?.cancel();
    this.#hedgeTimer?.cancel();
    this.content?.release(failure);
    if (this.settled) return;
    this.exchange.waitsFor = null;
    if (this.#pass !== 0) {
      const isUpstreams = failure.side === "upstream" || failure.code === "exchange-timeout";
      this.#tellCircuit(isUpstreams ? "failed" : "abandoned");
    }
    this.reject(failure);
  }

  #tellCircuit(outcome: "succeeded" | "failed" | "abandoned"): void {
    const pass = this.#pass;
    this.#pass = 0;
    this.upstream.circuit?.[outcome](pass);
  }

  /** The exchange was called off before there was a response. */
  cancel(why: Failure): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.cancel();
    this.#attempt?.cancel(why);
    this.#rival?.cancel(why);
    this.#giveUp(why);
  }

  #expired(): void {
    const failure = new Failure("exchange-timeout", "the exchange took longer than its limit");
    if (this.settled) this.#attempt?.stop(failure);
    else this.cancel(failure);
  }
}

function circuitOpen(upstream: string, retryAfterSeconds: number): Failure {
  return new Failure("circuit-open", `upstream ${upstream} has failed too often: its circuit is open`, {
    retryAfterSeconds,
  });
}

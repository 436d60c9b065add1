/**
 * One try at an endpoint: opens or takes a connection, sends the request, and is called back by the
 * connection. It is also the record of the try that log and `explain` show (http/exchange.ts).
 */
import { Failure } from "../base/failure.ts";
import { clock, Timer, type TimerList, timerList } from "../base/timer.ts";
import { type BodySink, type Flow, NO_BODY } from "../http/body.ts";
import type { Attempt as AttemptFacts, Exchange } from "../http/exchange.ts";
import type { FieldSection } from "../http/field-section.ts";
import { StreamReset } from "../http/grpc.ts";
import { type HttpResponse, isIdempotent } from "../http/message.ts";
import {
  type ClientConnection,
  NO_SIGN_OF_LIFE,
  type ResponseTaker,
  type SentRequest,
} from "../protocol/client-connection.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import type { ConnectionTaker, Kept } from "../upstream/pool.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { ReplayBody } from "./replay.ts";

/** Who makes attempts, and hears how each goes. */
export interface AttemptOwner {
  readonly exchange: Exchange;
  readonly upstream: Upstream;
  /** The request goes out now, its content too. */
  onSending(): void;
  /** The request's content where it is kept, or watched; null also if there is none. */
  readonly content: ReplayBody | null;
  onAnswer(attempt: Attempt, response: HttpResponse): void;
  onFailed(attempt: Attempt, failure: Failure): void;
  /** After `onAnswer`: the content is complete (null) or cut. */
  onComplete(attempt: Attempt, failure: Failure | null): void;
}

export class Attempt implements AttemptFacts, ResponseTaker, ConnectionTaker {
  readonly endpoint: string;
  readonly hedge: boolean;
  reused = false;
  readonly startedAt = clock.now;
  connectedAt = 0;
  firstOctetAt = 0;
  status = 0;
  failure: Failure | null = null;

  readonly target: Endpoint;
  readonly #owner: AttemptOwner;
  /** The exchange is counted on the endpoint, and this attempt owes it. */
  #counted = true;
  /** What has been sent, while something may still come of it. */
  #sent: SentRequest | null = null;
  #connecting: { cancel(): void } | null = null;
  #timer: Timer | null = null;

  /** @param target as picked: with the exchange counted on it */
  constructor(owner: AttemptOwner, target: Endpoint, hedge: boolean) {
    this.#owner = owner;
    this.target = target;
    this.endpoint = target.address;
    this.hedge = hedge;
  }

  /**
   * A kept connection had ended before the request came to it: that says nothing about the endpoint. Where the
   * endpoint reset the stream, or is silent, the request did come to it, or may have.
   */
  get wasStale(): boolean {
    const { failure } = this;
    return this.reused && failure?.retry === "reset" && !tellsOfRequest(failure.cause);
  }

  /** The endpoint said that it did not get to this request, on a connection that it is leaving or that is full: it may well on another. */
  get wasRefused(): boolean {
    return this.failure?.code === "upstream-refused";
  }

  /** Since it began. */
  get ageMs(): number {
    return clock.now - this.startedAt;
  }

  /** Connecting, and from the whole request to the response head, in ms: the client's own time is not the endpoint's. */
  get latencyMs(): number {
    const completeAt = this.#sent?.requestCompleteAt ?? 0;
    const clientMs = completeAt === 0 ? 0 : completeAt - this.connectedAt;
    return this.firstOctetAt - this.startedAt - clientMs;
  }

  /** @param limit until the response head */
  start(limit: TimerList | null): void {
    this.#limit(limit);
    const { exchange } = this.#owner;
    const { method, body } = exchange.request;
    const alive = body !== NO_BODY || !isIdempotent(method);
    const kept = this.target.take(exchange, alive);
    if (kept !== null) this.#send(kept, true);
    else this.#connect(alive ? "alive" : "any");
  }

  /** Not on a kept connection. */
  startAfresh(limit: TimerList | null): void {
    this.#limit(limit);
    this.#connect("none");
  }

  #limit(limit: TimerList | null): void {
    if (limit === null) return;
    this.#timer = new Timer(() => this.#expired(limit));
    this.#timer.arm(limit);
  }

  /** Time in which the client sends is not the endpoint's: with the end of the content the limit starts anew. */
  #limitAfter(content: ReplayBody, timer: Timer): void {
    const { list } = timer;
    content.whenDelivered = () => {
      if (list !== null && clock.now > this.connectedAt) timer.arm(list);
    };
  }

  #connect(kept: Kept): void {
    const { exchange, upstream } = this.#owner;
    exchange.phase = "connect";
    const timeoutMs = exchange.timeouts?.connectMs ?? upstream.settings.connectMs;
    this.#connecting = this.target.connect(exchange, timeoutMs, this, kept);
  }

  #send(client: ClientConnection, reused: boolean): void {
    const { exchange, upstream } = this.#owner;
    const { request, timeouts } = exchange;
    const { settings } = upstream;
    this.reused = reused;
    this.connectedAt = clock.now;
    exchange.phase = "first-octet";
    this.#owner.onSending();
    const { content } = this.#owner;
    if (content !== null && this.#timer !== null) this.#limitAfter(content, this.#timer);
    const firstOctet = timerList(timeouts?.firstOctetMs ?? settings.firstOctetMs);
    const idle = timerList(timeouts?.upstreamIdleMs ?? settings.idleMs);
    const sent = client.send(request, this.#authority(), firstOctet, idle, this);
    // Content that was at hand may have shown already that nothing will come of it.
    if (this.failure !== null || !this.#counted) sent.cancel();
    else this.#sent = sent;
  }

  /** Host for the origin server; an HTTP/1.0 client may have given none. */
  #authority(): string {
    const { exchange, upstream } = this.#owner;
    const { host } = upstream.settings;
    const { authority } = exchange.request;
    if (host.kind === "fixed") return host.value;
    if (host.kind === "keep" && authority !== "") return authority;
    return this.endpoint.startsWith("unix:") ? "localhost" : this.endpoint;
  }

  // ── what the connection says ───────────────────────────────────────────────────────────────

  onClient(client: ClientConnection): void {
    this.#connecting = null;
    this.#send(client, false);
  }

  onConnectFailed(failure: Failure): void {
    this.onFailed(failure);
  }

  onInterim(status: number, fields: FieldSection): void {
    this.#owner.exchange.inform(status, fields);
  }

  onResponse(response: HttpResponse): void {
    this.#timer?.cancel();
    this.firstOctetAt = clock.now;
    this.status = response.status;
    this.#owner.onAnswer(this, response);
  }

  onFailed(failure: Failure): void {
    this.#timer?.cancel();
    this.#sent = null;
    this.#connecting = null;
    this.failure = failure;
    this.#owner.onFailed(this, failure);
  }

  onComplete(failure: Failure | null): void {
    if (!this.#counted) return; // Dropped, or called off: nobody's business any more.
    this.#sent = null;
    this.failure = failure;
    this.#owner.onComplete(this, failure);
  }

  #expired(limit: TimerList): void {
    if (this.#sent !== null && this.#owner.content?.isMoving()) return this.#timer!.arm(limit);
    this.#disconnect();
    const ms = limit.durationMs;
    this.onFailed(
      new Failure("upstream-attempt-timeout", `${this.endpoint}: no response within retry.perAttempt of ${ms} ms`),
    );
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  /** Gives the endpoint back, once. */
  release(): void {
    if (!this.#counted) return;
    this.#counted = false;
    this.#owner.upstream.release(this.target);
  }

  /** Another attempt at the same endpoint owes it instead. */
  handOver(): Endpoint {
    this.#counted = false;
    return this.target;
  }

  /** Called off. @param why null: another attempt won */
  cancel(why: Failure | null): void {
    if (!this.#counted) return;
    this.failure = why;
    this.#timer?.cancel();
    this.release();
    this.#disconnect();
  }

  /**
   * Another attempt is made although there is a response.
   * @param requestIsSent else the connection still carries the request
   */
  drop(response: HttpResponse, requestIsSent: boolean): void {
    this.release();
    if (requestIsSent) response.body.sendTo(new Drain(response.body.length));
    else this.#disconnect();
  }

  /** Ends the response where it is. */
  stop(why: Failure): void {
    this.#sent?.stop(why);
  }

  #disconnect(): void {
    const sent = this.#sent;
    const connecting = this.#connecting;
    this.#sent = null;
    this.#connecting = null;
    connecting?.cancel();
    sent?.cancel();
  }
}

const tellsOfRequest = (cause: unknown): boolean => cause instanceof StreamReset || cause === NO_SIGN_OF_LIFE;

/** More than this of a dropped response, or a longer wait for it, is not worth the connection it comes on. */
const DRAIN_OCTETS = 64 * 1024;
const DRAIN_TIME = timerList(1000)!;

/** Takes what is left of a dropped response, so that its connection can be kept; within bounds. */
class Drain implements BodySink {
  readonly #tooMuch: boolean;
  #left = DRAIN_OCTETS;
  #flow: Flow | null = null;
  readonly #timer = new Timer(() => this.#stop());

  constructor(length: number | null) {
    this.#tooMuch = length !== null && length > DRAIN_OCTETS;
  }

  begin(flow: Flow): void {
    this.#flow = flow;
    if (this.#tooMuch) this.#stop();
    else this.#timer.arm(DRAIN_TIME);
  }

  write(octets: Uint8Array): void {
    this.#left -= octets.length;
    if (this.#left < 0) this.#stop();
  }

  end(): void {
    this.#timer.cancel();
  }

  abort(): void {
    this.#timer.cancel();
  }

  #stop(): void {
    this.#timer.cancel();
    this.#flow!.cancel(new Failure("client-closed", "the response was dropped for another attempt"));
  }
}

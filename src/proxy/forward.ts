/**
 * The end of a route's chain: sends the exchange to an endpoint of an upstream and gives back the
 * response whose content is still flowing. One object per exchange: the response to come itself.
 *
 * Another endpoint is tried when the failure says so (base/failure.ts): nothing was sent, or the
 * method is idempotent and there was no content to send again.
 */
import { Failure } from "../base/failure.ts";
import { clock, Timer, timerList } from "../base/timer.ts";
import { NO_BODY } from "../http/body.ts";
import type { Handler } from "../http/define.ts";
import type { Attempt, Exchange } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { type HttpResponse, isIdempotent } from "../http/message.ts";
import { PendingResponse } from "../http/pending-response.ts";
import type { Http1ClientConnection, ResponseTaker } from "../protocol/http1/client.ts";
import type { ConnectionTaker, Endpoint } from "../upstream/endpoint.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Branding } from "./branding.ts";
import { addForwardedFields } from "./forwarded.ts";

export interface ForwardSettings {
  readonly upstream: Upstream;
  /** The external origin this upstream is worked as; null = none. */
  readonly branding: Branding | null;
  /** Is the peer of this exchange a trusted proxy? */
  readonly trusts: (exchange: Exchange) => boolean;
  /** Default limit of a whole exchange, in ms; Infinity = none. */
  readonly exchangeMs: number;
}

/** The handler that forwards to an upstream. */
export function forwardTo(settings: ForwardSettings): Handler {
  return (exchange) => {
    exchange.upstream = settings.upstream.name;
    settings.branding?.prepare(exchange);
    addForwardedFields(exchange, settings.trusts(exchange));
    return new Forwarding(exchange, settings).start();
  };
}

/** RFC 9110 §7.6.3, by the version in which the response was received. */
const VIA = {
  "1.0": FieldSection.of({ via: "1.0 lintel" }).seal(),
  "1.1": FieldSection.of({ via: "1.1 lintel" }).seal(),
  "2": FieldSection.of({ via: "2 lintel" }).seal(),
  "3": FieldSection.of({ via: "3 lintel" }).seal(),
} as const;

class Forwarding extends PendingResponse implements ResponseTaker, ConnectionTaker {
  readonly #exchange: Exchange;
  readonly #settings: ForwardSettings;
  #endpoint: Endpoint | null = null;
  #attempt: Attempt | null = null;
  #client: Http1ClientConnection | null = null;
  #connecting: { cancel(): void } | null = null;
  /** Endpoints that failed; null until one has. */
  #tried: Endpoint[] | null = null;
  #attempts = 0;
  /** Content has begun to go out, so it cannot go out again. */
  #contentSent = false;
  #deadline: Timer | null = null;

  constructor(exchange: Exchange, settings: ForwardSettings) {
    super();
    this.#exchange = exchange;
    this.#settings = settings;
  }

  start(): this {
    const limit = timerList(this.#exchange.timeouts?.exchangeMs ?? this.#settings.exchangeMs);
    if (limit !== null) {
      this.#deadline = new Timer(() => this.#expired());
      this.#deadline.arm(limit);
    }
    this.#exchange.waitsFor = this;
    this.#try();
    return this;
  }

  #try(): void {
    const { upstream } = this.#settings;
    const endpoint = upstream.pick(this.#exchange, this.#tried);
    if (endpoint === null) {
      this.#giveUp(
        this.#attempt?.failure ?? new Failure("no-endpoint", `upstream ${upstream.name} has no endpoint to try`),
      );
      return;
    }
    this.#lease(endpoint);
    const { method, body } = this.#exchange.request;
    const kept = endpoint.takeIdle(body !== NO_BODY || !isIdempotent(method));
    if (kept !== null) this.#send(kept, true);
    else this.#connect(endpoint);
  }

  #lease(endpoint: Endpoint): void {
    const exchange = this.#exchange;
    const now = clock.now;
    const attempt: Attempt = {
      endpoint: endpoint.address,
      reused: false,
      startedAt: now,
      connectedAt: 0,
      firstOctetAt: 0,
      status: 0,
      failure: null,
    };
    if (exchange.attempts === null) exchange.attempts = [attempt];
    else exchange.attempts.push(attempt);
    this.#attempt = attempt;
    this.#endpoint = endpoint;
    this.#attempts++;
    endpoint.inFlight++;
  }

  #release(failure: Failure | null): void {
    const endpoint = this.#endpoint;
    if (endpoint === null) return;
    this.#endpoint = null;
    this.#client = null;
    this.#connecting = null;
    endpoint.inFlight--;
    this.#attempt!.failure = failure;
  }

  #connect(endpoint: Endpoint): void {
    this.#exchange.phase = "connect";
    const connectMs = this.#exchange.timeouts?.connectMs ?? this.#settings.upstream.settings.connectMs;
    this.#connecting = endpoint.connect(connectMs, this);
  }

  onClient(client: Http1ClientConnection): void {
    this.#connecting = null;
    this.#send(client, false);
  }

  onConnectFailed(failure: Failure): void {
    this.#failed(failure);
  }

  #send(client: Http1ClientConnection, reused: boolean): void {
    const exchange = this.#exchange;
    const { request, timeouts } = exchange;
    const { settings } = this.#settings.upstream;
    const attempt = this.#attempt!;
    attempt.reused = reused;
    attempt.connectedAt = clock.now;
    exchange.phase = "first-octet";
    this.#client = client;
    if (request.body !== NO_BODY) this.#contentSent = true;
    const firstOctet = timerList(timeouts?.firstOctetMs ?? settings.firstOctetMs);
    const idle = timerList(timeouts?.upstreamIdleMs ?? settings.idleMs);
    try {
      client.send(request, this.#authority(), firstOctet, idle, this);
    } catch (thrown) {
      this.cancel(Failure.from(thrown)); // A fault of ours ends this exchange, and nothing else.
    }
  }

  /** Host for the origin server; an HTTP/1.0 client may have given none. */
  #authority(): string {
    const { host } = this.#settings.upstream.settings;
    const { authority } = this.#exchange.request;
    if (host.kind === "fixed") return host.value;
    if (host.kind === "keep" && authority !== "") return authority;
    const { address } = this.#endpoint!;
    return address.startsWith("unix:") ? "localhost" : address;
  }

  onInterim(status: number, fields: FieldSection): void {
    this.#exchange.inform(status, fields);
  }

  onResponse(response: HttpResponse): void {
    const attempt = this.#attempt!;
    attempt.firstOctetAt = clock.now;
    attempt.status = response.status;
    try {
      this.#settings.branding?.rewrite(response, this.#exchange);
    } catch (thrown) {
      return this.cancel(Failure.from(thrown));
    }
    response.gatewayFields = VIA[response.receivedVersion];
    this.#exchange.waitsFor = null;
    this.resolve(response);
  }

  onComplete(failure: Failure | null): void {
    this.#deadline?.cancel();
    this.#release(failure);
  }

  onFailed(failure: Failure): void {
    this.#failed(failure);
  }

  #failed(failure: Failure): void {
    const endpoint = this.#endpoint!;
    const stale = this.#attempt!.reused && (failure.code === "upstream-closed" || failure.code === "upstream-reset");
    this.#release(failure);
    if (!this.#mayRetry(failure, stale)) return this.#giveUp(failure);
    if (stale) {
      // That an endpoint closed a kept connection says nothing about it: once more, on a fresh one.
      // Not on another kept one: a request that brings the endpoint down would go through them all.
      this.#attempts--;
      this.#lease(endpoint);
      this.#connect(endpoint);
      return;
    }
    if (this.#tried === null) this.#tried = [endpoint];
    else this.#tried.push(endpoint);
    this.#try();
  }

  #mayRetry(failure: Failure, stale: boolean): boolean {
    if (this.settled || this.#contentSent) return false;
    if (!stale && this.#attempts > this.#settings.upstream.settings.retries) return false;
    return (
      failure.retry === "always" || (failure.retry === "if-idempotent" && isIdempotent(this.#exchange.request.method))
    );
  }

  #giveUp(failure: Failure): void {
    this.#deadline?.cancel();
    if (this.settled) return;
    this.#exchange.waitsFor = null;
    this.reject(failure);
  }

  /** The exchange was called off before there was a response. */
  cancel(why: Failure): void {
    const client = this.#client;
    const connecting = this.#connecting;
    this.#release(why);
    connecting?.cancel();
    client?.cancel();
    this.#giveUp(why);
  }

  #expired(): void {
    const failure = new Failure("exchange-timeout", "the exchange took longer than its limit");
    if (!this.settled) return this.cancel(failure);
    this.#client?.stop(failure);
  }
}

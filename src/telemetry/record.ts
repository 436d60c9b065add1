/**
 * Where a finished exchange is counted and logged, once. Engines know this as the function they
 * call at the end; they know nothing of metrics or logs.
 */
import type { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import { NO_BODY } from "../http/body.ts";
import { type Attempt, type ClientInfo, Exchange } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest } from "../http/message.ts";
import type { AccessLog } from "./access-log.ts";
import type { ClientWatch } from "./client-watch.ts";
import { codeNumber, type GatewayMetrics, methodNumber, statusClass } from "./metrics.ts";
import { RouteCounters } from "./route-counters.ts";

export class ExchangeRecorder {
  #metrics: GatewayMetrics;
  #accessLog: AccessLog | null;
  /** null: nobody will ask which clients are busy. */
  clients: ClientWatch | null = null;

  constructor(metrics: GatewayMetrics, accessLog: AccessLog | null) {
    this.#metrics = metrics;
    this.#accessLog = accessLog;
  }

  /** After a reload: what ends from now on is counted and logged there. */
  use(metrics: GatewayMetrics, accessLog: AccessLog | null): void {
    this.#metrics = metrics;
    this.#accessLog = accessLog;
  }

  /** Exactly once per exchange, when nothing will be sent or received for it any more. */
  record(exchange: Exchange): void {
    this.#count(exchange);
    this.clients?.count(exchange);
    this.#accessLog?.record(exchange);
  }

  /** As `record`, for a connection or a session at layer 4: it is counted by route where it is relayed. */
  recordRelay(exchange: Exchange): void {
    const { attempts, upstream } = exchange;
    if (attempts !== null && upstream !== null) {
      const failures = this.#metrics.upstream(upstream)?.failures;
      for (const { failure } of attempts) if (failure !== null) failures?.add(codeNumber(failure.code), 1);
    }
    this.clients?.count(exchange);
    this.#accessLog?.record(exchange);
  }

  /**
   * A request that never became an exchange, because its head is wrong, too large or too slow.
   * Logged and counted like any other, with what is known of it.
   * @param octetsSeen octets that came of the head; the line shows them as `requestOctets`
   */
  recordMalformed(client: ClientInfo, failure: Failure, octetsSeen: number, startedAt = clock.now): void {
    this.#metrics.malformed.add(codeNumber(failure.code), 1);
    const request = new HttpRequest("", client.tls === null ? "http" : "https", "", "", new FieldSection(), NO_BODY);
    const exchange = new Exchange(client, "HTTP/1.1", request, startedAt);
    exchange.phase = "head";
    exchange.failure = failure;
    this.#count(exchange);
    exchange.requestOctets = octetsSeen; // Not content, so not in the counters of content.
    this.#accessLog?.record(exchange);
  }

  #count(exchange: Exchange): void {
    const metrics = this.#metrics;
    RouteCounters.for(exchange, metrics).count(exchange, clock.now - exchange.startedAt);
    metrics.methods.add(methodNumber(exchange.request.method), 1);
    if (exchange.failure !== null) metrics.failures.add(codeNumber(exchange.failure.code), 1);
    const { attempts, upstream } = exchange;
    if (attempts !== null && upstream !== null) {
      for (let i = 0; i < attempts.length; i++) this.#attempt(upstream, attempts[i]!);
    }
  }

  #attempt(upstreamName: string, attempt: Attempt): void {
    const upstream = this.#metrics.upstream(upstreamName);
    if (upstream === undefined) return;
    if (attempt.failure !== null) upstream.failures.add(codeNumber(attempt.failure.code), 1);
    if (attempt.firstOctetAt === 0) return;
    const firstOctetMs = attempt.firstOctetAt - attempt.startedAt;
    upstream.firstOctet.observe(firstOctetMs);
    const endpoint = upstream.endpoints.get(attempt.endpoint);
    if (endpoint === undefined) return;
    endpoint.requests.add(statusClass(attempt.status), 1);
    endpoint.firstOctet.observe(firstOctetMs);
  }
}

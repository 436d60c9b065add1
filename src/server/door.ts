/**
 * A listening socket of a worker: what comes in by it, what its connections share, and which engine each
 * of them gets.
 */
import type { Chain } from "../base/chain.ts";
import { Failure } from "../base/failure.ts";
import type { Log } from "../base/log.ts";
import { clock, type TimerList, timerList } from "../base/timer.ts";
import type { GatewayConfig, ListenerConfig } from "../config/gateway-config.ts";
import type { ClientInfo, Exchange } from "../http/exchange.ts";
import type { FieldSection } from "../http/field-section.ts";
import type { Scheme } from "../http/message.ts";
import { parseAddress } from "../net/address.ts";
import type { Connection } from "../net/connection.ts";
import { type AcceptHandler, Listener } from "../net/listener.ts";
import type { TcpConnection } from "../net/tcp.ts";
import type { ExchangeHooks } from "../protocol/exchange-hooks.ts";
import { Http1ServerConnection } from "../protocol/http1/server.ts";
import type { Http1ServerSettings } from "../protocol/http1/server-settings.ts";
import { Http2ServerConnection } from "../protocol/http2/server.ts";
import type { Http2ServerSettings } from "../protocol/http2/server-settings.ts";
import type { ServerConnection } from "../protocol/server-connection.ts";
import type { ListenerMetrics } from "../telemetry/metrics.ts";
import type { ExchangeRecorder } from "../telemetry/record.ts";
import type { Certificates } from "./certificates.ts";
import { answerChallenge } from "./challenge.ts";
import { type Arrival, Entrance, type EntranceOwner } from "./entrance.ts";
import type { Generation } from "./generation.ts";

/** What all doors of a worker share. */
export interface DoorParts {
  /** Workers that share the limits of connections. */
  readonly workers: number;
  readonly recorder: ExchangeRecorder;
  readonly log: Log;
  readonly certificates: Certificates;
  /** All that are open. */
  readonly connections: Chain<ServerConnection>;
  /** Those that are not open yet. */
  readonly arrivals: Chain<Arrival>;
  /** One of them is gone. */
  onClosed(): void;
}

/** A client of HTTP/2 has this long to say that it has our settings. */
const SETTINGS_MS = 10_000;

export class Door implements AcceptHandler, ExchangeHooks, EntranceOwner {
  readonly fd: number;
  readonly listener: Listener;
  handle!: ExchangeHooks["handle"];
  #routes!: Generation;
  draining = false;
  readonly #parts: DoorParts;
  readonly #entrance: Entrance;
  #plain!: EngineSettings;
  #secure!: EngineSettings;
  /** For sites with TLS rules of their own: nothing is said of HTTP/3, which may not be able to keep them. */
  #guarded!: EngineSettings;
  #metrics: ListenerMetrics | null = null;
  #log: Log;
  #warnedAt = -Infinity;

  constructor(fd: number, parts: DoorParts) {
    this.fd = fd;
    this.#parts = parts;
    this.#log = parts.log;
    this.#entrance = new Entrance(parts.certificates, parts.arrivals, this);
    this.listener = new Listener(fd, 1, this);
  }

  /** Another config: new connections get its limits, all requests its routes. */
  use(
    listener: ListenerConfig,
    config: GatewayConfig,
    metrics: ListenerMetrics,
    generation: Generation,
    altSvc: FieldSection | null,
  ): void {
    const address = parseAddress(listener.address);
    const { name, tls, proxyProtocol, maxConnections } = listener;
    const log = this.#parts.log.with({ listener: name });
    this.#log = log;
    this.#entrance.use({
      name,
      localAddress: address?.kind === "tcp" ? address.host : "",
      localPort: address?.kind === "tcp" ? address.port : 0,
      tls,
      proxyProtocol,
      log,
      metrics: metrics.arrivals,
    });
    this.#plain = engineSettings(config, "http");
    this.#guarded = engineSettings(config, "https");
    this.#secure = altSvc === null ? this.#guarded : engineSettings(config, "https", altSvc);
    this.#routes = generation;
    this.materialChanged();
    this.listener.deferAccept = listener.deferAccept;
    this.listener.maxConnections = Math.max(1, Math.ceil(maxConnections / this.#parts.workers));
    // Under another name they are counted elsewhere.
    for (let open = this.listener.connections; open > 0; open--) {
      this.#metrics?.active.down();
      metrics.active.up();
    }
    this.#metrics = metrics;
  }

  /** While a CA asks for tokens, they go before all routes; else nothing is between. */
  materialChanged(): void {
    const { handle } = this.#routes;
    const tokens = this.#parts.certificates.store?.material.tokens ?? {};
    this.handle =
      Object.keys(tokens).length === 0 ? handle : (exchange) => answerChallenge(exchange, tokens) ?? handle(exchange);
  }

  /** Accepts no more. */
  shut(): void {
    this.listener.stop();
    this.draining = true;
  }

  onConnection(connection: TcpConnection, peer: string, peerPort: number): void {
    this.#metrics!.accepted.add(1);
    this.#metrics!.active.up();
    this.#entrance.admit(connection, peer, peerPort);
  }

  onEntered(connection: Connection, client: ClientInfo, first: Buffer | null): void {
    const { tls } = client;
    const { http1, http2 } = tls === null ? this.#plain : tls.rules === "" ? this.#secure : this.#guarded;
    const server =
      tls?.alpn === "h2"
        ? new Http2ServerConnection(connection, client, http2, this)
        : new Http1ServerConnection(connection, client, http1, this);
    connection.handler = server;
    this.#parts.connections.add(server);
    if (this.draining) server.drain();
    if (first !== null) server.onOctets(first, first.length);
  }

  onTurnedAway(): void {
    this.#metrics!.active.down();
    this.listener.released();
    this.#parts.onClosed();
  }

  switchToHttp2(from: ServerConnection, connection: Connection, octets: Buffer): void {
    const { client } = from;
    if (client.tls !== null) {
      // Within TLS it is agreed on in the handshake or not spoken (RFC 9113 §3.3).
      const why = new Failure("http-version-unsupported", "HTTP/2 that was not agreed on in the handshake");
      this.malformed(client, why, octets.length);
      connection.close(true);
      return this.closed(from);
    }
    const server = new Http2ServerConnection(connection, client, this.#plain.http2, this);
    connection.handler = server;
    this.#parts.connections.delete(from);
    this.#parts.connections.add(server);
    server.onOctets(octets, octets.length);
  }

  onAcceptPaused(reason: string): void {
    this.#metrics!.pauses.add(1);
    if (clock.now - this.#warnedAt < 10_000) return;
    this.#warnedAt = clock.now;
    const what = reason === "limit" ? "the listener's maxConnections is reached" : `accept failed: ${reason}`;
    this.#log.warn(`${what}; clients wait`, { connections: this.listener.connections });
  }

  finish(exchange: Exchange): void {
    this.#parts.recorder.record(exchange);
    exchange.generation?.finished();
  }

  malformed(client: ClientInfo, failure: Failure, octets: number): void {
    this.#parts.recorder.recordMalformed(client, failure, octets);
  }

  closed(connection: ServerConnection): void {
    this.#parts.connections.delete(connection);
    this.onTurnedAway();
  }

  fault(thrown: unknown): void {
    this.#log.error("a fault in an exchange", {
      error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
    });
  }
}

/** What the connections of a listener share, by what they speak. */
interface EngineSettings {
  readonly http1: Http1ServerSettings;
  readonly http2: Http2ServerSettings;
}

/** @param listenerFields what every client is told */
export function engineSettings(
  { limits, timeouts }: GatewayConfig,
  scheme: Scheme,
  listenerFields: FieldSection | null = null,
): EngineSettings {
  const http1: Http1ServerSettings = {
    scheme,
    head: {
      requestLineOctets: limits.requestLine,
      fieldLineOctets: limits.fieldLine,
      fieldSectionOctets: limits.fieldSection,
      fieldCount: limits.fields,
    },
    content: { trailerOctets: limits.trailers, chunkExtensionOctets: limits.chunkExtensions },
    headTime: timerList(timeouts.head),
    keepAliveTime: timerList(timeouts.keepAlive),
    contentIdleTime: timerList(timeouts.contentIdle),
    sendTime: timerList(timeouts.send),
    continueTime: timerList(timeouts.continue),
    tunnelIdleTime: timerList(timeouts.tunnelIdle),
    contentRate: timeouts.contentRate,
    listenerFields,
  };
  const { streams, streamWindow, connectionWindow, ...floods } = limits.http2;
  const http2: Http2ServerSettings = {
    ...http1,
    trailerOctets: limits.trailers,
    maxStreams: streams,
    streamWindowOctets: streamWindow,
    connectionWindowOctets: connectionWindow,
    floods,
    settingsTime: timerList(SETTINGS_MS),
    maxAgeTimes: spread(timeouts.connectionAge),
  };
  return { http1, http2 };
}

/** A tenth less to a tenth more: connections that began together do not all come back at once. */
function spread(ms: number): TimerList[] {
  if (ms === Number.POSITIVE_INFINITY) return [];
  const lists = [0.9, 0.95, 1, 1.05, 1.1].map((part) => timerList(Math.max(1, Math.round(ms * part))));
  return lists.filter((list) => list !== null);
}

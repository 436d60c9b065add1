/**
 * One UDP address of the process that serves HTTP/3: its sessions, what they share, and the certificates
 * they are shown. The counterpart of a `Door`.
 */
import type { Chain } from "../base/chain.ts";
import type { Failure } from "../base/failure.ts";
import type { Log } from "../base/log.ts";
import type { GatewayConfig, ListenerConfig } from "../config/gateway-config.ts";
import type { ClientInfo, Exchange } from "../http/exchange.ts";
import type { FieldSection } from "../http/field-section.ts";
import { canonicalIp, formatAddress } from "../net/address.ts";
import {
  H3Error,
  listenQuic,
  type QuicAcceptor,
  type QuicHandshake,
  type QuicIdentity,
  type QuicListener,
  type QuicSessionTaker,
  type Session,
} from "../net/quic-runtime.ts";
import type { HandshakeFailure } from "../net/tls-handshake-failure.ts";
import type { ExchangeHooks } from "../protocol/exchange-hooks.ts";
import { runtimeFieldOctets, SPARE_LINES } from "../protocol/http3/head.ts";
import type { HoldBudget } from "../protocol/http3/held-octets.ts";
import { Http3ServerConnection } from "../protocol/http3/server.ts";
import type { Http3ServerSettings } from "../protocol/http3/server-settings.ts";
import type { ServerConnection } from "../protocol/server-connection.ts";
import { handshakeFailureNumber, type ListenerMetrics } from "../telemetry/metrics.ts";
import type { ExchangeRecorder } from "../telemetry/record.ts";
import type { CertificateStore } from "../tls/certificate-store.ts";
import type { Certificates } from "./certificates.ts";
import { engineSettings } from "./door.ts";
import type { Generation } from "./generation.ts";
import type { QuicAddress } from "./ipc.ts";
import { LimitedLog } from "./limited-log.ts";

/** What all of them share. */
export interface QuicDoorParts {
  readonly recorder: ExchangeRecorder;
  readonly log: Log;
  readonly certificates: Certificates;
  /** All sessions. */
  readonly connections: Chain<ServerConnection>;
  readonly held: HoldBudget;
  /** One of them has come or gone. */
  onChanged(): void;
}

/** A port that is still taken is tried again after this time: the process before us may hold it. */
const AGAIN_MS = 500;
/** Of all addresses together. */
const lines = new LimitedLog(20, 10_000);
const LEAST_IDLE_SECONDS = 5;
const MOST_IDLE_SECONDS = 600;

export class QuicDoor implements QuicAcceptor, ExchangeHooks {
  readonly address: QuicAddress;
  handle!: ExchangeHooks["handle"];
  draining = false;
  readonly #parts: QuicDoorParts;
  #log: Log;
  #listener: QuicListener | null = null;
  #config!: ListenerConfig;
  #gateway!: GatewayConfig;
  #settings: Http3ServerSettings | null = null;
  #metrics: ListenerMetrics | null = null;
  #sessions = 0;
  #isOpening = false;
  #again: ReturnType<typeof setTimeout> | undefined;
  #hasWarned = false;
  #hasWarnedOfNames = false;

  constructor(address: QuicAddress, parts: QuicDoorParts) {
    this.address = address;
    this.#parts = parts;
    this.#log = parts.log;
  }

  /**
   * Takes the port; nothing is served before `use`. A port that is taken, or a name without any certificate
   * yet, is tried again later.
   * @throws {Error} if it can never be had
   */
  async open(listener: ListenerConfig, config: GatewayConfig, store: CertificateStore | null): Promise<void> {
    this.#config = listener;
    this.#gateway = config;
    if (this.draining || this.#isOpening || this.#listener !== null) return;
    // This is the try that the timer was for: each would go on with one of its own.
    clearTimeout(this.#again);
    const identities = this.#identities(store);
    if (identities.size === 0) return;
    this.#isOpening = true;
    const { streams, streamWindow, sessionWindow, sessionsPerAddress } = config.limits.http3;
    const { head } = engineSettings(config, "https").http1;
    const { host, port } = this.address;
    try {
      const opened = await listenQuic(
        {
          host,
          port,
          identities,
          maxStreams: streams,
          streamWindowOctets: streamWindow,
          sessionWindowOctets: sessionWindow,
          idleSeconds: idleSeconds(config.timeouts.keepAlive),
          fieldCount: head.fieldCount + SPARE_LINES,
          fieldOctets: runtimeFieldOctets(head),
          maxSessions: listener.maxConnections,
          maxSessionsPerAddress: sessionsPerAddress,
          earlyData: listener.http3?.earlyData ?? false,
        },
        this,
      );
      this.#listener = opened;
      if (this.draining) return opened.destroy();
      if (this.#settings !== null) {
        // What has changed meanwhile found no listener to tell.
        opened.maxSessions = this.#config.maxConnections;
        this.materialChanged();
      }
      if (this.#hasWarned) this.#log.info("HTTP/3 is served now");
    } catch (thrown) {
      this.#failed(thrown as Error);
    } finally {
      this.#isOpening = false;
    }
  }

  #failed({ message }: Error): void {
    const where = `UDP ${formatAddress({ kind: "tcp", host: this.address.host, port: this.address.port })}`;
    if (!message.includes(`(${EADDRINUSE})`)) {
      const hint = message.includes(`(${EACCES})`) ? ": this user may not take ports below 1024" : "";
      throw new Error(`${where} for HTTP/3 of listener ${this.#config.name} cannot be listened on${hint} (${message})`);
    }
    if (!this.#hasWarned)
      this.#log.warn(`${where} is taken: HTTP/3 is served as soon as it is free; until then clients come over TCP`);
    this.#hasWarned = true;
    clearTimeout(this.#again);
    if (!this.draining) this.#again = setTimeout(() => this.#openAgain(), AGAIN_MS);
  }

  #openAgain(): void {
    const { store } = this.#parts.certificates;
    this.open(this.#config, this.#gateway, store).catch((thrown: Error) => this.#log.error(thrown.message));
  }

  /** Another config: new sessions get its limits, all requests its routes. */
  use(
    listener: ListenerConfig,
    config: GatewayConfig,
    metrics: ListenerMetrics,
    { handle }: Generation,
    altSvc: FieldSection | null,
  ): void {
    this.#config = listener;
    this.#gateway = config;
    this.#log = this.#parts.log.with({ listener: listener.name });
    this.handle = handle;
    const { http1, http2 } = engineSettings(config, "https");
    const { trailerOctets, floods } = http2;
    this.#settings = { ...http1, trailerOctets, floods, held: this.#parts.held, listenerFields: altSvc };
    if (this.#listener !== null) this.#listener.maxSessions = listener.maxConnections;
    // Under another name they are counted elsewhere.
    for (let open = this.#sessions; open > 0; open--) {
      this.#metrics?.active.down();
      metrics.active.up();
    }
    this.#metrics = metrics;
    this.materialChanged();
  }

  /** There are other certificates. Sessions that are there go on. */
  materialChanged(): void {
    if (this.#listener === null) return this.#openAgain();
    try {
      this.#listener.use(this.#identities(this.#parts.certificates.store));
    } catch (thrown) {
      this.#log.error(`the certificates for HTTP/3 stay as they are: ${(thrown as Error).message}`);
    }
  }

  #identities(store: CertificateStore | null): ReadonlyMap<string, QuicIdentity> {
    const { names } = this.#gateway.limits.http3;
    const identities = store?.identities(this.#config.name, names) ?? new Map();
    if (identities.size > names && !this.#hasWarnedOfNames) {
      this.#hasWarnedOfNames = true;
      this.#log.warn(
        `there are certificates for more than limits.http3.names of ${names}: HTTP/3 is served for these only`,
      );
    }
    return identities;
  }

  /** Takes nothing new; what is in work is finished, and the port given back then. */
  shut(): void {
    this.draining = true;
    clearTimeout(this.#again);
    this.#listener?.close();
    for (const connection of this.#parts.connections.all()) if (connection.hooks === this) connection.drain();
  }

  /** As if it had never been opened. */
  abandon(): void {
    this.draining = true;
    clearTimeout(this.#again);
    this.#listener?.destroy();
  }

  // ── sessions ───────────────────────────────────────────────────────────────────────────────

  onSession(session: Session, { remoteAddress, remotePort, serverName, cipher }: QuicHandshake): QuicSessionTaker {
    const { name } = this.#config;
    const settings = this.#settings;
    if (settings === null || this.draining) {
      // Prepared, and not in force yet.
      queueMicrotask(() => session.end(H3Error.requestRejected));
      return { onStream: () => REFUSED, onSessionClosed() {} };
    }
    const client: ClientInfo = {
      listener: name,
      peer: canonicalIp(remoteAddress) ?? remoteAddress,
      peerPort: remotePort,
      localAddress: this.address.host,
      localPort: this.address.port,
      tls: {
        version: "TLSv1.3",
        cipher,
        serverName,
        alpn: "h3",
        resumed: false,
        rules: this.#parts.certificates.store?.rulesWithoutClientAuth(name, serverName) ?? "",
        clientCertificate: null,
      },
    };
    const connection = new Http3ServerConnection(session, client, settings, this);
    this.#sessions++;
    this.#metrics!.accepted.add(1);
    this.#metrics!.arrivals?.handshakes.add(1);
    this.#metrics!.active.up();
    this.#parts.connections.add(connection);
    this.#parts.onChanged();
    return connection;
  }

  onHandshakeFailed(reason: string): void {
    const code = failureOf(reason);
    this.#metrics?.arrivals?.failures.add(handshakeFailureNumber(code), 1);
    lines.info(this.#log, "a TLS handshake failed", { code, reason, over: "QUIC" });
  }

  closed(connection: ServerConnection): void {
    this.#sessions--;
    this.#parts.connections.delete(connection);
    this.#metrics!.active.down();
    this.#parts.onChanged();
  }

  finish(exchange: Exchange): void {
    this.#parts.recorder.record(exchange);
    exchange.generation?.finished();
  }

  malformed(client: ClientInfo, failure: Failure, octets: number): void {
    this.#parts.recorder.recordMalformed(client, failure, octets);
  }

  fault(thrown: unknown): void {
    this.#log.error("a fault in an exchange", {
      error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
    });
  }
}

/** From the runtime's words: "QUIC transport error 336 …" is alert 80 of TLS (RFC 9001 §4.8). */
function failureOf(reason: string): HandshakeFailure {
  const error = /transport error (\d+)/.exec(reason)?.[1];
  if (error === undefined) return /timed out/.test(reason) ? "timeout" : "client-left";
  switch (Number(error) - 0x100) {
    // internal_error: the runtime has no other for a name that it does not know.
    case 80:
      return "unknown-name";
    case 120:
      return "no-common-protocol";
    case 40:
      return /timed out/.test(reason) ? "timeout" : "no-common-cipher";
    case 42:
    case 43:
    case 44:
    case 45:
    case 46:
    case 48:
      return "refused-by-client";
    default:
      return "malformed";
  }
}

const EACCES = 13;
const EADDRINUSE = 98;

const REFUSED = {
  onHead() {},
  onContentBegins() {},
  onOctets() {},
  onEnd() {},
  onRoom() {},
  onClosed() {},
};

function idleSeconds(keepAliveMs: number): number {
  return Math.min(MOST_IDLE_SECONDS, Math.max(LEAST_IDLE_SECONDS, Math.ceil(keepAliveMs / 1000)));
}

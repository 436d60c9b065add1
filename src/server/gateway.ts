/**
 * The traffic side of a worker: listeners, their connections, and the generation that answers. A
 * reload prepares everything beside what serves, and then exchanges a few references.
 */
import { Failure } from "../base/failure.ts";
import type { Log } from "../base/log.ts";
import { clock, timerList } from "../base/timer.ts";
import type { GatewayConfig, ListenerConfig } from "../config/gateway-config.ts";
import type { ClientInfo, Exchange } from "../http/exchange.ts";
import { parseAddress } from "../net/address.ts";
import type { Connection } from "../net/connection.ts";
import { libc } from "../net/libc.ts";
import { type AcceptHandler, Listener } from "../net/listener.ts";
import { setQueueBudget, type TcpConnection } from "../net/tcp.ts";
import { type ExchangeHooks, Http1ServerConnection, type Http1ServerSettings } from "../protocol/http1/server.ts";
import { Http2ServerConnection } from "../protocol/http2/server.ts";
import type { Http2ServerSettings } from "../protocol/http2/server-settings.ts";
import type { ServerConnection } from "../protocol/server-connection.ts";
import type { Zone } from "../state/zone.ts";
import type { GatewayMetrics, ListenerMetrics } from "../telemetry/metrics.ts";
import type { ExchangeRecorder } from "../telemetry/record.ts";
import type { EndpointSet } from "../upstream/endpoint-spec.ts";
import { Generation } from "./generation.ts";
import { type PreparedUpstreams, Upstreams } from "./upstreams.ts";

export interface GatewayOptions {
  readonly zone: Zone;
  /** Of this worker in the zone. */
  readonly slot: number;
  /** Workers that share the limits of connections. */
  readonly workers: number;
  readonly recorder: ExchangeRecorder;
  readonly log: Log;
}

/** A socket that is bound and listens already. */
export interface GatewaySocket {
  /** The same over reloads. */
  readonly id: number;
  /** Of the listener. */
  readonly name: string;
  /** null: the gateway has it already. */
  readonly fd: number | null;
}

/** What a reload can change. */
export interface GatewayFacts {
  readonly config: GatewayConfig;
  /** Folder of the config file. */
  readonly directory: string;
  readonly metrics: GatewayMetrics;
  readonly sets: readonly EndpointSet[];
  /** All of them: one that is not among them any more is closed at the commit. */
  readonly sockets: readonly GatewaySocket[];
}

/** Something else to serve, built and waiting. */
export interface PreparedGateway {
  /** Serves it from now on. */
  commit(): void;
  /** Forgets it, and closes the sockets that came with it. */
  abort(): void;
}

/** Open kept connections get this long to send one more request before they are closed (gentle drain). */
const GENTLE_IDLE_MS = 5000;
const LAST_REQUESTS_MS = 100;

/** A client of HTTP/2 has this long to say that it has our settings. */
const SETTINGS_MS = 10_000;

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #upstreams: Upstreams;
  readonly #connections = new Set<ServerConnection>();
  #doors = new Map<number, Door>();
  #generation: Generation | null = null;
  #onEmpty: (() => void) | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#upstreams = new Upstreams(options);
  }

  /** @throws {Error} if it cannot be built; what serves is untouched, and sockets that came with it are closed */
  async prepare(facts: GatewayFacts): Promise<PreparedGateway> {
    const { config, directory, metrics, sets, sockets } = facts;
    let upstreams: PreparedUpstreams | null = null;
    try {
      upstreams = await this.#upstreams.prepare(config, sets, metrics);
      const { log } = this.#options;
      const generation = await Generation.build({ config, directory, upstreams: upstreams.upstreams, log });
      return {
        commit: () => this.#commit(facts, upstreams!, generation),
        abort: () => {
          upstreams!.abort();
          generation.retire();
          closeNew(sockets);
        },
      };
    } catch (thrown) {
      upstreams?.abort();
      closeNew(sockets);
      throw thrown;
    }
  }

  /** The endpoints of one upstream have changed. */
  change(set: EndpointSet): Promise<void> {
    return this.#upstreams.change(set);
  }

  /**
   * Accepts no more, lets what is in flight finish; what is left after the grace time is cut.
   * @param gentle others accept on the same sockets, so idle connections are closed late, when no
   *   request can be on its way any more
   */
  async drain(graceMs: number, gentle: boolean): Promise<void> {
    for (const door of this.#doors.values()) door.shut();
    // A request may be on its way on a kept connection: it is read before the idle ones are closed.
    const lastMs = Math.min(graceMs, gentle ? GENTLE_IDLE_MS : LAST_REQUESTS_MS);
    const grace = graceMs === Infinity ? null : graceMs;
    await this.#empty(lastMs);
    for (const connection of [...this.#connections]) connection.drain();
    await this.#empty(grace === null ? null : grace - lastMs);
    for (const connection of [...this.#connections])
      connection.terminate(new Failure("shutting-down", "the drain time is over"));
    this.#upstreams.close();
    this.#generation?.retire();
  }

  /** Settles when no connection is left, or the time is over. */
  async #empty(withinMs: number | null): Promise<void> {
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (withinMs !== null) setTimeout(resolve, withinMs);
    });
    this.#onEmpty = null;
  }

  #commit({ config, metrics, sockets }: GatewayFacts, upstreams: PreparedUpstreams, generation: Generation): void {
    upstreams.commit();
    setQueueBudget(config.limits.queued);
    const before = this.#generation;
    const doors = new Map<number, Door>();
    for (const { id, name, fd } of sockets) {
      const listener = config.listeners.find((one) => one.name === name)!;
      const door = fd === null ? this.#doors.get(id)! : new Door(fd, this.#options, this.#connections, this.#closed);
      door.use(listener, config, metrics.listener(name), generation);
      doors.set(id, door);
    }
    for (const [id, door] of this.#doors) if (!doors.has(id)) this.#remove(door);
    for (const [id, door] of doors) if (!this.#doors.has(id)) door.listener.start();
    this.#doors = doors;
    this.#generation = generation;
    before?.retire();
  }

  /** Its connections finish; they are closed when no request can be on its way any more. */
  #remove(door: Door): void {
    door.shut();
    libc.close(door.fd);
    setTimeout(() => {
      for (const connection of [...this.#connections]) if (connection.hooks === door) connection.drain();
    }, GENTLE_IDLE_MS);
  }

  readonly #closed = (): void => {
    if (this.#connections.size === 0) this.#onEmpty?.();
  };
}

function closeNew(sockets: readonly GatewaySocket[]): void {
  for (const { fd } of sockets) if (fd !== null) libc.close(fd);
}

/** A listening socket with what its connections share. */
class Door implements AcceptHandler, ExchangeHooks {
  readonly fd: number;
  readonly listener: Listener;
  handle!: ExchangeHooks["handle"];
  draining = false;
  readonly #workers: number;
  readonly #recorder: ExchangeRecorder;
  readonly #connections: Set<ServerConnection>;
  readonly #onClosed: () => void;
  readonly #programLog: Log;
  #name = "";
  #localAddress = "";
  #localPort = 0;
  #settings!: Http1ServerSettings;
  #http2Settings!: Http2ServerSettings;
  #metrics: ListenerMetrics | null = null;
  #log: Log;
  #warnedAt = -Infinity;

  constructor(
    fd: number,
    { workers, recorder, log }: GatewayOptions,
    connections: Set<ServerConnection>,
    onClosed: () => void,
  ) {
    this.fd = fd;
    this.#workers = workers;
    this.#recorder = recorder;
    this.#programLog = log;
    this.#log = log;
    this.#connections = connections;
    this.#onClosed = onClosed;
    this.listener = new Listener(fd, 1, this);
  }

  /** Another config: new connections get its limits, all requests its routes. */
  use(listener: ListenerConfig, config: GatewayConfig, metrics: ListenerMetrics, { handle }: Generation): void {
    const address = parseAddress(listener.address);
    this.#name = listener.name;
    this.#localAddress = address?.kind === "tcp" ? address.host : "";
    this.#localPort = address?.kind === "tcp" ? address.port : 0;
    this.#settings = serverSettings(config);
    this.#http2Settings = http2Settings(config, this.#settings);
    this.#log = this.#programLog.with({ listener: listener.name });
    this.handle = handle;
    this.listener.maxConnections = Math.max(1, Math.ceil(listener.maxConnections / this.#workers));
    // Under another name they are counted elsewhere.
    for (let open = this.listener.connections; open > 0; open--) {
      this.#metrics?.active.down();
      metrics.active.up();
    }
    this.#metrics = metrics;
  }

  /** Accepts no more. */
  shut(): void {
    this.listener.stop();
    this.draining = true;
  }

  onConnection(connection: TcpConnection, peer: string, peerPort: number): void {
    const client: ClientInfo = {
      listener: this.#name,
      peer,
      peerPort,
      localAddress: this.#localAddress,
      localPort: this.#localPort,
      tls: null,
    };
    const server = new Http1ServerConnection(connection, client, this.#settings, this);
    connection.handler = server;
    this.#connections.add(server);
    this.#metrics!.accepted.add(1);
    this.#metrics!.active.up();
  }

  switchToHttp2(from: ServerConnection, connection: Connection, octets: Buffer): void {
    const server = new Http2ServerConnection(connection, from.client, this.#http2Settings, this);
    connection.handler = server;
    this.#connections.delete(from);
    this.#connections.add(server);
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
    this.#recorder.record(exchange);
    exchange.generation?.finished();
  }

  malformed(client: ClientInfo, failure: Failure, octets: number): void {
    this.#recorder.recordMalformed(client, failure, octets);
  }

  closed(connection: ServerConnection): void {
    this.#connections.delete(connection);
    this.#metrics!.active.down();
    this.listener.released();
    this.#onClosed();
  }

  fault(thrown: unknown): void {
    this.#log.error("a fault in an exchange", {
      error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
    });
  }
}

/** What the connections of a listener share. */
export function serverSettings({ limits, timeouts }: GatewayConfig): Http1ServerSettings {
  return {
    scheme: "http",
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
  };
}

/** What the connections of a listener share that speak HTTP/2. */
function http2Settings({ limits }: GatewayConfig, http1: Http1ServerSettings): Http2ServerSettings {
  const { streams, streamWindow, connectionWindow, ...floods } = limits.http2;
  return {
    ...http1,
    trailerOctets: limits.trailers,
    maxStreams: streams,
    streamWindowOctets: streamWindow,
    connectionWindowOctets: connectionWindow,
    floods,
    settingsTime: timerList(SETTINGS_MS),
    maxAgeTime: null,
  };
}

/** A socket of an entry of `tcp` in a worker: what comes in by it, its limits, and what its connections share. */
import { Chain } from "../base/chain.ts";
import { Failure } from "../base/failure.ts";
import type { Log } from "../base/log.ts";
import { clock, timerList } from "../base/timer.ts";
import type { TcpConfig } from "../config/relay-config.ts";
import type { ClientInfo, Exchange } from "../http/exchange.ts";
import type { Connection } from "../net/connection.ts";
import { type AcceptHandler, Listener } from "../net/listener.ts";
import { localAddressOf } from "../net/local-address.ts";
import type { TcpConnection } from "../net/tcp.ts";
import { relayExchange } from "../relay/relay-exchange.ts";
import type { RelayRoutes } from "../relay/routes.ts";
import { type RelayTarget, TcpRelay, type TcpRelayOwner, type TcpRelaySettings } from "../relay/tcp-relay.ts";
import { codeNumber, type ListenerMetrics } from "../telemetry/metrics.ts";
import type { RelayMetrics, RelayRouteMetrics } from "../telemetry/relay-metrics.ts";
import { Entrance, type EntranceOwner } from "./entrance.ts";
import type { RelayParts } from "./relays.ts";

type TcpDoorMetrics = RelayMetrics & { readonly listener: ListenerMetrics };

const NO_ROUTES: RelayMetrics["routes"] = new Map();

export class TcpDoor implements AcceptHandler, EntranceOwner, TcpRelayOwner {
  readonly fd: number;
  readonly #parts: RelayParts;
  readonly #listener: Listener;
  readonly #entrance: Entrance;
  readonly #relays = new Chain<TcpRelay>();
  /** Connections by address of the client, where they are limited. */
  readonly #clients = new Map<string, number>();
  #maxPerClient = Infinity;
  #settings!: TcpRelaySettings;
  /** null: of what is still open nothing is counted any more. */
  #metrics: TcpDoorMetrics | null = null;
  #log: Log;
  #warnedAt = -Infinity;

  constructor(fd: number, parts: RelayParts) {
    this.fd = fd;
    this.#parts = parts;
    this.#log = parts.log;
    this.#listener = new Listener(fd, 1, this);
    this.#entrance = new Entrance(parts.certificates, parts.arrivals, this);
  }

  /** Another config: what is relayed already goes on, new connections get its routes and limits. */
  use(entry: TcpConfig, routes: RelayRoutes<RelayTarget>, metrics: TcpDoorMetrics): void {
    const { name, tls, proxyProtocol, timeouts } = entry;
    const log = this.#parts.log.with({ listener: name });
    const { host, port } = localAddressOf(this.fd);
    this.#log = log;
    this.#settings = {
      routes,
      helloTime: timerList(timeouts.hello),
      idleTime: timerList(timeouts.idle),
      halfClosedTime: timerList(timeouts.halfClosed),
    };
    this.#maxPerClient = entry.maxPerClient;
    this.#entrance.use({
      name,
      localAddress: host,
      localPort: port,
      tls,
      proxyProtocol,
      log,
      metrics: metrics.listener.arrivals,
    });
    this.#listener.maxConnections = Math.max(1, Math.ceil(entry.maxConnections / this.#parts.workers));
    this.#countOpenIn(metrics);
  }

  start(): void {
    this.#listener.start();
  }

  get open(): number {
    return this.#relays.size;
  }

  /** Accepts no more. */
  shut(): void {
    this.#listener.stop();
  }

  /** The config does not have it any more: nothing of it is counted as open. */
  retire(): void {
    this.shut();
    this.#countOpenIn(null);
  }

  /** Under another config they are counted elsewhere; null: nowhere. */
  #countOpenIn(next: TcpDoorMetrics | null): void {
    for (let open = this.#listener.connections; open > 0; open--) {
      this.#metrics?.listener.active.down();
      next?.listener.active.up();
    }
    for (const relay of this.#relays.all()) relay.useMetrics(next?.routes ?? NO_ROUTES);
    this.#metrics = next;
  }

  /** Whoever has not begun to speak has nothing to lose. */
  drain(): void {
    for (const relay of this.#relays.all()) if (relay.isIdle) relay.terminate(shuttingDown());
  }

  terminate(): void {
    for (const relay of this.#relays.all()) relay.terminate(shuttingDown());
  }

  onConnection(connection: TcpConnection, peer: string, peerPort: number): void {
    this.#metrics?.listener.accepted.add(1);
    this.#metrics?.listener.active.up();
    this.#entrance.admit(connection, peer, peerPort);
  }

  onEntered(connection: Connection, client: ClientInfo, first: Buffer | null): void {
    if (!this.#admits(client.peer)) {
      connection.destroy(true);
      const exchange = relayExchange("TCP", client);
      exchange.failure = new Failure("too-many-connections", `${client.peer} has ${this.#maxPerClient} already`);
      this.#record(exchange, null);
      return this.onTurnedAway();
    }
    const relay = new TcpRelay(connection, client, first, clock.now, this.#settings, this);
    this.#relays.add(relay);
    relay.start();
  }

  #admits(client: string): boolean {
    const open = this.#clients.get(client) ?? 0;
    if (open >= this.#maxPerClient) return false;
    this.#clients.set(client, open + 1);
    return true;
  }

  onTurnedAway(): void {
    this.#metrics?.listener.active.down();
    this.#listener.released();
    this.#parts.onClosed();
  }

  onRelayed(relay: TcpRelay, exchange: Exchange, metrics: RelayRouteMetrics | null): void {
    this.#relays.delete(relay);
    const { peer } = exchange.client;
    const open = this.#clients.get(peer)! - 1;
    if (open === 0) this.#clients.delete(peer);
    else this.#clients.set(peer, open);
    this.#record(exchange, metrics);
    this.onTurnedAway();
  }

  #record(exchange: Exchange, metrics: RelayRouteMetrics | null): void {
    metrics?.duration.observe(clock.now - exchange.startedAt);
    if (exchange.failure !== null) this.#metrics?.failures.add(codeNumber(exchange.failure.code), 1);
    this.#parts.recorder.recordRelay(exchange);
  }

  onAcceptPaused(reason: string): void {
    this.#metrics?.listener.pauses.add(1);
    if (clock.now - this.#warnedAt < 10_000) return;
    this.#warnedAt = clock.now;
    const what = reason === "limit" ? "maxConnections is reached" : `accept failed: ${reason}`;
    this.#log.warn(`${what}; clients wait`, { connections: this.#listener.connections });
  }

  fault(thrown: unknown): void {
    this.#log.error("a fault in a connection", {
      error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
    });
  }
}

const shuttingDown = (): Failure => new Failure("shutting-down", "the drain time is over");

/**
 * The datagrams of one listening socket: each client (address and port) has a session with one
 * endpoint, which has a socket of its own, so that answers find their way back.
 *
 * A session is over after a silence, after the answers it expects (`responses`), or when the network
 * says that its endpoint is not there; the client's next datagram begins another. There are never more
 * than `maxSessions`: at that bound the oldest one that nobody has answered makes room, so whoever sends from
 * made-up addresses takes nothing from clients that are served.
 */
import { Chain } from "../base/chain.ts";
import { Failure } from "../base/failure.ts";
import type { Log } from "../base/log.ts";
import { Table } from "../base/table.ts";
import { clock, type TimerList, timerList } from "../base/timer.ts";
import type { ClientInfo, Exchange } from "../http/exchange.ts";
import { sockaddrHost, sockaddrPort } from "../net/address.ts";
import { localAddressOf } from "../net/local-address.ts";
import { type DatagramHandler, DatagramListener, datagramHash, type ReceivedDatagram } from "../net/udp.ts";
import { codeNumber } from "../telemetry/metrics.ts";
import { DROPS, type UdpMetrics } from "../telemetry/relay-metrics.ts";
import { relayExchange } from "./relay-exchange.ts";
import type { RelayRoutes } from "./routes.ts";
import type { RelayTarget } from "./tcp-relay.ts";
import { UdpSession, type UdpSessionOwner } from "./udp-session.ts";

export interface UdpRelaySettings {
  /** Of the entry. */
  readonly name: string;
  readonly routes: RelayRoutes<RelayTarget>;
  readonly metrics: UdpMetrics;
  /** In this worker. */
  readonly maxSessions: number;
  readonly maxPerClient: number;
  /** Answers to each datagram, after which a session is over; null: only silence ends it. */
  readonly responses: number | null;
  readonly idleTime: TimerList;
  readonly log: Log;
}

export interface UdpRelayOwner {
  /** A session is over. */
  onSessionOver(exchange: Exchange): void;
}

type Drop = (typeof DROPS)[number];

const NO_ROUTES: UdpMetrics["routes"] = new Map();

/** Sessions that are drained end after such a silence. */
const DRAIN_TIME = timerList(2000)!;
const WARN_EVERY_MS = 10_000;

export class UdpRelay implements DatagramHandler, UdpSessionOwner {
  readonly fd: number;
  readonly #owner: UdpRelayOwner;
  readonly #listener: DatagramListener;
  readonly #sessions = new Table<number | string, UdpSession>(datagramHash);
  /** Those that have had no answer, oldest first. */
  readonly #unanswered = new Chain<UdpSession>();
  /** Sessions by address of the client, where they are limited. */
  readonly #clients = new Map<string, number>();
  #settings!: UdpRelaySettings;
  /** Counts the configs. */
  #config = 0;
  /** null: of what is still open nothing is counted any more. */
  #metrics: UdpMetrics | null = null;
  #port = 0;
  #host = "";
  #closing = false;
  #closed = false;
  #warnedAt = -Infinity;

  constructor(fd: number, owner: UdpRelayOwner) {
    this.fd = fd;
    this.#owner = owner;
    this.#listener = new DatagramListener(fd, this);
  }

  /** Another config: sessions whose endpoint it still has go on. */
  use(settings: UdpRelaySettings): void {
    const { host, port } = localAddressOf(this.fd);
    this.#host = host;
    this.#port = port;
    this.#settings = settings;
    this.#config++;
    this.#countOpenIn(settings.metrics);
  }

  get open(): number {
    return this.#sessions.size;
  }

  start(): void {
    this.#listener.start();
  }

  /** Takes no more datagrams of clients; answers still go to them. */
  shut(): void {
    this.#listener.stop();
    this.#closing = true;
    this.#closeIfOver();
  }

  /** The config does not have it any more: nothing of it is counted as open. */
  retire(): void {
    this.#countOpenIn(null);
    this.shut();
    this.drain();
  }

  /** A session has no end of its own: a short silence is one. */
  drain(): void {
    for (const session of this.#sessions.all()) session.shorten(DRAIN_TIME);
  }

  terminate(): void {
    for (const session of this.#sessions.all())
      session.end(session.isAnswered ? null : new Failure("shutting-down", "the drain time is over"));
  }

  onDatagram(datagram: ReceivedDatagram): void {
    this.#metrics?.receivedDatagrams.add(1);
    const known = this.#sessions.get(datagram.key);
    if (known === null) return this.#begin(datagram);
    if (known.leadsSomewhere && (known.config === this.#config || this.#mayStay(known))) return known.send(datagram);
    known.end(null);
    this.#begin(datagram);
  }

  /** Under another config. @returns false if the client would not come to its endpoint any more */
  #mayStay(session: UdpSession): boolean {
    const route = this.#settings.routes.find(null, session.client);
    return route !== null && session.join(route.target, this.#config);
  }

  #begin(datagram: ReceivedDatagram): void {
    const { name, routes, maxSessions, maxPerClient, idleTime, responses } = this.#settings;
    const peer = datagram.peer();
    const address = sockaddrHost(peer.sockaddr);
    if (maxPerClient !== Infinity && (this.#clients.get(address) ?? 0) >= maxPerClient) return this.#drop("client");
    if (this.#sessions.size >= maxSessions && !this.#makeRoom()) return this.#drop("sessions");
    const client: ClientInfo = {
      listener: name,
      peer: address,
      peerPort: sockaddrPort(peer.sockaddr),
      localAddress: this.#host,
      localPort: this.#port,
      tls: null,
    };
    const route = routes.find(null, address);
    if (route === null) return this.#drop("route");
    const exchange = relayExchange("UDP", client);
    exchange.route = route.name;
    const session = new UdpSession(datagram.key, exchange, route.target, { responses, idleTime }, this.#config, this);
    const problem = session.open(this.#listener, peer);
    if (problem !== null) return this.#drop("endpoint", problem);
    this.#sessions.add(datagram.key, session);
    this.#unanswered.add(session);
    this.#clients.set(address, (this.#clients.get(address) ?? 0) + 1);
    this.#metrics?.active.up();
    route.target.metrics.begun.add(1);
    session.send(datagram);
  }

  /** At the bound. @returns false if every session has been answered */
  #makeRoom(): boolean {
    const session = this.#unanswered.first;
    if (session === null) return false;
    session.end(new Failure("too-many-connections", "maxSessions is reached, and nobody has answered it yet"));
    this.#warn("maxSessions is reached: sessions without an answer make room for new ones");
    return true;
  }

  #drop(reason: Drop, failure: Failure | null = null): void {
    this.#metrics?.dropped.add(DROPS.indexOf(reason), 1);
    if (failure !== null) this.#metrics?.failures.add(codeNumber(failure.code), 1);
    this.#warn(`datagrams are dropped: ${failure?.message ?? DROP_REASONS[reason]}`);
  }

  #warn(message: string): void {
    if (clock.now - this.#warnedAt < WARN_EVERY_MS) return;
    this.#warnedAt = clock.now;
    this.#settings.log.warn(message, { sessions: this.#sessions.size });
  }

  onUnsent(count: number, error: string): void {
    this.#metrics?.dropped.add(DROPS.indexOf("unsent"), count);
    this.#warn(`datagrams to clients could not be sent: ${error}`);
  }

  fault(thrown: unknown): void {
    this.#settings.log.error("a fault in a session", {
      error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
    });
  }

  onFirstAnswer(session: UdpSession): void {
    this.#unanswered.delete(session);
  }

  onAnswered(count: number): void {
    this.#metrics?.sentDatagrams.add(count);
  }

  onOver(session: UdpSession, exchange: Exchange): void {
    this.#sessions.delete(session.key);
    this.#unanswered.delete(session);
    this.#metrics?.active.down();
    const { peer } = exchange.client;
    const left = this.#clients.get(peer)! - 1;
    if (left === 0) this.#clients.delete(peer);
    else this.#clients.set(peer, left);
    if (exchange.failure !== null) this.#metrics?.failures.add(codeNumber(exchange.failure.code), 1);
    this.#closeIfOver();
    this.#owner.onSessionOver(exchange);
  }

  /** Under another config they are counted elsewhere; null: nowhere. */
  #countOpenIn(next: UdpMetrics | null): void {
    for (const session of this.#sessions.all()) {
      this.#metrics?.active.down();
      next?.active.up();
      session.useMetrics(next?.routes ?? NO_ROUTES);
    }
    this.#metrics = next;
  }

  /** The socket is needed until the last answer. */
  #closeIfOver(): void {
    if (!this.#closing || this.#closed || this.#sessions.size > 0) return;
    this.#closed = true;
    this.#listener.close();
  }
}

const DROP_REASONS: Readonly<Record<Drop, string>> = {
  sessions: "maxSessions is reached",
  client: "a client has maxPerClient sessions",
  route: "no route takes their client",
  endpoint: "there is no endpoint",
  unsent: "they cannot be sent",
};

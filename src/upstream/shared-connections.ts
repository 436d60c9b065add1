/**
 * Connections of HTTP/2 to an endpoint, each for many exchanges at one time. An exchange gets the
 * first that has room for it; if there is none it waits, and as many more are opened as those who
 * wait need. So one connection serves until its streams are used up, and those that a peak needed
 * become idle after it.
 *
 * Over TLS the endpoint says which protocol it speaks (ALPN). Until that is known one connection is
 * opened, and the others wait for the answer; if it is HTTP/1.1, each gets a connection of its own.
 *
 * RFC 9113 §3.2 (TLS), §3.3 (prior knowledge), §6.8 (GOAWAY), §9.1; RFC 8441 (WebSocket).
 */
import { Chain, Member } from "../base/chain.ts";
import { Failure } from "../base/failure.ts";
import { Timer, type TimerList, timerList } from "../base/timer.ts";
import type { HttpRequest } from "../http/message.ts";
import type { Connection } from "../net/connection.ts";
import type { ClientConnection } from "../protocol/client-connection.ts";
import { Http2ClientConnection, type Http2ClientOwner } from "../protocol/http2/client.ts";
import type { EndpointObserver, EndpointSettings, Http2Settings } from "./endpoint-settings.ts";
import type { ConnectionTaker, Kept, Pool } from "./pool.ts";

class Shared extends Member {
  readonly client: Http2ClientConnection;
  /** How many were opened before it. */
  readonly number: number;
  /** It carries no stream, and is counted as idle. */
  isIdle = false;
  /** Without the endpoint's settings nobody but the first gets it: it must not stand in the way of another one. */
  readonly settingsTimer: Timer;

  constructor(client: Http2ClientConnection, number: number) {
    super();
    this.client = client;
    this.number = number;
    this.settingsTimer = new Timer(() => client.retire());
  }
}

/** A connection that is being opened. */
class Dial extends Member {
  opening: { cancel(): void } | null = null;
}

const SETTINGS_TIME = timerList(5000)!;

export class SharedConnections implements Http2ClientOwner {
  readonly #settings: EndpointSettings;
  readonly #http2: Http2Settings;
  readonly #pool: Pool;
  readonly #observer: EndpointObserver;
  readonly #idleTime: TimerList | null;
  /** Those that take streams, the first that was opened first. */
  #usable: Shared[] = [];
  /** Those too that are leaving. */
  readonly #all = new Chain<Shared>();
  readonly #dials = new Chain<Dial>();
  /** In the order they came. */
  readonly #waiters = new Chain<Waiter>();
  /** What the last connection spoke. */
  #spoken: "h2" | "http/1.1" | null = null;
  /** Whether the last one took WebSockets. */
  #takesTunnels: boolean | null = null;
  /** Streams that the last one took at one time. */
  #streams: number;
  #isServing = false;
  /** Connections so far. */
  #count = 0;

  constructor(settings: EndpointSettings, http2: Http2Settings, pool: Pool, observer: EndpointObserver) {
    this.#settings = settings;
    this.#http2 = http2;
    this.#pool = pool;
    this.#observer = observer;
    this.#idleTime = timerList(settings.idleTimeMs);
    this.#streams = http2.client.maxStreams;
  }

  get isEmpty(): boolean {
    return this.#all.size === 0 && this.#dials.size === 0 && this.#waiters.size === 0;
  }

  /** May this request go over a connection of HTTP/1.1 that is there? */
  allowsHttp1({ upgrade }: HttpRequest): boolean {
    return !this.#http2.isRequired || upgrade !== null;
  }

  /** A connection with room for the request; null if there is none. @param alive see `Pool.take` */
  take({ upgrade }: HttpRequest, alive: boolean): ClientConnection | null {
    const usable = this.#usable;
    for (let i = 0; i < usable.length; i++) {
      const one = usable[i]!;
      const { client } = one;
      // Before its settings are known, too many streams would only be refused: one at most, for who waited for it.
      if (!client.isReady || client.capacity === 0 || !this.#suits(client, upgrade !== null)) continue;
      if (alive && hasNews(one)) continue;
      this.#use(one);
      return client;
    }
    return null;
  }

  /** Waits for a connection with room. The taker hears of it later, never from within. */
  wait(isTunnel: boolean, timeoutMs: number, taker: ConnectionTaker, kept: Kept): { cancel(): void } {
    if (isTunnel && this.#takesTunnels === false && this.#canFallBack) return this.#pool.connectHttp1(timeoutMs, taker);
    const waiter = new Waiter(isTunnel, kept, this.#count, timeoutMs, this.#limitOf(timeoutMs), taker, this);
    this.#waiters.add(waiter);
    queueMicrotask(() => this.#serve());
    return waiter;
  }

  /** Connecting to each of its addresses, and then the handshake. */
  #limitOf(timeoutMs: number): TimerList | null {
    const { sockaddrs } = this.#pool.owner;
    return timerList(timeoutMs * Math.max(1, sockaddrs.length) + (this.#settings.tls?.client.handshakeTimeoutMs ?? 0));
  }

  /** @param isTunnel it asks for an upgrade, which needs extended CONNECT; if it can go over HTTP/1.1 it does */
  #suits(client: Http2ClientConnection, isTunnel: boolean): boolean {
    return !isTunnel || client.offersTunnels || !this.#canFallBack;
  }

  /** Without TLS there is nobody to ask for HTTP/1.1. */
  get #canFallBack(): boolean {
    return this.#settings.tls !== null;
  }

  #use(one: Shared): void {
    if (!one.isIdle) return;
    one.isIdle = false;
    this.#pool.owner.idleConnections--;
    this.#observer.becameActive();
  }

  // ── those who wait ─────────────────────────────────────────────────────────────────────────

  /** Gives those who wait what there is, and opens what they need beyond that. */
  #serve(): void {
    // From within: the loop below goes on with whatever has become of it.
    if (this.#isServing) return;
    this.#isServing = true;
    let waiter = this.#waiters.first;
    while (waiter !== null) {
      const one = this.#roomFor(waiter);
      const { next }: Waiter = waiter;
      if (one !== null) {
        this.#use(one);
        this.#waiters.delete(waiter);
        waiter.give(one.client);
      } else if (!waiter.isParticular || !this.#usable.some(({ client }) => client.capacity > 0)) break;
      // The next one may have left meanwhile.
      waiter = next === null || this.#waiters.has(next) ? next : this.#waiters.first;
    }
    this.#isServing = false;
    this.#openMore();
  }

  #roomFor(waiter: Waiter): Shared | null {
    const { isTunnel, kept } = waiter;
    for (const one of this.#usable) {
      const { client } = one;
      if (client.capacity === 0) continue;
      // The first request need not wait for the settings, unless it depends on them.
      if (client.isReady ? !this.#suits(client, isTunnel) : client.requests > 0 || isTunnel) continue;
      // One that is to come serves it, or there will be none: then it is once more one that is there.
      if (!mayServe(one, waiter) && (this.#dials.size > 0 || this.#mayOpen > 0)) continue;
      if (kept !== "any" && hasNews(one)) continue;
      return one;
    }
    return null;
  }

  /** Connections that may be opened. Those that are leaving may do so for hours: one at least is not among them. */
  get #mayOpen(): number {
    if (this.#spoken === "http/1.1") return Infinity;
    return Math.max(1 - this.#usable.length, this.#http2.maxConnections - this.#all.size);
  }

  #openMore(): void {
    if (this.#waiters.size === 0) return;
    const each = this.#spoken === "http/1.1" ? 1 : this.#streams;
    const unready = this.#usable.filter(({ client }) => !client.isReady).length;
    const most = this.#mayOpen;
    if (most <= 0) return this.#makeRoom();
    const wanted = Math.min(Math.ceil(this.#waiters.size / each) - unready, most);
    if (this.#dials.size >= wanted) return;
    let timeoutMs = 0;
    for (const waiter of this.#waiters.all()) timeoutMs = Math.max(timeoutMs, waiter.timeoutMs);
    while (this.#dials.size < wanted) this.#dial(timeoutMs);
  }

  /** Who waits for one that is surely alive would not get an idle one of which that is not known, nor another in its place. */
  #makeRoom(): void {
    for (const { kept } of this.#waiters.all()) {
      if (kept !== "any") return this.#usable.find((one) => one.client.isReady && hasNews(one))?.client.retire();
    }
  }

  #dial(timeoutMs: number): void {
    const dial = new Dial();
    dial.opening = this.#pool.dial(timeoutMs, "any", {
      onOpened: (connection, alpn) => {
        this.#dials.delete(dial);
        this.#opened(connection, alpn);
      },
      onOpenFailed: (failure) => {
        this.#dials.delete(dial);
        this.#failSome(failure);
      },
    });
    this.#dials.add(dial);
  }

  #opened(connection: Connection, alpn: string): void {
    if (this.#settings.tls === null || alpn === "h2") this.#share(connection);
    else if (this.#http2.isRequired) {
      connection.close(true);
      const said = alpn === "" ? "no protocol" : `"${alpn}"`;
      const { address } = this.#pool.owner;
      this.#failSome(new Failure("upstream-tls-failed", `${address}: agreed on ${said} in place of HTTP/2 (ALPN)`));
    } else {
      this.#spoken = "http/1.1";
      const client = this.#pool.adopt(connection);
      const waiter = this.#waiters.first;
      if (waiter === null) this.#pool.idle(client);
      else {
        this.#waiters.delete(waiter);
        waiter.give(client);
      }
      this.#serve();
    }
  }

  #share(connection: Connection): void {
    this.#spoken = "h2";
    const client = new Http2ClientConnection(connection, this.#http2.client, this);
    connection.handler = client;
    const number = this.#count++;
    const one = new Shared(client, number);
    this.#all.add(one);
    this.#usable.push(one);
    this.#observer.connectionOpened();
    one.settingsTimer.arm(SETTINGS_TIME);
    this.#serve();
  }

  /** There are a handful. */
  #find(client: Http2ClientConnection): Shared | null {
    let one = this.#all.first;
    while (one !== null && one.client !== client) one = one.next;
    return one;
  }

  /** For those who waited for a connection that did not come about: as many as it would have served. */
  #failSome(failure: Failure): void {
    const served = this.#waiters.all().slice(0, this.#spoken === "http/1.1" ? 1 : this.#streams);
    // Those that come meanwhile are not among them.
    for (const waiter of served) if (this.#waiters.delete(waiter)) waiter.onConnectFailed(failure);
    this.#serve();
    this.#pool.ended();
  }

  /** A waiter has left. */
  left(waiter: Waiter): void {
    if (!this.#waiters.delete(waiter) || this.#waiters.size > 0) return;
    for (const dial of this.#dials.all()) {
      this.#dials.delete(dial);
      dial.opening!.cancel();
    }
    this.#pool.ended();
  }

  /** Why it waited in vain. That our own limits are reached is not the endpoint's fault. */
  failureOf(waiter: Waiter): Failure {
    const { address } = this.#pool.owner;
    const isFull = this.#usable.some((one) => one.client.isReady && mayServe(one, waiter));
    return isFull
      ? new Failure("pool-full", `${address}: no connection had room within the limit for connecting`)
      : new Failure("upstream-connect-timeout", `${address}: no connection was there within the limit for connecting`);
  }

  // ── what the connections say ───────────────────────────────────────────────────────────────

  ready(client: Http2ClientConnection): void {
    this.#takesTunnels = client.offersTunnels;
    const { maxStreams } = client.link.peer;
    this.#streams = Math.max(1, Math.min(this.#http2.client.maxStreams, maxStreams));
    this.#find(client)?.settingsTimer.cancel();
    if (!client.offersTunnels && this.#canFallBack) this.#turnTunnels();
    this.hasRoom(client);
  }

  /** Those who wait for a tunnel get a connection of HTTP/1.1 each. */
  #turnTunnels(): void {
    for (const waiter of this.#waiters.all()) {
      if (!waiter.isTunnel) continue;
      this.#waiters.delete(waiter);
      waiter.turnTo(this.#pool.connectHttp1(waiter.timeoutMs, waiter));
    }
  }

  hasRoom(client: Http2ClientConnection): void {
    if (this.#waiters.size > 0) this.#serve();
    if (client.openStreams === 0) this.#rest(client);
  }

  #rest(client: Http2ClientConnection): void {
    const one = this.#find(client);
    if (one === null || one.isIdle || !client.isReady) return;
    const { owner, isClosed } = this.#pool;
    if (isClosed) return client.retire();
    if (owner.idleConnections >= this.#settings.maxIdle) return client.close();
    one.isIdle = true;
    owner.idleConnections++;
    this.#observer.becameIdle();
    client.rest(this.#idleTime);
  }

  leaving(client: Http2ClientConnection): void {
    this.#usable = this.#usable.filter((one) => one.client !== client);
    if (this.#waiters.size > 0) this.#serve();
  }

  gone(client: Http2ClientConnection, why: Failure | null): void {
    const one = this.#find(client);
    if (one === null) return;
    one.settingsTimer.cancel();
    this.#all.delete(one);
    this.#usable = this.#usable.filter((other) => other !== one);
    if (one.isIdle) this.#pool.owner.idleConnections--;
    this.#observer.connectionClosed(one.isIdle);
    // Who waited for its settings would only see the same again.
    if (!client.isReady && why !== null) this.#failSome(why);
    else {
      this.#serve();
      this.#pool.ended();
    }
  }

  fault(thrown: unknown): void {
    this.#observer.fault(thrown);
  }

  /** Closes what is idle now, and everything else after its last stream. */
  close(): void {
    for (const { client } of [...this.#usable]) client.retire();
  }
}

/** Something has come on an idle connection and was not looked at: it may be the end of it. */
const hasNews = ({ isIdle, client }: Shared): boolean => isIdle && !client.connection.isQuiet();

const mayServe = ({ number }: Shared, waiter: Waiter): boolean => waiter.kept !== "none" || waiter.isBefore(number);

/** An exchange that waits for a connection. */
class Waiter extends Member implements ConnectionTaker {
  readonly isTunnel: boolean;
  readonly kept: Kept;
  /** Connections that there were before it. */
  readonly #before: number;
  readonly timeoutMs: number;
  readonly #taker: ConnectionTaker;
  readonly #line: SharedConnections;
  readonly #limit: Timer;
  /** A connection of its own that is being opened. */
  #own: { cancel(): void } | null = null;

  constructor(
    isTunnel: boolean,
    kept: Kept,
    before: number,
    timeoutMs: number,
    limit: TimerList | null,
    taker: ConnectionTaker,
    line: SharedConnections,
  ) {
    super();
    this.isTunnel = isTunnel;
    this.kept = kept;
    this.#before = before;
    this.timeoutMs = timeoutMs;
    this.#taker = taker;
    this.#line = line;
    this.#limit = new Timer(() => this.#expired());
    if (limit !== null) this.#limit.arm(limit);
  }

  /** Another one may get what does not suit it. */
  get isParticular(): boolean {
    return this.isTunnel || this.kept !== "any";
  }

  /** The connection of this number was opened after it came. */
  isBefore(number: number): boolean {
    return number >= this.#before;
  }

  give(client: ClientConnection): void {
    this.#limit.cancel();
    this.#taker.onClient(client);
  }

  /** It waits for this now. */
  turnTo(own: { cancel(): void }): void {
    this.#limit.cancel();
    this.#own = own;
  }

  onClient(client: ClientConnection): void {
    this.give(client);
  }

  onConnectFailed(failure: Failure): void {
    this.#limit.cancel();
    this.#taker.onConnectFailed(failure);
  }

  cancel(): void {
    this.#limit.cancel();
    this.#own?.cancel();
    this.#line.left(this);
  }

  #expired(): void {
    const failure = this.#line.failureOf(this);
    this.#line.left(this);
    this.#taker.onConnectFailed(failure);
  }
}

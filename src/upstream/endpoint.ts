/**
 * One address of an upstream: what the balancer weighs, and the connections that are kept to it.
 * Idle connections form a stack: the one used last is the one most surely alive.
 */
import { Failure } from "../base/failure.ts";
import { type TimerList, timerList } from "../base/timer.ts";
import { type ConnectHandler, Connecting } from "../net/connect.ts";
import { machineNow } from "../net/machine-clock.ts";
import type { TcpConnection } from "../net/tcp.ts";
import { type ClientOwner, Http1ClientConnection, type Http1ClientSettings } from "../protocol/http1/client.ts";
import type { EndpointSpec } from "./endpoint-spec.ts";
import type { EndpointState } from "./endpoint-state.ts";

/** What all endpoints of an upstream share. */
export interface EndpointSettings {
  readonly maxIdle: number;
  readonly idleTimeMs: number;
  /** Time until an endpoint that came (back) has its whole share; 0: at once. */
  readonly slowStartMs: number;
  readonly http1: Http1ClientSettings;
}

/** What an endpoint tells telemetry. */
export interface EndpointObserver {
  /** A connection was opened; it is active. */
  connectionOpened(): void;
  /** @param idle it waited in the pool when it was closed */
  connectionClosed(idle: boolean): void;
  becameIdle(): void;
  becameActive(): void;
  fault(thrown: unknown): void;
}

/** Who asked for a connection. */
export interface ConnectionTaker {
  onClient(client: Http1ClientConnection): void;
  onConnectFailed(failure: Failure): void;
}

/** Least part of its weight that an endpoint in slow start has: with less it would never be tried. */
const FIRST_SHARE = 0.1;

export class Endpoint implements ClientOwner {
  /** "host:port" or "unix:/path". */
  readonly address: string;
  /** Shared with all processes of the machine. */
  readonly state: EndpointState;
  /** As its provider and operators say now; replaced when they say something else. */
  spec: EndpointSpec;
  /** The kernel's form of the address; several if a name has several. Replaced when the name is resolved again. */
  sockaddrs: readonly Uint8Array[] = [];
  readonly #settings: EndpointSettings;
  readonly #observer: EndpointObserver;
  readonly #idleTime: TimerList | null;
  #idle: Http1ClientConnection[] = [];
  #closed = false;

  constructor(spec: EndpointSpec, state: EndpointState, settings: EndpointSettings, observer: EndpointObserver) {
    this.address = spec.address;
    this.spec = spec;
    this.state = state;
    this.#settings = settings;
    this.#observer = observer;
    this.#idleTime = timerList(settings.idleTimeMs);
  }

  /** Nominal share, 0 to 1000. */
  get weight(): number {
    return this.spec.weight;
  }

  /** Share right now: less than `weight` while it starts slowly. */
  get effectiveWeight(): number {
    const since = this.state.rampSince;
    if (since === 0) return this.spec.weight;
    const grown = (machineNow() - since) / this.#settings.slowStartMs;
    if (grown < 1) return this.spec.weight * Math.max(FIRST_SHARE, grown);
    this.state.rampSince = 0;
    return this.spec.weight;
  }

  /** Exchanges in flight, over all workers. */
  get inFlight(): number {
    return this.state.inFlight;
  }

  get idleConnections(): number {
    return this.#idle.length;
  }

  /**
   * A kept connection, or null if one has to be opened.
   * @param alive only one that the kernel says has not ended: a system call that a request which
   *   may not be sent twice is worth
   */
  takeIdle(alive: boolean): Http1ClientConnection | null {
    for (let client = this.#idle.at(-1); client !== undefined; client = this.#idle.at(-1)) {
      if (!alive || client.connection.isQuiet()) {
        this.#idle.pop();
        this.#observer.becameActive();
        return client;
      }
      client.closeIdle();
    }
    return null;
  }

  /** Opens a connection. The taker hears of it later, never from within. @returns what cancels it */
  connect(timeoutMs: number, taker: ConnectionTaker): { cancel(): void } {
    const opening = new Opening(this.sockaddrs, timeoutMs, taker, this);
    opening.start();
    return opening;
  }

  /** Wraps a connection that was just opened. */
  adopt(connection: TcpConnection): Http1ClientConnection {
    const client = new Http1ClientConnection(connection, this.#settings.http1, this);
    connection.handler = client;
    this.#observer.connectionOpened();
    return client;
  }

  idle(client: Http1ClientConnection): void {
    if (this.#closed || this.#idle.length >= this.#settings.maxIdle) {
      client.closeIdle();
      return;
    }
    client.rest(this.#idleTime);
    this.#idle.push(client);
    this.#observer.becameIdle();
  }

  gone(client: Http1ClientConnection): void {
    const at = this.#idle.lastIndexOf(client);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#observer.connectionClosed(at >= 0);
  }

  fault(thrown: unknown): void {
    this.#observer.fault(thrown);
  }

  /** Closes what is idle now, and everything else as it becomes idle. */
  close(): void {
    this.#closed = true;
    for (const client of this.#idle.slice()) client.closeIdle();
  }
}

/** Tries the addresses of an endpoint in turn until one takes the connection. */
class Opening implements ConnectHandler {
  readonly #sockaddrs: readonly Uint8Array[];
  readonly #timeoutMs: number;
  readonly #taker: ConnectionTaker;
  readonly #endpoint: Endpoint;
  #next = 0;
  #connecting: Connecting | null = null;
  #cancelled = false;

  constructor(sockaddrs: readonly Uint8Array[], timeoutMs: number, taker: ConnectionTaker, endpoint: Endpoint) {
    this.#sockaddrs = sockaddrs;
    this.#timeoutMs = timeoutMs;
    this.#taker = taker;
    this.#endpoint = endpoint;
  }

  start(): void {
    const sockaddr = this.#sockaddrs[this.#next++];
    if (sockaddr === undefined) queueMicrotask(() => this.#failUnresolved());
    else this.#connecting = new Connecting(sockaddr, this.#timeoutMs, this);
  }

  cancel(): void {
    this.#cancelled = true;
    this.#connecting?.cancel();
  }

  #failUnresolved(): void {
    if (this.#cancelled) return;
    this.#taker.onConnectFailed(
      new Failure("upstream-resolve-failed", `${this.#endpoint.address}: the name has no address`),
    );
  }

  onConnected(connection: TcpConnection): void {
    this.#taker.onClient(this.#endpoint.adopt(connection));
  }

  fault(thrown: unknown): void {
    this.#endpoint.fault(thrown);
    this.#taker.onConnectFailed(Failure.from(thrown));
  }

  onConnectFailed(error: string): void {
    if (this.#next < this.#sockaddrs.length) return this.start();
    const code =
      error === "ECONNREFUSED"
        ? "upstream-connect-refused"
        : error === "ETIMEDOUT"
          ? "upstream-connect-timeout"
          : "upstream-connect-failed";
    this.#taker.onConnectFailed(new Failure(code, `${this.#endpoint.address}: connect failed: ${error}`));
  }
}

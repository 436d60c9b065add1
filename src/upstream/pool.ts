/**
 * The connections to an endpoint that exchanges share: those of HTTP/1.1 one after the other, those
 * of HTTP/2 at the same time (shared-connections.ts).
 *
 * Idle connections of HTTP/1.1 form a stack: the one used last is the one most surely alive.
 */
import type { Failure } from "../base/failure.ts";
import { type TimerList, timerList } from "../base/timer.ts";
import type { HttpRequest } from "../http/message.ts";
import type { Connection } from "../net/connection.ts";
import type { ClientConnection } from "../protocol/client-connection.ts";
import { type ClientOwner, Http1ClientConnection } from "../protocol/http1/client.ts";
import type { EndpointObserver, EndpointSettings, Spoken } from "./endpoint-settings.ts";
import type { OpenTaker } from "./opening.ts";
import { SharedConnections } from "./shared-connections.ts";

/**
 * Which of the connections that are there may be given to who waits for one: any; of those that are idle, only
 * such that the kernel says have not ended; or none, only one that is opened from now on.
 */
export type Kept = "any" | "alive" | "none";

/** Who asked for a connection. */
export interface ConnectionTaker {
  onClient(client: ClientConnection): void;
  onConnectFailed(failure: Failure): void;
}

/** The endpoint, as its pools see it. */
export interface PoolOwner {
  readonly address: string;
  readonly sockaddrs: readonly Uint8Array[];
  /** Idle connections of all its pools. */
  idleConnections: number;
  /** Opens a connection. The taker hears of it later. */
  dial(preamble: Uint8Array | null, timeoutMs: number, spoken: Spoken, taker: OpenTaker): { cancel(): void };
  /** A pool has no connection any more, and nobody waits for one. */
  emptied(pool: Pool): void;
}

export class Pool implements ClientOwner {
  readonly settings: EndpointSettings;
  readonly owner: PoolOwner;
  readonly #observer: EndpointObserver;
  readonly #preamble: Uint8Array | null;
  readonly #idleTime: TimerList | null;
  /** null: HTTP/1.1 alone. */
  readonly #shared: SharedConnections | null;
  #idle: Http1ClientConnection[] = [];
  /** Connections of HTTP/1.1 that are open, and those that are being opened. */
  #http1 = 0;
  #closed = false;

  /** @param preamble what each connection begins with (a PROXY header); null: nothing */
  constructor(settings: EndpointSettings, owner: PoolOwner, observer: EndpointObserver, preamble: Uint8Array | null) {
    this.settings = settings;
    this.owner = owner;
    this.#observer = observer;
    this.#preamble = preamble;
    this.#idleTime = timerList(settings.idleTimeMs);
    this.#shared = settings.http2 === null ? null : new SharedConnections(settings, settings.http2, this, observer);
  }

  /**
   * A connection that is there and takes this request now, or null if one has to be waited for.
   * @param alive only one that the kernel says has not ended: a system call that a request which
   *   may not be sent twice is worth
   */
  take(request: HttpRequest, alive: boolean): ClientConnection | null {
    const shared = this.#shared;
    if (shared === null) return this.takeIdle(alive);
    return shared.take(request, alive) ?? (shared.allowsHttp1(request) ? this.takeIdle(alive) : null);
  }

  takeIdle(alive: boolean): Http1ClientConnection | null {
    for (let client = this.#idle.at(-1); client !== undefined; client = this.#idle.at(-1)) {
      if (!alive || client.connection.isQuiet()) {
        this.#idle.pop();
        this.owner.idleConnections--;
        this.#observer.becameActive();
        return client;
      }
      client.closeIdle();
    }
    return null;
  }

  /** Gets a connection for a request. The taker hears of it later, never from within. @returns what cancels it */
  connect(request: HttpRequest, timeoutMs: number, taker: ConnectionTaker, kept: Kept = "any"): { cancel(): void } {
    return this.#shared === null
      ? this.connectHttp1(timeoutMs, taker)
      : this.#shared.wait(request.upgrade !== null, timeoutMs, taker, kept);
  }

  /** Opens a connection of HTTP/1.1 for one exchange. */
  connectHttp1(timeoutMs: number, taker: ConnectionTaker): { cancel(): void } {
    let isOver = false;
    const end = (): boolean => {
      if (isOver) return false;
      isOver = true;
      this.#http1--;
      return true;
    };
    this.#http1++;
    const opening = this.dial(timeoutMs, "http1", {
      onOpened: (connection) => {
        end();
        taker.onClient(this.adopt(connection));
      },
      onOpenFailed: (failure) => {
        end();
        this.ended();
        taker.onConnectFailed(failure);
      },
    });
    return {
      cancel: () => {
        if (!end()) return;
        opening.cancel();
        this.ended();
      },
    };
  }

  dial(timeoutMs: number, spoken: Spoken, taker: OpenTaker): { cancel(): void } {
    return this.owner.dial(this.#preamble, timeoutMs, spoken, taker);
  }

  /** Wraps a connection that was just opened. */
  adopt(connection: Connection): Http1ClientConnection {
    const client = new Http1ClientConnection(connection, this.settings.http1, this);
    connection.handler = client;
    this.#http1++;
    this.#observer.connectionOpened();
    return client;
  }

  idle(client: Http1ClientConnection): void {
    if (this.#closed || this.owner.idleConnections >= this.settings.maxIdle) {
      client.closeIdle();
      return;
    }
    client.rest(this.#idleTime);
    this.#idle.push(client);
    this.owner.idleConnections++;
    this.#observer.becameIdle();
  }

  gone(client: Http1ClientConnection): void {
    const at = this.#idle.lastIndexOf(client);
    if (at >= 0) {
      this.#idle.splice(at, 1);
      this.owner.idleConnections--;
    }
    this.#observer.connectionClosed(at >= 0);
    this.#http1--;
    this.ended();
  }

  fault(thrown: unknown): void {
    this.#observer.fault(thrown);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Nothing is open, and nobody waits. */
  get isEmpty(): boolean {
    return this.#http1 === 0 && (this.#shared?.isEmpty ?? true);
  }

  /** A connection has ended, or one that was waited for did not come about. */
  ended(): void {
    if (this.isEmpty) this.owner.emptied(this);
  }

  /** Closes what is idle now, and everything else as it becomes idle. */
  close(): void {
    this.#closed = true;
    for (const client of this.#idle.slice()) client.closeIdle();
    this.#shared?.close();
  }
}

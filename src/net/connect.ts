/** Opens connections to endpoints: non-blocking, with a time limit, cancellable. */
import { Timer, timerList } from "../base/timer.ts";
import { familyOf } from "./address.ts";
import {
  AF_UNIX,
  EAGAIN,
  ECONNREFUSED,
  EINPROGRESS,
  ETIMEDOUT,
  errno,
  errnoName,
  IPPROTO_TCP,
  libc,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  setOption,
  socketError,
  TCP_NODELAY,
} from "./libc.ts";
import { BROKEN, closeAtTurnEnd, nextTurn, type Pollable, unwatch, WRITABLE, watch } from "./loop.ts";
import { TcpConnection } from "./tcp.ts";

export interface ConnectHandler {
  onConnected(connection: TcpConnection): void;
  /** @param error an errno name; "ETIMEDOUT" also when our own time limit passed */
  onConnectFailed(error: string): void;
  /** `onConnected` threw; that connection is destroyed. */
  fault(thrown: unknown): void;
}

/** A connection being opened. */
export class Connecting implements Pollable {
  readonly #fd: number;
  readonly #handler: ConnectHandler;
  readonly #timer = new Timer(() => this.#fail(ETIMEDOUT));
  /** What `connect` said at once; reported in the next turn. */
  #failure = 0;
  #done = false;

  /** @param sockaddr see `encodeSockaddr` @param timeoutMs Infinity = the kernel's own limit */
  constructor(sockaddr: Uint8Array, timeoutMs: number, handler: ConnectHandler) {
    this.#handler = handler;
    const family = familyOf(sockaddr);
    this.#fd = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) {
      this.#failure = errno();
      nextTurn(this);
      return;
    }
    if (family !== AF_UNIX) setOption(this.#fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (libc.connect(this.#fd, sockaddr, sockaddr.length) < 0) {
      const error = errno();
      // EAGAIN: the backlog of a unix socket is full.
      if (error !== EINPROGRESS) {
        this.#failure = error === EAGAIN ? ECONNREFUSED : error;
        nextTurn(this);
        return;
      }
    }
    // Watched first: that sets the clock, which may have stood still, before the timer reads it.
    watch(this.#fd, this, "connection");
    const list = timerList(timeoutMs);
    if (list !== null) this.#timer.arm(list);
  }

  /** Gives up; the handler is not called. */
  cancel(): void {
    if (this.#done) return;
    this.#done = true;
    this.#timer.cancel();
    if (this.#fd >= 0) closeAtTurnEnd(this.#fd);
  }

  onReady(events: number): void {
    if (this.#done || (events & (WRITABLE | BROKEN)) === 0) return;
    const error = socketError(this.#fd);
    if (error !== 0) return this.#fail(error);
    this.#done = true;
    this.#timer.cancel();
    unwatch(this.#fd);
    const connection = new TcpConnection(this.#fd);
    try {
      this.#handler.onConnected(connection);
    } catch (thrown) {
      connection.destroy();
      this.#handler.fault(thrown);
    }
  }

  onAgain(): void {
    this.#fail(this.#failure);
  }

  onFault(thrown: unknown): void {
    throw thrown;
  }

  #fail(error: number): void {
    if (this.#done) return;
    this.cancel();
    this.#handler.onConnectFailed(errnoName(error));
  }
}

/**
 * Accepts connections on a listening socket that somebody else (the supervisor) bound.
 *
 * At the limit of connections, or out of descriptors, it stops watching the socket instead of
 * spinning: clients wait in the kernel's backlog until a connection closes or a short time passes.
 */
import { Timer, timerList } from "../base/timer.ts";
import { sockaddrHost, sockaddrPort } from "./address.ts";
import {
  EAGAIN,
  ECONNABORTED,
  EINTR,
  errno,
  errnoName,
  IPPROTO_TCP,
  libc,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  setOption,
  TCP_DEFER_ACCEPT,
  TCP_NODELAY,
} from "./libc.ts";
import { type Pollable, unwatch, watch } from "./loop.ts";
import { TcpConnection } from "./tcp.ts";

const ACCEPTS_PER_EVENT = 64;
const RETRY_MS = 100;

export interface AcceptHandler {
  onConnection(connection: TcpConnection, peer: string, peerPort: number): void;
  /** Accepting stopped for a while. @param reason an errno name, or "limit" */
  onAcceptPaused(reason: string): void;
  /** `onConnection` threw; that connection is destroyed. */
  fault(thrown: unknown): void;
}

const SILENT_SECONDS = 1;

export class Listener implements Pollable {
  readonly #fd: number;
  #maxConnections: number;
  readonly #handler: AcceptHandler;
  readonly #peer = new Uint8Array(112);
  readonly #peerLength = new Uint32Array(1);
  readonly #retry = new Timer(() => this.#resume());
  #connections = 0;
  #watching = false;
  #stopped = false;

  constructor(fd: number, maxConnections: number, handler: AcceptHandler) {
    this.#fd = fd;
    this.#maxConnections = maxConnections;
    this.#handler = handler;
    setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1); // Accepted sockets inherit it.
    this.deferAccept = false; // Before a reload the socket may have been another's.
  }

  /**
   * Connections whose peer speaks first are taken up when it has spoken (TCP_DEFER_ACCEPT, tcp(7)), or after the system
   * has asked once more, about a second later: nobody has to be woken twice for them. Nothing on a unix socket.
   */
  set deferAccept(on: boolean) {
    setOption(this.#fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, on ? SILENT_SECONDS : 0);
  }

  /** Connections open at once; those beyond a lower limit stay. */
  set maxConnections(limit: number) {
    this.#maxConnections = limit;
  }

  get connections(): number {
    return this.#connections;
  }

  start(): void {
    this.#stopped = false;
    this.#resume();
  }

  /** Accepts no more. The socket stays open: it belongs to the supervisor. */
  stop(): void {
    // Those that wait in the backlog already are taken up for a last time, as far as the limits go.
    for (let before = -1; this.#watching && before !== this.#connections; ) {
      before = this.#connections;
      this.onReady();
    }
    this.#stopped = true;
    this.#retry.cancel();
    this.#unwatch();
  }

  /** The owner of an accepted connection says that it is gone. */
  released(): void {
    this.#connections--;
    if (!this.#watching && !this.#stopped) this.#resume();
  }

  onReady(): void {
    for (let i = 0; i < ACCEPTS_PER_EVENT && this.#watching; i++) {
      if (this.#connections >= this.#maxConnections) return this.#pause("limit");
      this.#peerLength[0] = this.#peer.length;
      const fd = libc.accept4(this.#fd, this.#peer, this.#peerLength, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        const error = errno();
        if (error === ECONNABORTED || error === EINTR) continue;
        if (error !== EAGAIN) this.#pause(errnoName(error));
        return;
      }
      this.#connections++;
      const connection = new TcpConnection(fd);
      try {
        this.#handler.onConnection(connection, sockaddrHost(this.#peer), sockaddrPort(this.#peer));
      } catch (thrown) {
        connection.destroy();
        this.#connections--;
        this.#handler.fault(thrown);
      }
    }
  }

  onAgain(): void {}

  onFault(thrown: unknown): void {
    throw thrown;
  }

  #pause(reason: string): void {
    this.#unwatch();
    this.#handler.onAcceptPaused(reason);
    this.#retry.arm(timerList(RETRY_MS)!);
  }

  #resume(): void {
    this.#retry.cancel();
    if (this.#watching) return;
    this.#watching = true;
    watch(this.#fd, this, "listener");
  }

  #unwatch(): void {
    if (!this.#watching) return;
    this.#watching = false;
    unwatch(this.#fd);
  }
}

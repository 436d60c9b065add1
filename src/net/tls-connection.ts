/**
 * A TLS connection behind the same interface as a plain one. The socket is the runtime's
 * (tls-runtime.ts); what `Connection` promises and the runtime does not is made up for here: octets
 * that are not taken are queued, small writes of one turn leave as one record, what comes after
 * `pause` waits, and each end is said once.
 *
 * Differences that cannot be hidden: a read may bring up to 512 KiB whatever is expected, octets that
 * stayed in the kernel have to be read after all, and the peer's end may be a FIN without close_notify (see docs/tls.md).
 */
import { putText } from "../base/buffer.ts";
import { Timer, timerList } from "../base/timer.ts";
import type { Connection, ConnectionHandler, UnseenOctets } from "./connection.ts";
import { EAGAIN, errno, errnoName, libc, MSG_DONTWAIT, MSG_PEEK } from "./libc.ts";
import { nextTurn, onTurnEnd, type Pollable, run } from "./loop.ts";
import { Pipe } from "./pipe.ts";
import { countQueued } from "./send-queue.ts";
import {
  type RuntimeSocket,
  type RuntimeTlsHandler,
  type RuntimeTlsOptions,
  startTls,
  tlsReason,
} from "./tls-runtime.ts";

/** Four full records and a head: a response of 64 KiB leaves with its head in one call. */
const CORK_OCTETS = 80 * 1024;
/** Larger writes go out from where they lie. */
const COPY_LIMIT = 16 * 1024;
/** After our last octet: how long a peer that still sends is drained. */
const LINGER_MS = 2000;
/** While our last octets are queued: how long a peer may take none of them. */
const STALL_MS = 30_000;

const cork = Buffer.allocUnsafeSlow(CORK_OCTETS);
let corked: TlsConnection | null = null;
let corkLength = 0;
const peeked = new Uint8Array(1);
const unseen = new Uint8Array(64 * 1024);

onTurnEnd(() => corked?.flush());

/** Who waits for the handshake. */
export interface HandshakeOwner {
  /** @param why of a certificate that is not trusted, too, when `ok` is true */
  onHandshake(connection: TlsConnection, ok: boolean, why: Error | null): void;
  /** The connection ended before. @param error such as "ECONNRESET"; "" for a plain end */
  onHandshakeLost(connection: TlsConnection, error: string): void;
}

const nobody: ConnectionHandler = { onOctets() {}, onRoom() {}, onPeerEnd() {}, onLost() {}, onFault() {} };

export class TlsConnection implements Connection, Pollable, RuntimeTlsHandler {
  handler: ConnectionHandler = nobody;
  open = true;
  octetsIn = 0;
  octetsOut = 0;
  /** From the server: what another connection can resume this session with. May be called several times. */
  onSession: (session: Buffer) => void = () => {};
  readonly #fd: number;
  readonly #socket: RuntimeSocket | null;
  /** Until the handshake is over. */
  #owner: HandshakeOwner | null;
  #queue: Uint8Array[] | null = null;
  #unsent = 0;
  #paused = false;
  /** The runtime's socket is paused as well: something came after `pause`. */
  #stopped = false;
  /** What came while paused; usually nothing. */
  #held: Buffer[] | null = null;
  #peerEnded = false;
  #endWriting = false;
  #closing = false;
  /** The runtime has closed the socket. */
  #gone = false;
  /** What is to be said once nothing is held any more. */
  #pendingEnd = false;
  #pendingLoss: string | null = null;
  #error = "";
  #linger: Timer | null = null;

  /** Takes over a connected descriptor that nobody watches. The handshake begins at once. */
  constructor(fd: number, options: RuntimeTlsOptions, owner: HandshakeOwner) {
    this.#fd = fd;
    this.#owner = owner;
    this.#socket = startTls(fd, options, this);
    run();
    if (this.#socket === null) this.onClose(null);
  }

  /** The runtime's socket, for the facts of the handshake; null if it is gone. */
  get socket(): RuntimeSocket | null {
    return this.#gone ? null : this.#socket;
  }

  get full(): boolean {
    return this.#queue !== null;
  }

  get unsent(): number {
    return this.#unsent;
  }

  write(octets: Uint8Array): void {
    const { length } = octets;
    if (!this.open || this.#gone || length === 0) return;
    this.octetsOut += length;
    if (this.#queue !== null) return this.#keep(octets);
    if (corked !== this) this.#takeCork();
    if (corkLength + length <= CORK_OCTETS && (length <= COPY_LIMIT || corkLength > 0)) {
      cork.set(octets, corkLength);
      corkLength += length;
      return;
    }
    this.flush();
    this.#send(octets);
  }

  writeText(text: string): void {
    const { length } = text;
    if (!this.open || this.#gone || length === 0) return;
    if (this.#queue !== null || length > COPY_LIMIT) return this.write(Buffer.from(text, "latin1"));
    this.octetsOut += length;
    if (corked !== this) this.#takeCork();
    if (corkLength + length > CORK_OCTETS) {
      this.flush();
      if (this.#queue !== null) return this.#keep(Buffer.from(text, "latin1"));
      this.#takeCork();
    }
    corkLength = putText(cork, corkLength, text);
  }

  get takesUnseen(): boolean {
    return false;
  }

  writeUnseen(octets: UnseenOctets): void {
    if (!(octets instanceof Pipe)) throw new TypeError("octets that are not from another connection");
    while (octets.length > 0) {
      const length = octets.read(unseen);
      if (length <= 0) return this.onFault(new Error(`octets of a pipe are lost (${errnoName(errno())})`));
      this.write(unseen.subarray(0, length));
    }
  }

  #takeCork(): void {
    run(); // So that there is a turn at whose end it is flushed.
    corked?.flush();
    corked = this;
  }

  flush(): void {
    if (corked !== this) return;
    const length = corkLength;
    corked = null;
    corkLength = 0;
    if (length > 0 && this.open) this.#send(cork.subarray(0, length));
  }

  #send(octets: Uint8Array): void {
    if (this.#queue !== null) return this.#keep(octets);
    if (this.#gone || this.#socket === null) return;
    const sent = this.#socket.write(octets);
    // Closed: `onClose` says why, or has.
    if (sent < 0 || sent === octets.length) return;
    this.#keep(sent === 0 ? octets : octets.subarray(sent));
  }

  #keep(octets: Uint8Array): void {
    this.#queue ??= [];
    this.#queue.push(new Uint8Array(octets));
    this.#unsent += octets.length;
    countQueued(octets.length);
  }

  #dropQueue(): void {
    countQueued(-this.#unsent);
    this.#unsent = 0;
    this.#queue = null;
  }

  onDrain(): void {
    const queue = this.#queue;
    if (queue === null || this.#owner !== null || !this.open) return;
    run();
    if (this.#closing) this.#startLinger(STALL_MS);
    while (queue.length > 0) {
      const first = queue[0]!;
      const sent = this.#socket!.write(first);
      if (sent <= 0 || this.#queue === null) return;
      this.#unsent -= sent;
      countQueued(-sent);
      if (sent < first.length) {
        queue[0] = first.subarray(sent);
        return;
      }
      queue.shift();
    }
    this.#queue = null;
    if (this.#closing) this.#finish();
    else {
      if (this.#endWriting) this.#socket!.shutdown();
      this.#call(() => this.handler.onRoom());
    }
  }

  onHandshake(_socket: RuntimeSocket, ok: boolean, why: Error | null): void {
    const owner = this.#owner;
    if (owner === null) return;
    run();
    this.#owner = null;
    this.#call(() => owner.onHandshake(this, ok, why));
  }

  onData(octets: Buffer): void {
    this.octetsIn += octets.length;
    if (this.#closing || !this.open) return;
    run();
    if (!this.#paused && this.#held === null) return this.#hand(octets);
    this.#held ??= [];
    this.#held.push(octets);
    countQueued(octets.length);
    if (this.#stopped) return;
    this.#stopped = true;
    this.#socket?.pause();
  }

  /** A callback that throws must cost this connection only, and the runtime would swallow it. */
  #hand(octets: Buffer): void {
    try {
      this.handler.onOctets(octets, octets.length);
    } catch (thrown) {
      this.onFault(thrown);
    }
  }

  #call(callback: () => void): void {
    try {
      callback();
    } catch (thrown) {
      this.onFault(thrown);
    }
  }

  onEnd(): void {
    run();
    if (this.#owner !== null) return this.#lostInHandshake("");
    if (!this.open) return;
    if (this.#closing) {
      this.#peerEnded = true;
      if (this.#queue === null) this.#finish();
    } else if (this.#held !== null || this.#paused) this.#pendingEnd = true;
    else this.#sayEnd();
  }

  #sayEnd(): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    this.#call(() => this.handler.onPeerEnd());
  }

  onError(why: Error): void {
    if (this.#error === "") this.#error = tlsReason(why);
  }

  onClose(why: (Error & { readonly code?: string }) | null): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#dropQueue();
    if (!this.open) return;
    run();
    const error = this.#error === "" && why !== null ? (/^E[A-Z]+/.exec(why.message)?.[0] ?? why.message) : this.#error;
    if (this.#owner !== null) return this.#lostInHandshake(error);
    if (this.#closing) return this.destroy();
    const waiting = this.#held !== null || this.#paused;
    // Both halves are closed, or will be once the end is told: nothing is lost.
    if (error === "" && this.#endWriting) {
      if (waiting) this.#pendingEnd = true;
      else this.#sayEnd();
    } else if (waiting) this.#pendingLoss = error === "" ? "ECONNRESET" : error;
    else this.#lose(error === "" ? "ECONNRESET" : error);
  }

  #lostInHandshake(error: string): void {
    const owner = this.#owner!;
    this.#owner = null;
    this.destroy(true);
    owner.onHandshakeLost(this, error);
  }

  #lose(error: string): void {
    const { handler } = this;
    this.destroy();
    handler.onLost(error);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    // Not now: the caller may be in the middle of something.
    if (this.#held !== null || this.#stopped || this.#pendingEnd || this.#pendingLoss !== null) nextTurn(this);
  }

  onReady(): void {}

  onAgain(): void {
    while (this.#held !== null && !this.#paused && this.open && !this.#closing) {
      const octets = this.#held.shift()!;
      if (this.#held.length === 0) this.#held = null;
      countQueued(-octets.length);
      this.#hand(octets);
    }
    if (!this.open || this.#paused || this.#closing) return;
    if (this.#pendingEnd) {
      this.#pendingEnd = false;
      this.#sayEnd();
    } else if (this.#pendingLoss !== null) this.#lose(this.#pendingLoss);
    else if (this.#stopped) this.#goOn();
  }

  #goOn(): void {
    this.#stopped = false;
    if (!this.#gone) this.#socket?.resume();
  }

  onFault(thrown: unknown): void {
    const { handler } = this;
    this.destroy();
    handler.onFault(thrown);
  }

  isQuiet(): boolean {
    if (!this.open || this.#gone || this.#held !== null || this.#peerEnded || this.#pendingEnd) return false;
    return libc.recv(this.#fd, peeked, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno() === EAGAIN;
  }

  endWriting(): void {
    if (this.#endWriting || !this.open) return;
    this.#endWriting = true;
    this.flush();
    if (this.#queue === null && !this.#gone) this.#socket?.shutdown();
  }

  close(peerMaySend: boolean): void {
    if (!this.open || this.#closing) return;
    this.#closing = true;
    this.handler = nobody;
    this.flush();
    if (this.#pendingEnd || !peerMaySend) this.#peerEnded = true;
    this.#dropHeld();
    if (peerMaySend && this.#stopped) this.#goOn();
    if (this.#gone || !this.open) this.destroy();
    else if (this.#queue === null) this.#finish();
    else this.#startLinger(STALL_MS);
  }

  /** Everything is sent: close, or half-close and wait for the peer's end. */
  #finish(): void {
    if (!this.open || this.#queue !== null) return;
    if (this.#peerEnded) return this.destroy();
    this.#startLinger(LINGER_MS);
    if (!this.#endWriting) this.#socket?.shutdown();
    this.#endWriting = true;
  }

  #startLinger(ms: number): void {
    run();
    this.#linger ??= new Timer(() => this.destroy());
    this.#linger.arm(timerList(ms)!);
  }

  #dropHeld(): void {
    if (this.#held === null) return;
    for (const octets of this.#held) countQueued(-octets.length);
    this.#held = null;
  }

  /** Without `reset`, a close_notify is sent: whoever says that something is incomplete resets. */
  destroy(reset = false): void {
    if (!this.open) return;
    this.open = false;
    this.#owner = null;
    this.#linger?.cancel();
    if (corked === this) {
      corked = null;
      corkLength = 0;
    }
    this.#dropQueue();
    this.#dropHeld();
    if (this.#gone) return;
    if (reset) this.#socket?.terminate();
    else this.#socket?.end();
  }
}

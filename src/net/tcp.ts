/**
 * A plain TCP or unix-socket connection on the event loop.
 *
 * All connections of the process share their buffers: `room` takes each read, but for those that come before their
 * turn, which have one place each; the cork (cork.ts) gathers small writes.
 */
import { type Pointer, ptr } from "bun:ffi";
import { Timer, timerList } from "../base/timer.ts";
import type { Connection, ConnectionHandler, UnseenOctets } from "./connection.ts";
import { CORK_OCTETS, type Corked, corkOctets, corkText, openRun, taken, takenOctets, takeRun } from "./cork.ts";
import {
  EAGAIN,
  ECONNRESET,
  EINTR,
  EINVAL,
  ENOSYS,
  EPERM,
  EPIPE,
  errno,
  errnoName,
  libc,
  MSG_NOSIGNAL,
  MSG_PEEK,
  SHUT_WR,
  SO_LINGER,
  SOL_SOCKET,
  socketError,
} from "./libc.ts";
import {
  BATCH,
  BROKEN,
  closeAtTurnEnd,
  nextTurn,
  PEER_ENDED,
  type Pollable,
  READABLE,
  unwatch,
  WRITABLE,
  watch,
} from "./loop.ts";
import { LowWaterMark } from "./low-water-mark.ts";
import { Pipe, refusePipes, takePipe } from "./pipe.ts";
import { isFull, queuedOctets, SendQueue } from "./send-queue.ts";

/** One read brings at most this: 1 MiB responses cost 300 µs with 512 KiB, 550 with 128 KiB (fewer system calls, fewer wake-ups of the peer). */
const ROOM_OCTETS = 512 * 1024;
/** With this a slow client costs little, and a large response much. */
const SMALL_READ_OCTETS = 16 * 1024;
/** With a head: content of this size still comes in the same read; what is longer is moved from there on. */
const HEAD_READ_OCTETS = 96 * 1024;
/** A pipe holds 1 MiB at most: then others have their turn. */
const MOVES_PER_TURN = 4;
/** Larger writes go out from where they lie, together with what is corked. */
const COPY_LIMIT = 8 * 1024;
/** After our last octet: how long a peer that still sends is drained. */
const LINGER_MS = 2000;
/** While our last octets are queued: how long a peer may take none of them. */
const STALL_MS = 30_000;

/** Not a multiple of a page: heads at the same place of each page would push each other out of the processor's cache. */
const AHEAD_STRIDE = HEAD_READ_OCTETS + 4096 + 9 * 64;
/** `room`, and behind it the places for reads ahead, one for each of a batch. */
const octetsIn = Buffer.allocUnsafeSlow(ROOM_OCTETS + BATCH * AHEAD_STRIDE);
const inAddress = ptr(octetsIn);
const room = octetsIn.subarray(0, ROOM_OCTETS);
const ahead = Array.from({ length: BATCH }, (_, place) => {
  const start = ROOM_OCTETS + place * AHEAD_STRIDE;
  return octetsIn.subarray(start, start + HEAD_READ_OCTETS);
});
/** It has not been read ahead. */
const NOT_AHEAD = -1;
/** Not `room`: whoever asks may be handing on what is in it. */
const peeked = new Uint8Array(1);
let queueBudget = 16 * 1024 * 1024;

/**
 * Sets how many octets all connections together may have queued for slow peers before reads become
 * small: up to there a slow client costs one large read, beyond it one small one.
 */
export function setQueueBudget(octets: number): void {
  queueBudget = octets;
}

/** Slow peers have more queued than they may, taken together: nobody should be asked for more than little. */
export function queuesAreFull(): boolean {
  return queuedOctets() >= queueBudget;
}

// struct iovec iov[2] and the struct msghdr that points at it.
const iov = new Float64Array(4);
const iovWords = new Uint32Array(iov.buffer);
const msghdr = new Uint32Array(14);
pointAt(msghdr, 4, ptr(iov));
msghdr[6] = 2;

function pointAt(words: Uint32Array, at: number, address: number): void {
  words[at] = address % 2 ** 32;
  words[at + 1] = Math.floor(address / 2 ** 32);
}

const nobody: ConnectionHandler = { onOctets() {}, onRoom() {}, onPeerEnd() {}, onLost() {}, onFault() {} };

export class TcpConnection implements Connection, Corked, Pollable {
  handler: ConnectionHandler = nobody;
  open = true;
  octetsIn = 0;
  octetsOut = 0;
  run = -1;
  readonly #fd: number;
  /** What the kernel did not take. */
  #queue: SendQueue | null = null;
  /** Of long content, from its first burst on. */
  #mark: LowWaterMark | null = null;
  #paused = false;
  /** The kernel may hold octets (or an end) that we have not read: edge-triggered, nobody will tell us again. */
  #readable = false;
  /** Length of what was read ahead, in this place; it is handed on before the batch is over. */
  #ahead = NOT_AHEAD;
  #place = 0;
  #peerEnding = false;
  #peerEnded = false;
  #endWriting = false;
  #closing = false;
  /** A call failed with this error (and the kernel has forgotten it since); reported in the next turn. */
  #error = 0;
  #linger: Timer | null = null;

  constructor(fd: number) {
    this.#fd = fd;
    watch(fd, this, "connection");
  }

  get fd(): number {
    return this.#fd;
  }

  /**
   * Gives the descriptor away, out of the loop and open: nothing may be queued. The handler hears
   * no more.
   */
  surrender(): number {
    this.flush();
    this.#mark?.clear();
    this.open = false;
    this.handler = nobody;
    unwatch(this.#fd);
    return this.#fd;
  }

  get full(): boolean {
    return this.#queue !== null;
  }

  get unsent(): number {
    return this.#queue === null ? 0 : this.#queue.octets;
  }

  #dropQueue(): void {
    this.#queue?.drop();
    this.#queue = null;
  }

  onReady(events: number): void {
    if ((events & (PEER_ENDED | BROKEN)) !== 0) this.#peerEnding = true;
    if ((events & WRITABLE) !== 0 && this.#queue !== null) this.#drain();
    if ((events & (READABLE | PEER_ENDED | BROKEN)) !== 0) {
      this.#readable = true;
      // Draining may have called the handler, and it may have closed; so may the work on others of the batch.
      if (!this.open) return;
      if (this.#ahead !== NOT_AHEAD) this.#handAhead();
      else if (!this.#paused) this.#read();
    }
  }

  readAhead(events: number, place: number): void {
    if ((events & (READABLE | PEER_ENDED | BROKEN)) !== READABLE || this.#paused || this.#error !== 0) return;
    if (this.handler.readsAhead !== true || queuesAreFull()) return;
    const address = (inAddress + ROOM_OCTETS + place * AHEAD_STRIDE) as Pointer;
    this.#ahead = libc.recv(this.#fd, address, HEAD_READ_OCTETS, 0);
    this.#place = place;
    if (this.#ahead >= 0) return;
    // The kernel says it once; the read at its turn goes on from here.
    const error = errno();
    if (error !== EAGAIN && error !== EINTR) this.#fail(error);
  }

  #handAhead(): void {
    const length = this.#ahead;
    this.#ahead = NOT_AHEAD;
    if (length > 0) this.#hand(ahead[this.#place]!, length, HEAD_READ_OCTETS);
    else this.#end();
  }

  onFault(thrown: unknown): void {
    const { handler } = this;
    this.destroy();
    handler.onFault(thrown);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    // Not now: a read would overwrite the octets that the caller may be handing on.
    if (this.#readable) nextTurn(this);
  }

  onAgain(): void {
    if (!this.open) return;
    if (this.#error !== 0) {
      // What the peer sent before it went away may still be there to read.
      if (this.#paused || this.#closing) this.#lose(this.#error);
      else this.#read();
    } else if (this.#readable && !this.#paused) this.#read();
  }

  #read(): void {
    let most = ROOM_OCTETS;
    if (queuesAreFull()) most = SMALL_READ_OCTETS;
    else if (this.handler.expectsHead) most = HEAD_READ_OCTETS;
    else if (this.handler.unseen! > 0 && this.#error === 0 && this.#move()) return;
    this.#mark?.clear();
    const length = libc.recv(this.#fd, inAddress, most, 0);
    if (length > 0) this.#hand(room, length, most);
    else if (length === 0) this.#end();
    else {
      const error = errno();
      if (this.#error !== 0) this.#lose(this.#error);
      else if (error === EAGAIN || error === EINTR) {
        this.#readable = error === EINTR;
        if (error === EINTR) nextTurn(this);
      } else this.#lose(error);
    }
  }

  /** Hands on what a read of `most` octets has brought. */
  #hand(octets: Buffer, length: number, most: number): void {
    this.octetsIn += length;
    // A short read has emptied the socket, unless the end follows: the next edge will tell.
    if (length === most || this.#peerEnding || this.#error !== 0) nextTurn(this);
    else this.#readable = false;
    if (!this.#closing) this.handler.onOctets(octets, length);
  }

  /** Hands on octets without reading them. @returns false if nothing was done, and they have to be read */
  #move(): boolean {
    let wanted = this.handler.unseen!;
    let burst = 0;
    for (let moves = 0; moves < MOVES_PER_TURN; moves++) {
      const pipe = takePipe();
      if (pipe === null) return moves > 0 && this.#moveOn();
      const length = pipe.fillFrom(this.#fd, wanted);
      const error = length < 0 ? errno() : 0;
      if (length > 0) {
        this.octetsIn += length;
        burst += length;
      }
      try {
        if (length > 0) this.handler.onUnseen!(pipe);
      } finally {
        pipe.releaseUntaken();
      }
      if (length <= 0) {
        if (error === EAGAIN && burst > 0) (this.#mark ??= new LowWaterMark(this.#fd)).waitFor(burst, wanted);
        return this.#moved(length, error);
      }
      if (!this.open || this.#paused) return true;
      wanted = this.handler.unseen ?? 0;
      if (wanted === 0) break;
    }
    return this.#moveOn();
  }

  /** There may be more: a pipe is full when its slots are, however few octets they hold. */
  #moveOn(): true {
    nextTurn(this);
    return true;
  }

  /** Nothing was there to move. */
  #moved(length: number, error: number): boolean {
    if (length === 0) this.#end();
    else if (error === EAGAIN) this.#readable = false;
    else if (error === EINVAL || error === ENOSYS || error === EPERM) {
      refusePipes();
      return false;
    } else if (error === EINTR) nextTurn(this);
    else this.#lose(error);
    return true;
  }

  /** A read says that the peer has ended. It says so again after a reset, which only SO_ERROR tells then. */
  #end(): void {
    this.#readable = false;
    if (this.#peerEnded && this.#error === 0) this.#error = socketError(this.#fd);
    // After a write that failed for a reset, too, reads just end: no FIN, unless it was EPIPE.
    if (this.#error !== 0 && (this.#peerEnded || this.#error !== EPIPE)) return this.#lose(this.#error);
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    if (this.#error !== 0) nextTurn(this);
    if (this.#closing) this.#finish();
    else this.handler.onPeerEnd();
  }

  write(octets: Uint8Array): void {
    const { length } = octets;
    if (!this.#mayWrite(length, COPY_LIMIT)) return;
    this.octetsOut += length;
    if (this.#queue !== null) this.#queue.push(octets);
    else if (length <= COPY_LIMIT) corkOctets(octets);
    else this.#sendWithCork(octets);
  }

  writeText(text: string): void {
    const { length } = text;
    if (!this.#mayWrite(length, CORK_OCTETS)) return;
    this.octetsOut += length;
    if (this.#queue !== null) this.#queue.push(Buffer.from(text, "latin1"));
    else if (length <= CORK_OCTETS) corkText(text);
    else this.#sendWithCork(Buffer.from(text, "latin1"));
  }

  /**
   * Whether there is anything to write, and to whom. What is corked is sent first where there is no more room for it,
   * so it is only afterwards that we know whether the kernel takes more.
   */
  #mayWrite(length: number, mostCorked: number): boolean {
    if (!this.open || length === 0 || this.#error !== 0) return false;
    if (this.#queue === null && length <= mostCorked) openRun(this, length);
    return this.#error === 0;
  }

  writeUnseen(octets: UnseenOctets): void {
    if (!(octets instanceof Pipe)) throw new TypeError("octets that are not from another connection");
    this.flush();
    if (!this.open || this.#error !== 0) return;
    this.octetsOut += octets.length;
    this.#queue ??= new SendQueue();
    this.#queue.pushPipe(octets);
    if (this.#queue.octets === octets.length) this.#sendQueue();
  }

  flush(): void {
    if (!takeRun(this) || !this.open) return;
    const { length } = taken;
    const sent = libc.send(this.#fd, taken.address as Pointer, length, MSG_NOSIGNAL);
    if (sent !== length) this.#keep(sent, takenOctets(Math.max(sent, 0)), null);
  }

  /** Sends what is corked and these octets in one call, without copying them. */
  #sendWithCork(octets: Uint8Array): void {
    const first = takeRun(this) ? taken.length : 0;
    const address = (octets.buffer === octetsIn.buffer ? inAddress + octets.byteOffset : ptr(octets)) as Pointer;
    let sent: number;
    if (first === 0) sent = libc.send(this.#fd, address, octets.length, MSG_NOSIGNAL);
    else {
      pointAt(iovWords, 0, taken.address);
      iovWords[2] = first;
      pointAt(iovWords, 4, address);
      iovWords[6] = octets.length;
      sent = libc.sendmsg(this.#fd, msghdr, MSG_NOSIGNAL);
    }
    if (sent === first + octets.length) return;
    const gone = Math.max(sent, 0);
    if (gone < first) this.#keep(sent, takenOctets(gone), octets);
    else this.#keep(sent, octets.subarray(gone - first), null);
  }

  /** Queues what a send did not take. @param sent its result */
  #keep(sent: number, rest: Uint8Array, more: Uint8Array | null): void {
    if (sent < 0) {
      const error = errno();
      if (!isFull(error)) {
        this.#fail(error);
        return;
      }
    }
    this.#queue ??= new SendQueue();
    this.#queue.push(rest);
    if (more !== null) this.#queue.push(more);
  }

  #drain(): void {
    if (this.#closing) this.#startLinger(STALL_MS);
    if (!this.#sendQueue()) return;
    if (this.#closing) this.#finish();
    else {
      if (this.#endWriting) libc.shutdown(this.#fd, SHUT_WR);
      this.handler.onRoom();
    }
  }

  /** @returns true if nothing is queued any more */
  #sendQueue(): boolean {
    const queue = this.#queue!;
    const error = queue.send(this.#fd);
    if (error !== 0) this.#fail(error);
    else if (queue.octets === 0) {
      this.#queue = null;
      return true;
    }
    return false;
  }

  /** Not from within the caller's write, which may be in the middle of something; and after what is there to read. */
  #fail(error: number): void {
    this.#error = error;
    this.#dropQueue();
    nextTurn(this);
  }

  isQuiet(): boolean {
    if (!this.open || this.#error !== 0) return false;
    if (libc.recv(this.#fd, peeked, 1, MSG_PEEK) >= 0) return false;
    const error = errno();
    if (error === EAGAIN) return true;
    this.#fail(error);
    return false;
  }

  endWriting(): void {
    if (this.#endWriting || !this.open) return;
    this.#endWriting = true;
    this.flush();
    if (this.#queue === null) libc.shutdown(this.#fd, SHUT_WR);
  }

  close(peerMaySend: boolean): void {
    if (!this.open || this.#closing) return;
    this.#closing = true;
    this.handler = nobody;
    this.flush();
    // A peer that sends everything before it reads takes our last octets only if we go on reading.
    if (peerMaySend) this.resume();
    else this.#peerEnded = true;
    if (this.#queue === null) this.#finish();
    else this.#startLinger(STALL_MS);
  }

  /** Everything is sent: close, or half-close and wait for the peer's end. */
  #finish(): void {
    if (!this.open || this.#queue !== null) return;
    if (this.#peerEnded) {
      this.destroy();
      return;
    }
    libc.shutdown(this.#fd, SHUT_WR);
    this.#startLinger(LINGER_MS);
  }

  #startLinger(ms: number): void {
    this.#linger ??= new Timer(() => this.destroy());
    this.#linger.arm(timerList(ms)!);
  }

  destroy(reset = false): void {
    if (!this.open) return;
    this.open = false;
    this.#linger?.cancel();
    this.#mark?.clear();
    this.#dropQueue();
    takeRun(this);
    // SO_LINGER with zero time makes close(2) send RST.
    if (reset) libc.setsockopt(this.#fd, SOL_SOCKET, SO_LINGER, resetOnClose, 8);
    closeAtTurnEnd(this.#fd);
  }

  #lose(error: number): void {
    const { handler } = this;
    const closing = this.#closing;
    this.destroy();
    if (!closing) handler.onLost(errnoName(error === 0 ? ECONNRESET : error));
  }
}

const resetOnClose = new Int32Array([1, 0]);

/**
 * Pipes in which octets go from one socket to another without leaving the kernel (splice(2)): a
 * 1 MiB response then costs neither the copy to us nor the one back. A pipe is taken for one read
 * and given back when it is empty, so a few serve all connections; one that still holds octets is
 * closed, never given to another connection.
 *
 * Whoever gets no pipe (all in use, no descriptors left, a kernel that refuses) reads as usual.
 */
import { clock } from "../base/timer.ts";
import { F_SETPIPE_SZ, libc, O_NONBLOCK, SOCK_CLOEXEC, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from "./libc.ts";

/** The most that an unprivileged process may ask for, as long as nobody changed fs.pipe-max-size. */
const PIPE_OCTETS = 1024 * 1024;
/** Most of them wait with octets for slow peers: with more than `limits.queued` of those, reads are small again. */
const MOST_PIPES = 64;
const MOST_FREE = 8;
/** After the kernel refused one: how long nobody asks again. */
const RETRY_MS = 1000;

const free: Pipe[] = [];
const ends = new Int32Array(2);
let open = 0;
let askAgainAt = 0;

export class Pipe {
  /** Octets in it. */
  length = 0;
  readonly #readEnd: number;
  readonly #writeEnd: number;
  #state: "lent" | "taken" | "free" = "lent";

  constructor(readEnd: number, writeEnd: number) {
    this.#readEnd = readEnd;
    this.#writeEnd = writeEnd;
  }

  /** @returns as read(2), with the error in errno */
  fillFrom(fd: number, most: number): number {
    // Content may be longer than an i32 can say.
    const length = Math.min(most, PIPE_OCTETS);
    const moved = libc.splice(fd, null, this.#writeEnd, null, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved > 0) this.length += moved;
    return moved;
  }

  /** @returns as write(2), with the error in errno */
  emptyInto(fd: number): number {
    const moved = libc.splice(this.#readEnd, null, fd, null, this.length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved > 0) this.length -= moved;
    return moved;
  }

  /** For whoever has to see them after all. @returns as read(2), with the error in errno */
  read(room: Uint8Array): number {
    const length = libc.read(this.#readEnd, room, Math.min(room.length, this.length));
    if (length > 0) this.length -= length;
    return length;
  }

  lend(): this {
    this.#state = "lent";
    return this;
  }

  /** The octets left wait for somebody: `release` is his to call. */
  take(): void {
    this.#state = "taken";
  }

  /** Gives it back unless somebody has taken it, and perhaps given it back himself. */
  releaseUntaken(): void {
    if (this.#state === "lent") this.release();
  }

  release(): void {
    this.#state = "free";
    if (this.length === 0 && free.length < MOST_FREE) free.push(this);
    else this.close();
  }

  /** What is in it is gone. */
  close(): void {
    libc.close(this.#readEnd);
    libc.close(this.#writeEnd);
    open--;
  }
}

/** An empty pipe, or null if there is none to be had. */
export function takePipe(): Pipe | null {
  return free.pop()?.lend() ?? openPipe();
}

function openPipe(): Pipe | null {
  if (open >= MOST_PIPES || clock.now < askAgainAt) return null;
  if (libc.pipe2(ends, O_NONBLOCK | SOCK_CLOEXEC) === 0) {
    open++;
    const pipe = new Pipe(ends[0]!, ends[1]!);
    // A user who has many large pipes gets only small ones, and with those reading is cheaper.
    if (libc.fcntl(ends[0]!, F_SETPIPE_SZ, PIPE_OCTETS) >= PIPE_OCTETS) return pipe;
    pipe.close();
  }
  refusePipes();
  return null;
}

/** The kernel does not move octets between these descriptors: for a while, all are read. */
export function refusePipes(): void {
  askAgainAt = clock.now + RETRY_MS;
  while (free.length > 0) free.pop()!.close();
}

/** Pipes that are open, for tests. */
export function openPipes(): { open: number; free: number } {
  return { open, free: free.length };
}

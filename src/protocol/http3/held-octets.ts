/**
 * Request content that came before anybody takes it. The runtime reads whatever a client sends, whatever
 * windows it was given, so a slow origin server does not slow the client down: what it sends meanwhile is
 * held here, first in memory, then in a file without a name. Both are bounded.
 */
import { closeSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OctetQueue } from "../http2/octet-queue.ts";

/** Of one request. */
const MEMORY_OCTETS = 256 * 1024;
const PIECE_OCTETS = 64 * 1024;

/** What all requests of a process may hold in files. */
export class HoldBudget {
  maxOctets: number;
  octets = 0;

  constructor(maxOctets: number) {
    this.maxOctets = maxOctets;
  }
}

const piece = Buffer.allocUnsafeSlow(PIECE_OCTETS);

export class HeldOctets {
  readonly #budget: HoldBudget;
  /** The older part. */
  readonly #memory = new OctetQueue();
  /** Opened when it is needed; -1: not yet. */
  #fd = -1;
  #readAt = 0;
  #writtenAt = 0;

  constructor(budget: HoldBudget) {
    this.#budget = budget;
  }

  get length(): number {
    return this.#memory.length + this.#writtenAt - this.#readAt;
  }

  /** Copies octets to the end. @returns false if there is no room for them; then nothing of them is held */
  push(octets: Uint8Array): boolean {
    if (this.#writtenAt === 0 && this.#memory.length + octets.length <= MEMORY_OCTETS) {
      this.#memory.push(octets);
      return true;
    }
    const budget = this.#budget;
    if (budget.octets + octets.length > budget.maxOctets) return false;
    try {
      if (this.#fd < 0) this.#fd = openNameless();
      let at = 0;
      while (at < octets.length) at += writeSync(this.#fd, octets, at, octets.length - at, this.#writtenAt + at);
    } catch {
      // The disk is full, or there is none to write on.
      return false;
    }
    this.#writtenAt += octets.length;
    budget.octets += octets.length;
    return true;
  }

  /** Takes the first octets out; there must be some. They are borrowed until the next call. */
  take(): Uint8Array {
    if (this.#memory.length > 0) {
      const octets = this.#memory.first(PIECE_OCTETS);
      this.#memory.shift(octets.length);
      return octets;
    }
    const length = readSync(this.#fd, piece, 0, Math.min(PIECE_OCTETS, this.#writtenAt - this.#readAt), this.#readAt);
    if (length === 0) throw new Error("the file of held content is shorter than what was written");
    this.#readAt += length;
    if (this.#readAt === this.#writtenAt) this.#empty();
    return piece.subarray(0, length);
  }

  /** Nobody will take them. */
  clear(): void {
    this.#memory.clear();
    this.#empty();
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #empty(): void {
    // What was read stays on the disk until here, so it counts until here.
    this.#budget.octets -= this.#writtenAt;
    this.#readAt = 0;
    this.#writtenAt = 0;
    if (this.#fd >= 0) ftruncateSync(this.#fd);
  }
}

/** A file that is gone as soon as it is closed, however that happens. */
function openNameless(): number {
  const path = join(tmpdir(), `lintel-${process.pid}-${crypto.randomUUID()}`);
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  return fd;
}

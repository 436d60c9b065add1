/** Copies of octets that wait: for the peer's window, or for whoever takes a request's content. */
import { countQueued } from "../../net/send-queue.ts";

/** Smaller pieces are put together, so that many of them do not cost more than what they hold. */
const SMALL_OCTETS = 4096;

export class OctetQueue {
  readonly #pieces: Buffer[] = [];
  /** Octets of the first piece that are gone. */
  #from = 0;
  /** Octets used of the last piece, if it has room for more. */
  #used = 0;
  length = 0;

  /** Copies octets to the end. */
  push(octets: Uint8Array, from = 0): void {
    const length = octets.length - from;
    if (length === 0) return;
    this.length += length;
    countQueued(length);
    const last = this.#pieces.at(-1);
    if (last !== undefined && last.length - this.#used >= length) {
      last.set(from === 0 ? octets : octets.subarray(from), this.#used);
      this.#used += length;
      return;
    }
    if (last !== undefined) this.#pieces[this.#pieces.length - 1] = last.subarray(0, this.#used);
    const piece = Buffer.allocUnsafeSlow(Math.max(length, SMALL_OCTETS));
    piece.set(from === 0 ? octets : octets.subarray(from), 0);
    this.#pieces.push(piece);
    this.#used = length;
  }

  /** The first octets, at most so many; they leave with `shift`. */
  first(most: number): Uint8Array {
    const piece = this.#pieces[0]!;
    const end = this.#pieces.length === 1 ? this.#used : piece.length;
    return piece.subarray(this.#from, Math.min(end, this.#from + most));
  }

  /** Drops octets that `first` gave. */
  shift(octets: number): void {
    this.length -= octets;
    countQueued(-octets);
    this.#from += octets;
    const end = this.#pieces.length === 1 ? this.#used : this.#pieces[0]!.length;
    if (this.#from < end) return;
    this.#pieces.shift();
    this.#from = 0;
  }

  /** Nobody will take them. */
  clear(): void {
    countQueued(-this.length);
    this.length = 0;
    this.#pieces.length = 0;
    this.#from = 0;
    this.#used = 0;
  }
}

/**
 * The streams that we have reset lately. What the peer sent before it knew may still arrive on them,
 * and is let pass; on a stream that ended otherwise it would be an error (RFC 9113 §5.1).
 */
const MOST = 256;

export class ResetStreams {
  readonly #ids = new Set<number>();
  /** Up to here nobody remembers: all of them are let pass. */
  #forgotten = 0;

  add(streamId: number): void {
    this.#ids.add(streamId);
    if (this.#ids.size <= MOST) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest);
      this.#forgotten = Math.max(this.#forgotten, oldest);
      return;
    }
  }

  has(streamId: number): boolean {
    return streamId <= this.#forgotten || this.#ids.has(streamId);
  }
}

/**
 * What the peer may still send, of a stream or of the connection (RFC 9113 §5.2, §6.9). Octets that
 * were taken are given back in large steps: half a window at a time.
 */
export class ReceiveWindow {
  /** What the peer may have on its way at most. */
  readonly octets: number;
  /** What it may still send. */
  #left: number;
  /** Octets taken since the last update. */
  #taken = 0;

  /** @param left what the peer has been told so far, if it differs */
  constructor(octets: number, left = octets) {
    this.octets = octets;
    this.#left = left;
  }

  get left(): number {
    return this.#left;
  }

  /** Octets arrive. @returns false if there are more than the peer may send; a frame without any needs no window (RFC 9113 §6.9.1) */
  arrive(octets: number): boolean {
    this.#left -= octets;
    return this.#left >= 0 || octets === 0;
  }

  /** Octets were taken. @param mayUpdate false: they are counted, and given back later */
  take(octets: number, mayUpdate: boolean): number {
    this.#taken += octets;
    if (!mayUpdate || this.#taken * 2 < this.octets) return 0;
    const update = this.#taken;
    this.#taken = 0;
    this.#left += update;
    return update;
  }

  /** The peer has learned of another initial window. */
  move(octets: number): void {
    this.#left += octets;
  }
}

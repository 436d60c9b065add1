/**
 * What the peer may still send, of a stream or of the connection (RFC 9113 §5.2, §6.9). Octets that
 * were taken are given back in large steps: half a window at a time.
 *
 * A window begins small and grows while it is what holds the peer up: when half of it comes, and is
 * taken, in less than a round trip. Then it doubles, up to its limit. So an upload over a long way is
 * as fast as the way allows, and a stream on which little comes, or whose taker is slow, may never hold
 * more than at first.
 */
import { clock } from "../../base/timer.ts";
import type { GrowthBudget } from "./window-growth.ts";

/** Where windows begin, if they may be as large. */
const FIRST_STREAM_OCTETS = 256 * 1024;
const FIRST_CONNECTION_OCTETS = 512 * 1024;

export const firstStreamWindow = (most: number): number => Math.min(most, FIRST_STREAM_OCTETS);
export const firstConnectionWindow = (most: number): number => Math.min(most, FIRST_CONNECTION_OCTETS);

export class ReceiveWindow {
  readonly #most: number;
  /** What its growth counts against; null: nothing, it lies within another window. */
  readonly #budget: GrowthBudget | null;
  #octets: number;
  /** What the peer may still send. */
  #left: number;
  /** Octets taken since the last update. */
  #taken = 0;
  /** When the peer was given something last. */
  #updatedAt = clock.now;
  #grown = 0;
  #hasEnded = false;

  /** @param most what it may grow to @param left what the peer has been told so far, if it differs */
  constructor(octets: number, most = octets, left = octets, budget: GrowthBudget | null = null) {
    this.#octets = octets;
    this.#most = most;
    this.#left = left;
    this.#budget = budget;
  }

  /** What the peer may have on its way at most, and we may have to keep. */
  get octets(): number {
    return this.#octets;
  }

  get left(): number {
    return this.#left;
  }

  /** Octets arrive. @returns false if there are more than the peer may send; a frame without any needs no window (RFC 9113 §6.9.1) */
  arrive(octets: number): boolean {
    this.#left -= octets;
    return this.#left >= 0 || octets === 0;
  }

  /**
   * Octets were taken.
   * @param mayUpdate false: they are counted, and given back later
   * @param roundTripMs to the peer and back
   * @returns what to give back now
   */
  take(octets: number, mayUpdate: boolean, roundTripMs: number): number {
    this.#taken += octets;
    if (this.#hasEnded || !mayUpdate || this.#taken * 2 < this.#octets) return 0;
    const now = clock.now;
    if (this.#grown > 0 && this.#budget?.isTight) this.#shrink();
    else if (this.#octets < this.#most && now - this.#updatedAt < roundTripMs) this.#grow();
    this.#updatedAt = now;
    const update = this.#taken;
    this.#taken = 0;
    this.#left += update;
    return update;
  }

  #grow(): void {
    const more = Math.min(this.#octets, this.#most - this.#octets);
    if (this.#budget !== null) {
      if (!this.#budget.take(more)) return;
      this.#grown += more;
    }
    this.#octets += more;
    this.#taken += more;
  }

  /** What was granted stays granted; of what comes back, some is not given again. */
  #shrink(): void {
    const less = Math.min(this.#grown, this.#taken);
    this.#budget!.give(less);
    this.#grown -= less;
    this.#octets -= less;
    this.#taken -= less;
  }

  /** The peer has learned of another initial window. */
  move(octets: number): void {
    this.#left += octets;
  }

  /** Nothing comes any more. What is still taken is not given back, nor does the window grow by it. */
  end(): void {
    this.#hasEnded = true;
    this.#budget?.give(this.#grown);
    this.#grown = 0;
  }
}

/**
 * How many retries an upstream may see: a share of its exchanges, so that retries cannot make an
 * overload worse, and some per second besides, so that a quiet upstream can have one.
 *
 * Both are counted over about the last 10 s: those of the present 10 s, and of the 10 s before the part
 * that is not older. Each worker counts for itself.
 */
import { clock } from "../base/timer.ts";

const WINDOW_MS = 10_000;

export class RetryBudget {
  readonly #share: number;
  readonly #floor: number;
  #windowEnd = Number.NEGATIVE_INFINITY;
  #exchanges = 0;
  #retries = 0;
  #exchangesBefore = 0;
  #retriesBefore = 0;

  /**
   * @param share 0 to 1
   * @param floorPerSecond in this worker
   */
  constructor(share: number, floorPerSecond: number) {
    this.#share = share;
    this.#floor = (floorPerSecond * WINDOW_MS) / 1000;
  }

  /** An exchange begins. */
  exchange(): void {
    if (clock.now >= this.#windowEnd) this.#turn();
    this.#exchanges++;
  }

  /** @returns false if the budget is used up; else the retry is counted */
  tryRetry(): boolean {
    if (clock.now >= this.#windowEnd) this.#turn();
    const before = (this.#windowEnd - clock.now) / WINDOW_MS;
    const exchanges = this.#exchanges + before * this.#exchangesBefore;
    const retries = this.#retries + before * this.#retriesBefore;
    if (retries + 1 > this.#floor + this.#share * exchanges) return false;
    this.#retries++;
    return true;
  }

  #turn(): void {
    const isNext = clock.now < this.#windowEnd + WINDOW_MS;
    this.#exchangesBefore = isNext ? this.#exchanges : 0;
    this.#retriesBefore = isNext ? this.#retries : 0;
    this.#exchanges = 0;
    this.#retries = 0;
    this.#windowEnd = isNext ? this.#windowEnd + WINDOW_MS : clock.now + WINDOW_MS;
  }
}

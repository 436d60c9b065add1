/**
 * How much is done to find the places of one config. Whoever reads it waits meanwhile, and a generated
 * config may have the same mistake in each of 50,000 routes; what has no place then still has its path.
 */

/** More places than anybody reads. */
export const MOST_SEARCHES = 300;
/** Steps from one expression to another for one place; functions that call themselves end there. */
export const MOST_STEPS = 2000;
/** Steps, and members and items passed on the way, for all places. */
export const MOST_IN_ALL = 5_000_000;

export class Effort {
  #searches = 0;
  #steps = 0;
  #inAll = 0;

  /** Steps, and members and items that were passed, until now. */
  get spent(): number {
    return this.#inAll;
  }

  /** Begins a search; false if there may be no more of them. */
  begin(): boolean {
    this.#steps = 0;
    return ++this.#searches <= MOST_SEARCHES && this.#inAll < MOST_IN_ALL;
  }

  /** A step of the search; false if there may be no more of them. */
  step(): boolean {
    if (this.#steps >= MOST_STEPS || this.#inAll >= MOST_IN_ALL) return false;
    this.#steps++;
    this.#inAll++;
    return true;
  }

  /** Members or items that are gone through. */
  look(count: number): void {
    this.#inAll += count;
  }
}

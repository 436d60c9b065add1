/** A line of slots, each endpoint with as many as it weighs, in the order of the list. */
import type { Endpoint } from "../endpoint.ts";

export class WeightSlots {
  #endpoints: readonly Endpoint[] = [];
  /** Where the slots of each endpoint end. */
  #ends = new Float64Array(0);

  /** @param endpoints with a weight above 0 */
  update(endpoints: readonly Endpoint[]): void {
    let end = 0;
    this.#endpoints = endpoints;
    this.#ends = Float64Array.from(endpoints, ({ weight }) => (end += weight));
  }

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  /** Number of slots: the sum of the weights. */
  get total(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /** @param slot 0 to less than `total` */
  at(slot: number): Endpoint {
    const ends = this.#ends;
    let low = 0;
    for (let high = ends.length - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if (ends[middle]! > slot) high = middle;
      else low = middle + 1;
    }
    return this.#endpoints[low]!;
  }
}

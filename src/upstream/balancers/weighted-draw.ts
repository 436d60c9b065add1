/** Draws endpoints by chance, in proportion to their weights. */
import type { Endpoint } from "../endpoint.ts";
import { WeightSlots } from "./weight-slots.ts";

/** Draws that may hit an endpoint that cannot be used, before all are looked at. */
const DRAWS = 8;

export class WeightedDraw {
  readonly #slots = new WeightSlots();

  /** @param endpoints with a weight above 0 */
  update(endpoints: readonly Endpoint[]): void {
    this.#slots.update(endpoints);
  }

  /**
   * Drawing again until it is usable leaves the proportions among the usable ones as they are.
   * @param except not this one
   */
  draw(usable: (endpoint: Endpoint) => boolean, except: Endpoint | null): Endpoint | null {
    const { total } = this.#slots;
    if (total === 0) return null;
    for (let i = 0; i < DRAWS; i++) {
      const endpoint = this.#slots.at(Math.random() * total);
      if (endpoint !== except && hasItsShare(endpoint) && usable(endpoint)) return endpoint;
    }
    return this.#drawFromUsable(usable, except);
  }

  #drawFromUsable(usable: (endpoint: Endpoint) => boolean, except: Endpoint | null): Endpoint | null {
    const { endpoints } = this.#slots;
    let drawn: Endpoint | null = null;
    let total = 0;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i]!;
      if (endpoint === except || !usable(endpoint)) continue;
      const weight = endpoint.effectiveWeight;
      total += weight;
      if (Math.random() * total < weight) drawn = endpoint;
    }
    return drawn;
  }
}

/** By chance false for an endpoint in slow start, the more often the less of its weight it has. */
function hasItsShare(endpoint: Endpoint): boolean {
  const { weight, effectiveWeight } = endpoint;
  return effectiveWeight === weight || Math.random() * weight < effectiveWeight;
}

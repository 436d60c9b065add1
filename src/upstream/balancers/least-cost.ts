/** The endpoint that something is least of; equals take turns. For `least-requests` and `least-time`. */
import type { Endpoint } from "../endpoint.ts";
import { PassTurns } from "./pass-turns.ts";
import { COMPARED, Turns } from "./turns.ts";

/** With more than `COMPARED` endpoints this many are compared for a pick. */
const SAMPLE = 32;

/** Exchanges in flight per unit of weight, over all workers. */
export const load = (endpoint: Endpoint): number => endpoint.inFlight / endpoint.effectiveWeight;

export class LeastCost {
  readonly #cost: (endpoint: Endpoint) => number;
  readonly #turns: Turns;
  readonly #passes: PassTurns;
  #endpoints: readonly Endpoint[] = [];
  /** Of the present pick; kept here so that a pick makes no closure. */
  #least = 0;
  #usable: (endpoint: Endpoint) => boolean = () => false;

  /** @param cost 0 or more; nothing is looked for beyond an endpoint of cost 0 where there are many */
  constructor(turn: number, cost: (endpoint: Endpoint) => number) {
    this.#cost = cost;
    this.#turns = new Turns(turn);
    this.#passes = new PassTurns(turn);
  }

  /** @param endpoints with a weight above 0 */
  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    if (endpoints.length > COMPARED) this.#passes.update(endpoints);
    else this.#turns.update(endpoints);
  }

  pick(usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    return this.#endpoints.length > COMPARED ? this.#leastOfSome(usable) : this.#leastOfAll(usable);
  }

  #leastOfAll(usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    const endpoints = this.#endpoints;
    let best: Endpoint | null = null;
    let least = Infinity;
    let several = false;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i]!;
      const cost = this.#cost(endpoint);
      if (cost > least || !usable(endpoint)) continue;
      several = cost === least || cost === 0;
      if (cost !== least) best = endpoint;
      least = cost;
      if (cost === 0) break; // Nothing is less: whose turn it is among its equals is all that is left to find out.
    }
    if (!several) return best;
    this.#least = least;
    this.#usable = usable;
    // Another worker may just have changed what is in flight.
    return this.#turns.next(this.#isLeast) ?? best;
  }

  readonly #isLeast = (endpoint: Endpoint): boolean => this.#cost(endpoint) === this.#least && this.#usable(endpoint);

  /** Compares the next ones that have their turn: with so many, theirs is as good as the least of all. */
  #leastOfSome(usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    let best: Endpoint | null = null;
    let least = Infinity;
    let compared = 0;
    for (let steps = this.#endpoints.length; steps > 0 && compared < SAMPLE; steps--) {
      const endpoint = this.#passes.step();
      if (endpoint === null || !usable(endpoint)) continue;
      const cost = this.#cost(endpoint);
      if (cost === 0) return endpoint;
      if (best === null || cost < least) {
        best = endpoint;
        least = cost;
      }
      compared++;
    }
    return best ?? this.#passes.next(usable);
  }
}

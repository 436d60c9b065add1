/**
 * Who has room under consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018): an
 * endpoint takes an exchange while it has at most `factor` times its share of all that are in flight.
 */
import { clock } from "../../base/timer.ts";
import type { Endpoint } from "../endpoint.ts";
import { COMPARED } from "./turns.ts";

/** With many endpoints the sum is kept this long; what is picked meanwhile is added to it. */
const KEPT_MS = 10;

export class BoundedLoad {
  readonly #factor: number;
  #endpoints: readonly Endpoint[] = [];
  #countedAt = -Infinity;
  /** Exchanges in flight and weights of all that are usable. */
  #inFlight = 0;
  #weight = 0;
  #usable: (endpoint: Endpoint) => boolean = () => false;

  constructor(factor: number) {
    this.#factor = factor;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    this.#countedAt = -Infinity;
  }

  /** For one pick. @returns what says of an endpoint that it is usable and within its bound */
  within(usable: (endpoint: Endpoint) => boolean): (endpoint: Endpoint) => boolean {
    this.#usable = usable;
    if (this.#endpoints.length <= COMPARED || clock.now - this.#countedAt >= KEPT_MS) this.#count(usable);
    this.#inFlight++;
    return this.#isWithin;
  }

  readonly #isWithin = (endpoint: Endpoint): boolean => {
    if (!this.#usable(endpoint)) return false;
    const share = (this.#inFlight * endpoint.effectiveWeight) / this.#weight;
    return endpoint.inFlight < Math.ceil(this.#factor * share);
  };

  #count(usable: (endpoint: Endpoint) => boolean): void {
    this.#countedAt = clock.now;
    this.#inFlight = 0;
    this.#weight = 0;
    for (let i = 0; i < this.#endpoints.length; i++) {
      const endpoint = this.#endpoints[i]!;
      if (!usable(endpoint)) continue;
      this.#inFlight += endpoint.inFlight;
      this.#weight += endpoint.effectiveWeight;
    }
  }
}

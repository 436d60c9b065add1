/**
 * nginx's smooth weighted round robin: each turn raises every usable endpoint by its weight, takes
 * the highest (the earlier of equals) and lowers it by the sum of the weights raised. Weights 5, 1, 1
 * give a a b a c a a. Every endpoint is looked at for every turn.
 */
import type { Endpoint } from "../endpoint.ts";

const everyone = (): boolean => true;

export class SmoothTurns {
  #endpoints: readonly Endpoint[] = [];
  #current = new Float64Array(0);
  /** Turns to skip at the start. */
  #skip: number;

  constructor(skip: number) {
    this.#skip = skip;
  }

  /** Those that stay keep what they are owed. */
  update(endpoints: readonly Endpoint[]): void {
    const before = new Map(this.#endpoints.map((endpoint, i) => [endpoint, this.#current[i]!]));
    this.#endpoints = endpoints;
    this.#current = Float64Array.from(endpoints, (endpoint) => before.get(endpoint) ?? 0);
    if (endpoints.length === 0) return;
    for (; this.#skip > 0; this.#skip--) this.next(everyone);
  }

  next(usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    const endpoints = this.#endpoints;
    const current = this.#current;
    let best = -1;
    let total = 0;
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i]!;
      if (!usable(endpoint)) continue;
      const weight = endpoint.effectiveWeight;
      current[i]! += weight;
      total += weight;
      if (best < 0 || current[i]! > current[best]!) best = i;
    }
    if (best < 0) return null;
    current[best]! -= total;
    return endpoints[best]!;
  }
}

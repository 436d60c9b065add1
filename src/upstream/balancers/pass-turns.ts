/**
 * Turns in passes over the list: in each pass an endpoint earns its weight, and whoever has earned as
 * much as the heaviest one weighs has its turn. With equal weights that is the list from end to end,
 * as smooth weighted round robin gives it; else the shares are exact and the order nearly as even, at
 * a cost that does not grow with the number of endpoints.
 */
import type { Endpoint } from "../endpoint.ts";

/** Start credit of neighbours differs by this share of a turn, so that light ones are spread over the passes. */
const GOLDEN = 0.618034;

export class PassTurns {
  #endpoints: readonly Endpoint[] = [];
  #weights = new Float64Array(0);
  /** What each has earned towards its next turn; a turn costs `#most`. */
  #earned = new Float64Array(0);
  /** Parts of turns that endpoints in slow start have saved up. */
  #saved = new Float64Array(0);
  /** The largest weight. */
  #most = 0;
  /** Looked at next. */
  #at: number;

  /** @param start number of the endpoint to begin with, modulo their number */
  constructor(start: number) {
    this.#at = start;
  }

  /** Goes on where it was. */
  update(endpoints: readonly Endpoint[]): void {
    const before = new Map(this.#endpoints.map((endpoint, i) => [endpoint, i]));
    const [earned, saved, most, following] = [this.#earned, this.#saved, this.#most, this.#endpoints[this.#at]];
    this.#endpoints = endpoints;
    this.#weights = Float64Array.from(endpoints, ({ weight }) => weight);
    this.#most = this.#weights.reduce((largest, weight) => Math.max(largest, weight), 0);
    this.#saved = Float64Array.from(endpoints, (endpoint) => saved[before.get(endpoint) ?? -1] ?? 0);
    this.#earned = Float64Array.from(endpoints, (endpoint, i) => {
      const old = before.get(endpoint);
      const part = old === undefined ? (i * GOLDEN) % 1 : earned[old]! / most;
      return Math.floor(part * this.#most);
    });
    const at = following === undefined ? -1 : endpoints.indexOf(following);
    this.#at = at >= 0 ? at : this.#at % Math.max(1, endpoints.length);
  }

  /** Goes on by one endpoint. @returns it if it has its turn, which is spent then; else null */
  step(): Endpoint | null {
    const at = this.#at;
    this.#at = at + 1 === this.#endpoints.length ? 0 : at + 1;
    const earned = this.#earned[at]! + this.#weights[at]!;
    if (earned < this.#most) {
      this.#earned[at] = earned;
      return null;
    }
    this.#earned[at] = earned - this.#most;
    const endpoint = this.#endpoints[at]!;
    const { effectiveWeight, weight } = endpoint;
    if (effectiveWeight === weight) return endpoint;
    const saved = this.#saved[at]! + effectiveWeight / weight;
    this.#saved[at] = saved % 1;
    return saved < 1 ? null : endpoint;
  }

  next(usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    const pass = this.#onePass(usable);
    if (pass !== null) return pass;
    if (!this.#skipPasses(usable)) return null;
    return this.#onePass(usable) ?? this.#first(usable);
  }

  #onePass(usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    for (let steps = this.#endpoints.length; steps > 0; steps--) {
      const endpoint = this.step();
      if (endpoint !== null && usable(endpoint)) return endpoint;
    }
    return null;
  }

  /** Goes on to the pass in which a usable endpoint has its turn, when only light ones are usable. */
  #skipPasses(usable: (endpoint: Endpoint) => boolean): boolean {
    let passes = Infinity;
    for (let i = 0; i < this.#endpoints.length; i++) {
      if (!usable(this.#endpoints[i]!)) continue;
      passes = Math.min(passes, Math.ceil((this.#most - this.#earned[i]!) / this.#weights[i]!));
    }
    if (passes === Infinity) return false;
    for (let i = 0; i < this.#endpoints.length; i++) {
      this.#earned[i] = (this.#earned[i]! + (passes - 1) * this.#weights[i]!) % this.#most;
    }
    return true;
  }

  /** All that are usable start slowly, and none has saved up a turn. */
  #first(usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    const { length } = this.#endpoints;
    for (let i = 0; i < length; i++) {
      const at = (this.#at + i) % length;
      if (!usable(this.#endpoints[at]!)) continue;
      this.#at = (at + 1) % length;
      return this.#endpoints[at]!;
    }
    return null;
  }
}

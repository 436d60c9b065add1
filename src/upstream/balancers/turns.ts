/** Whose turn it is: what `round-robin` does, and what others fall back on or break ties with. */
import type { Endpoint } from "../endpoint.ts";
import { PassTurns } from "./pass-turns.ts";
import { SmoothTurns } from "./smooth-turns.ts";

/** Up to this many endpoints all are compared for a pick; with more that would cost tens of microseconds. */
export const COMPARED = 128;

export class Turns {
  readonly #turn: number;
  #turns: SmoothTurns | PassTurns;

  /** @param turn number of the worker: its first turn is that many later */
  constructor(turn: number) {
    this.#turn = turn;
    this.#turns = new PassTurns(turn);
  }

  /** @param endpoints with a weight above 0 */
  update(endpoints: readonly Endpoint[]): void {
    const Kind = endpoints.length > COMPARED || areEqual(endpoints) ? PassTurns : SmoothTurns;
    if (!(this.#turns instanceof Kind)) this.#turns = new Kind(this.#turn);
    this.#turns.update(endpoints);
  }

  next(usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    return this.#turns.next(usable);
  }
}

const areEqual = (endpoints: readonly Endpoint[]): boolean =>
  endpoints.every(({ weight }) => weight === endpoints[0]!.weight);

/** Those that may be picked at all. */
export const weighted = (endpoints: readonly Endpoint[]): readonly Endpoint[] =>
  endpoints.filter(({ weight }) => weight > 0);

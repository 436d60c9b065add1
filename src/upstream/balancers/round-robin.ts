/**
 * `round-robin` gives each endpoint turns in proportion to its weight, spread as evenly as
 * possible: weights 5, 1, 1 give a a b a c a a, the sequence of nginx's smooth weighted round robin.
 */
import { z } from "zod";
import { defineBalancer } from "./balancer.ts";
import { Turns, weighted } from "./turns.ts";

export const roundRobin = defineBalancer({
  name: "round-robin",
  summary: "Endpoints take turns, in proportion to their weights.",
  options: z.strictObject({}),
  create(_options, turn) {
    const turns = new Turns(turn);
    return {
      update(endpoints) {
        turns.update(weighted(endpoints));
      },
      pick(_exchange, usable) {
        return turns.next(usable);
      },
    };
  },
});

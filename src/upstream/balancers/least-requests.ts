/**
 * `least-requests` sends each exchange to the endpoint with the fewest in flight per unit of weight,
 * counted over all workers. Equals take turns, as in nginx's `least_conn`.
 */
import { z } from "zod";
import { defineBalancer } from "./balancer.ts";
import { LeastCost, load } from "./least-cost.ts";
import { weighted } from "./turns.ts";

export const leastRequests = defineBalancer({
  name: "least-requests",
  summary: "The endpoint with the fewest exchanges in flight per unit of weight; equals take turns.",
  options: z.strictObject({}),
  create(_options, turn) {
    const least = new LeastCost(turn, load);
    return {
      update(endpoints) {
        least.update(weighted(endpoints));
      },
      pick(_exchange, usable) {
        return least.pick(usable);
      },
    };
  },
});

/**
 * `round-robin` gives each endpoint turns in proportion to its weight, spread as evenly as
 * possible: weights 5, 1, 1 give a a b a c a a. The sequence is nginx's smooth weighted round
 * robin: each pick raises every usable endpoint by its weight, takes the highest (the earlier of
 * equals) and lowers it by the sum of the weights raised.
 */
import { z } from "zod";
import type { Endpoint } from "../endpoint.ts";
import { defineBalancer } from "./balancer.ts";

export const roundRobin = defineBalancer({
  name: "round-robin",
  summary: "Endpoints take turns, in proportion to their weights.",
  options: z.strictObject({}),
  create() {
    let endpoints: readonly Endpoint[] = [];
    let current = new Float64Array(0);
    return {
      update(next) {
        const before = new Map(endpoints.map((endpoint, i) => [endpoint, current[i]!]));
        endpoints = next;
        current = Float64Array.from(next, (endpoint) => before.get(endpoint) ?? 0);
      },
      pick(_exchange, usable) {
        let best = -1;
        let total = 0;
        for (let i = 0; i < endpoints.length; i++) {
          const endpoint = endpoints[i]!;
          if (!usable(endpoint)) continue;
          current[i]! += endpoint.weight;
          total += endpoint.weight;
          if (best < 0 || current[i]! > current[best]!) best = i;
        }
        if (best < 0) return null;
        current[best]! -= total;
        return endpoints[best]!;
      },
    };
  },
});

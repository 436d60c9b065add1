/**
 * `random-two` draws two different endpoints by their weights and takes the one with fewer exchanges
 * in flight per unit of weight: nearly as even as `least-requests`, at a cost that does not grow with
 * the number of endpoints.
 */
import { z } from "zod";
import { defineBalancer } from "./balancer.ts";
import { load } from "./least-cost.ts";
import { weighted } from "./turns.ts";
import { WeightedDraw } from "./weighted-draw.ts";

export const randomTwo = defineBalancer({
  name: "random-two",
  summary: "Of two endpoints drawn by chance, the one with fewer exchanges in flight per unit of weight.",
  options: z.strictObject({}),
  create() {
    const draw = new WeightedDraw();
    return {
      update(endpoints) {
        draw.update(weighted(endpoints));
      },
      pick(_exchange, usable) {
        const one = draw.draw(usable, null);
        if (one === null) return null;
        const other = draw.draw(usable, one);
        return other !== null && load(other) < load(one) ? other : one;
      },
    };
  },
});

/** `random` draws an endpoint by chance, in proportion to the weights. Workers need not know of each other for that. */
import { z } from "zod";
import { defineBalancer } from "./balancer.ts";
import { weighted } from "./turns.ts";
import { WeightedDraw } from "./weighted-draw.ts";

export const random = defineBalancer({
  name: "random",
  summary: "An endpoint drawn by chance, in proportion to the weights.",
  options: z.strictObject({}),
  create() {
    const draw = new WeightedDraw();
    return {
      update(endpoints) {
        draw.update(weighted(endpoints));
      },
      pick(_exchange, usable) {
        return draw.draw(usable, null);
      },
    };
  },
});

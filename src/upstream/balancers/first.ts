/** `first` fills one endpoint up to its `maxInFlight`, then the next one of the list: as few as possible are busy. */
import { z } from "zod";
import type { Endpoint } from "../endpoint.ts";
import { defineBalancer } from "./balancer.ts";
import { weighted } from "./turns.ts";

export const first = defineBalancer({
  name: "first",
  summary: "The first endpoint of the list that has room (`maxInFlight`), so that as few as possible are busy.",
  options: z.strictObject({}),
  create() {
    let endpoints: readonly Endpoint[] = [];
    return {
      update(next) {
        endpoints = weighted(next);
      },
      pick(_exchange, usable) {
        for (let i = 0; i < endpoints.length; i++) if (usable(endpoints[i]!)) return endpoints[i]!;
        return null;
      },
    };
  },
});

import { expect, test } from "bun:test";
import { endpointListSchema } from "./upstream.ts";

const plain = { weight: 1, backup: false, priority: 0, locality: null, maxInFlight: Infinity };

test("a list of endpoints outside of a config has the shapes of `endpoints`", () => {
  expect(endpointListSchema.parse(["A:1", { address: "b:2", weight: "3", maxInFlight: 5 }])).toEqual([
    { address: "a:1", ...plain },
    { address: "b:2", ...plain, weight: 3, maxInFlight: 5 },
  ]);
  expect(endpointListSchema.parse("a:1")).toEqual([{ address: "a:1", ...plain }]);
  expect(endpointListSchema.parse({ address: "a:1", backup: true })).toEqual([
    { address: "a:1", ...plain, backup: true },
  ]);
});

test("it may be empty: that no endpoint is left is something to say", () => {
  expect(endpointListSchema.parse([])).toEqual([]);
});

test.each([["a"], [[{ address: "a:1", wait: 1 }]], [[null]], [5]])("%j is no list of endpoints", (given) => {
  expect(endpointListSchema.safeParse(given).success).toBe(false);
});

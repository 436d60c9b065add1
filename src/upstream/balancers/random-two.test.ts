import { expect, test } from "bun:test";
import { endpoint } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { randomTwo } from "./random-two.ts";
import { balanced, counts, except, expectShares } from "./testing.ts";

balancerContract(randomTwo, {});

const balance = (...facts: { weight?: number; inFlight?: number }[]) => {
  const endpoints = facts.map((one, i) => endpoint(`e${i}:80`, one));
  return { endpoints, ...balanced(randomTwo, {}, endpoints) };
};

test("of two it is always the one with fewer in flight per unit of weight", () => {
  expect(new Set(balance({ inFlight: 3 }, { inFlight: 2 }).picks(100))).toEqual(new Set([1]));
  expect(new Set(balance({ inFlight: 3, weight: 4 }, { inFlight: 1 }).picks(100))).toEqual(new Set([0]));
});

test("the busiest is never picked, the least busy whenever it is drawn (chi-square)", () => {
  // Pairs of three are equally likely; the idle one is in two of them.
  const { picks } = balance({ inFlight: 0 }, { inFlight: 1 }, { inFlight: 2 });
  expectShares(counts(picks(20_000), 3), [2, 1, 0]);
});

test("equals are picked by their weights (chi-square)", () => {
  expectShares(counts(balance({ weight: 3 }, { weight: 2 }, { weight: 1 }).picks(20_000), 3), [3, 2, 1]);
});

test("both that are drawn are usable", () => {
  const { endpoints, picks } = balance({ inFlight: 0 }, { inFlight: 2 }, { inFlight: 1 });
  expect(new Set(picks(100, except(endpoints[0]!)))).toEqual(new Set([2]));
});

test("exchanges that stay are spread far more evenly than one draw would", () => {
  const { endpoints, pick } = balance(...Array.from({ length: 200 }, () => ({})));
  for (let i = 0; i < 2000; i++) endpoints[pick()]!.state.begin();
  const loads = endpoints.map(({ inFlight }) => inFlight);
  // One draw leaves the busiest near 20 and the idlest near 2.
  expect(Math.max(...loads)).toBeLessThan(16);
  expect(Math.min(...loads)).toBeGreaterThan(3);
});

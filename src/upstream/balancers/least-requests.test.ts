import { describe, expect, test } from "bun:test";
import { privateMemory } from "../endpoint-state.ts";
import { endpoint, stateIn } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { leastRequests } from "./least-requests.ts";
import { balanced, counts, except } from "./testing.ts";

balancerContract(leastRequests, {});

const balance = (...facts: { weight?: number; inFlight?: number }[]) => {
  const endpoints = facts.map((one, i) => endpoint(`e${i}:80`, one));
  return { endpoints, ...balanced(leastRequests, {}, endpoints) };
};

test("the one with the fewest in flight", () => {
  expect(balance({ inFlight: 3 }, { inFlight: 1 }, { inFlight: 2 }).pick()).toBe(1);
});

test("they are counted per unit of weight", () => {
  expect(balance({ inFlight: 3 }, { inFlight: 4, weight: 2 }).pick()).toBe(1);
  expect(balance({ inFlight: 1 }, { inFlight: 4, weight: 3 }).pick()).toBe(0);
});

test("equals take turns", () => {
  expect(balance({ inFlight: 2 }, { inFlight: 5 }, { inFlight: 2 }, { inFlight: 2 }).picks(6)).toEqual([
    0, 2, 3, 0, 2, 3,
  ]);
});

test("equals of different weights take turns as in round-robin (nginx's least_conn)", () => {
  expect(balance({ weight: 5 }, { weight: 1 }, { weight: 1 }).picks(7)).toEqual([0, 0, 1, 0, 2, 0, 0]);
  expect(balance({ weight: 2, inFlight: 4 }, { weight: 1, inFlight: 2 }).picks(3)).toEqual([0, 1, 0]);
});

test("exchanges that stay are spread by weight", () => {
  const { endpoints, pick } = balance({ weight: 3 }, { weight: 2 }, { weight: 1 });
  for (let i = 0; i < 60; i++) endpoints[pick()]!.state.begin();
  expect(endpoints.map(({ inFlight }) => inFlight)).toEqual([30, 20, 10]);
});

test("the least of those that are usable", () => {
  const { endpoints, pick } = balance({ inFlight: 1 }, { inFlight: 3 }, { inFlight: 2 });
  expect(pick(except(endpoints[0]!))).toBe(2);
});

test("what other workers have in flight counts", () => {
  const memory = privateMemory(2, 2);
  const [a, b] = [0, 1].map((i) => endpoint(`e${i}:80`, { state: stateIn(memory, i, 0) }));
  stateIn(memory, 0, 1).begin();
  expect(balanced(leastRequests, {}, [a!, b!]).picks(2)).toEqual([1, 1]);
});

test("one in slow start gets as little as its part of the weight says", () => {
  const [slow, other] = [endpoint("a:80", { slowStartMs: 1e12 }), endpoint("b:80")];
  slow.state.rampSince = 1;
  const { pick } = balanced(leastRequests, {}, [slow, other]);
  for (let i = 0; i < 110; i++) [slow, other][pick()]!.state.begin();
  expect([slow.inFlight, other.inFlight]).toEqual([10, 100]);
});

describe("with more endpoints than can be compared for each pick", () => {
  const many = (facts: (i: number) => { weight?: number; inFlight?: number }) =>
    balance(...Array.from({ length: 1000 }, (_, i) => facts(i)));

  test("idle ones take turns", () => {
    expect(many(() => ({})).picks(1000)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  test("idle ones take turns by weight", () => {
    const picks = many((i) => ({ weight: 1 + (i % 2) })).picks(1500);
    expect(counts(picks, 1000)).toEqual(Array.from({ length: 1000 }, (_, i) => 1 + (i % 2)));
  });

  test("none gets more than one above the least", () => {
    const { endpoints, pick } = many(() => ({}));
    for (let i = 0; i < 3500; i++) endpoints[pick()]!.state.begin();
    const loads = endpoints.map(({ inFlight }) => inFlight);
    expect([Math.min(...loads), Math.max(...loads)]).toEqual([3, 4]);
  });

  test("an idle one is found within one pass over the others", () => {
    const { pick } = many((i) => ({ inFlight: i === 700 ? 0 : 1 }));
    expect(Array.from({ length: 32 }, () => pick())).toContain(700);
  });
});

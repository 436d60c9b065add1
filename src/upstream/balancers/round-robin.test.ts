import { describe, expect, test } from "bun:test";
import { endpoint } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { roundRobin } from "./round-robin.ts";
import { balanced, counts, everyone, except, expectShares, only } from "./testing.ts";

balancerContract(roundRobin, {});

const endpointsOf = (...weights: number[]) => weights.map((weight, i) => endpoint(`e${i}:80`, { weight }));
const balance = (...weights: number[]) => balanced(roundRobin, {}, endpointsOf(...weights));

// As nginx's smooth weighted round robin gives them, by place in the list.
test.each([
  [[1], [0, 0, 0]],
  [
    [1, 1, 1],
    [0, 1, 2, 0, 1, 2],
  ],
  [
    [5, 1, 1],
    [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0],
  ],
  [
    [3, 2, 1],
    [0, 1, 0, 2, 1, 0, 0, 1, 0, 2, 1, 0],
  ],
  [
    [4, 3, 2, 1],
    [0, 1, 2, 0, 1, 3, 0, 2, 1, 0, 0, 1, 2, 0, 1, 3, 0, 2, 1, 0],
  ],
  [
    [2, 2],
    [0, 1, 0, 1, 0, 1, 0, 1],
  ],
  [
    [7, 3],
    [0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0],
  ],
])("weights %j take turns as in %j", (weights, sequence) => {
  expect(balance(...weights).picks(sequence.length)).toEqual(sequence);
});

test("over a whole cycle each has exactly its share, and nobody waits longer than needed", () => {
  const weights = [9, 4, 2, 1];
  const picks = balance(...weights).picks(16 * 5);
  expect(counts(picks, 4)).toEqual(weights.map((weight) => weight * 5));
  for (const [i, weight] of weights.entries()) {
    const places = picks.flatMap((one, at) => (one === i ? [at] : []));
    const gaps = places.slice(1).map((at, n) => at - places[n]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(Math.ceil(16 / weight) + 1);
  }
});

test.each([
  [[1, 1, 1], 2, [2, 0, 1, 2]],
  [[1, 1, 1], 4, [1, 2, 0, 1]],
  [[5, 1, 1], 2, [1, 0, 2, 0]],
])("with weights %j worker %i begins with its own turn: %j", (weights, turn, sequence) => {
  expect(balanced(roundRobin, {}, endpointsOf(...weights), turn).picks(4)).toEqual(sequence);
});

describe("while one is not usable", () => {
  test.each([[[2, 1, 1]], [[1, 1, 1]]])(
    "those of %j share by weight, and it does not catch up afterwards",
    (weights) => {
      const endpoints = endpointsOf(...weights);
      const { picks } = balanced(roundRobin, {}, endpoints);
      expect(picks(4, except(endpoints[0]!))).toEqual([1, 2, 1, 2]);
      const whole = weights.reduce((sum, weight) => sum + weight, 0);
      expect(counts(picks(whole * 10), 3)).toEqual(weights.map((weight) => weight * 10));
    },
  );
});

test("a new set keeps the turns of those that stay", () => {
  const [a, b] = endpointsOf(3, 1);
  const { balancer, pick } = balanced(roundRobin, {}, [a!, b!]);
  expect([pick(), pick()]).toEqual([0, 0]);
  const all = [a!, b!, endpoint("new:80")];
  balancer.update(all);
  const next = Array.from({ length: 5 }, () => all.indexOf(balancer.pick(null!, everyone)!));
  // Without what was before, e1 and the new one would come after two more of e0.
  expect(next[0]).toBe(1);
  expect(next.filter((place) => place === 2)).toHaveLength(1);
});

test("equals go on where they were when another one comes", () => {
  const [a, b, c] = endpointsOf(1, 1, 1);
  const { balancer, pick } = balanced(roundRobin, {}, [a!, b!]);
  expect(pick()).toBe(0);
  balancer.update([c!, a!, b!]);
  expect(balancer.pick(null!, everyone)).toBe(b!);
  expect(balancer.pick(null!, everyone)).toBe(c!);
});

test.each([[[1, 1, 1]], [[2, 2, 1]]])("one of %j in slow start has its part of the turns", (weights) => {
  const endpoints = weights.map((weight, i) => endpoint(`e${i}:80`, { weight, slowStartMs: 1e12 }));
  endpoints[0]!.state.rampSince = 1; // Long ago on this scale: the least share, a tenth.
  const whole = weights.reduce((sum, weight) => sum + weight, 0) - weights[0]! * 0.9;
  const picks = balanced(roundRobin, {}, endpoints).picks(Math.round(whole * 100));
  expect(Math.abs(counts(picks, 3)[0]! - weights[0]! * 10)).toBeLessThanOrEqual(1);
});

describe("with more endpoints than can be compared for each pick", () => {
  const many = (weightOf: (i: number) => number) => Array.from({ length: 1000 }, (_, i) => weightOf(i));

  test("equal ones come one after the other", () => {
    expect(balance(...many(() => 3)).picks(2000)).toEqual([...many((i) => i), ...many((i) => i)]);
  });

  test("each has exactly its share over a whole cycle", () => {
    const weights = many((i) => 1 + (i % 7));
    const whole = weights.reduce((sum, weight) => sum + weight, 0);
    expect(counts(balance(...weights).picks(whole * 7), 1000)).toEqual(weights.map((weight) => weight * 7));
  });

  test("a heavy one does not get its turns in a row", () => {
    const picks = balance(...many((i) => (i === 0 ? 1000 : 1))).picks(1999);
    expect(picks.filter((place) => place === 0)).toHaveLength(1000);
    for (let at = 0; at < 1990; at += 10) expect(picks.slice(at, at + 10)).toContain(0);
    for (let at = 0; at < 1990; at += 10) expect(new Set(picks.slice(at, at + 10)).size).toBeGreaterThan(2);
  });

  test("a few light ones that alone are usable share by weight", () => {
    const endpoints = endpointsOf(...many((i) => (i < 4 ? i + 1 : 1000)));
    const { picks } = balanced(roundRobin, {}, endpoints);
    expectShares(counts(picks(1000, only(...endpoints.slice(0, 4))), 4), [1, 2, 3, 4]);
  });
});

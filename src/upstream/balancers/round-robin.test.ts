import { describe, expect, test } from "bun:test";
import { exchangeOf } from "../../router/test-exchange.ts";
import type { Endpoint } from "../endpoint.ts";
import { endpoint } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { roundRobin } from "./round-robin.ts";

balancerContract(roundRobin, {});

const exchange = exchangeOf();
const all = () => true;

function balance(...weights: number[]) {
  const endpoints = weights.map((weight, i) => endpoint(`e${i}:80`, { weight }));
  const balancer = roundRobin.create({}, 0);
  balancer.update(endpoints);
  const pick = (usable: (one: Endpoint) => boolean = all) => endpoints.indexOf(balancer.pick(exchange, usable)!);
  return { endpoints, balancer, pick, picks: (count: number) => Array.from({ length: count }, () => pick()) };
}

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
  weights.forEach((weight, i) => {
    expect(picks.filter((one) => one === i)).toHaveLength(weight * 5);
    const places = picks.flatMap((one, at) => (one === i ? [at] : []));
    const gaps = places.slice(1).map((at, n) => at - places[n]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(Math.ceil(16 / weight) + 1);
  });
});

describe("while one is not usable", () => {
  test("the others share by their weights, and it does not catch up afterwards", () => {
    const { pick, endpoints, picks } = balance(2, 1, 1);
    const without = (one: Endpoint) => one !== endpoints[0];
    expect(Array.from({ length: 4 }, () => pick(without))).toEqual([1, 2, 1, 2]);
    const after = picks(40);
    expect(after.filter((one) => one === 0)).toHaveLength(20);
  });
});

test("a new set keeps the turns of those that stay", () => {
  const { balancer, endpoints, picks } = balance(3, 1);
  expect(picks(2)).toEqual([0, 0]);
  const added = endpoint("new:80", { weight: 1 });
  balancer.update([...endpoints, added]);
  const next = Array.from({ length: 5 }, () => balancer.pick(exchange, all)!.address);
  // Without what was before, e1 and the new one would come after two more of e0.
  expect(next[0]).toBe("e1:80");
  expect(next.filter((address) => address === "new:80")).toHaveLength(1);
});

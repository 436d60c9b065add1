import { expect, test } from "bun:test";
import { endpoint } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { random } from "./random.ts";
import { balanced, counts, except, expectShares, only } from "./testing.ts";

balancerContract(random, {});

const endpointsOf = (...weights: number[]) => weights.map((weight, i) => endpoint(`e${i}:80`, { weight }));

test.each([[[1, 1, 1]], [[5, 1, 1, 3]], [[1000, 1, 0, 500]]])("weights %j are the shares (chi-square)", (weights) => {
  const { picks } = balanced(random, {}, endpointsOf(...weights));
  expectShares(counts(picks(20_000), weights.length), weights);
});

test("the shares of those that are usable stay in proportion (chi-square)", () => {
  const endpoints = endpointsOf(4, 3, 2, 1);
  const { picks } = balanced(random, {}, endpoints);
  expectShares(counts(picks(20_000, except(endpoints[0]!)), 4), [0, 3, 2, 1]);
});

test("also when nearly all of the weight is not usable (chi-square)", () => {
  const endpoints = endpointsOf(1000, 1000, 1000, 3, 1);
  const { picks } = balanced(random, {}, endpoints);
  expectShares(counts(picks(20_000, only(endpoints[3]!, endpoints[4]!)), 5), [0, 0, 0, 3, 1]);
});

test("one in slow start has its part of its share (chi-square)", () => {
  const endpoints = [endpoint("a:80", { slowStartMs: 1e12 }), endpoint("b:80")];
  endpoints[0]!.state.rampSince = 1;
  expectShares(counts(balanced(random, {}, endpoints).picks(20_000), 2), [0.1, 1]);
});

test("one pick says nothing of the next (chi-square)", () => {
  const picks = balanced(random, {}, endpointsOf(1, 1, 1)).picks(20_000);
  const pairs = picks.slice(1).map((place, i) => picks[i]! * 3 + place);
  expectShares(counts(pairs, 9), new Array<number>(9).fill(1));
});

test("every one of 5,000 is drawn (chi-square)", () => {
  const picks = balanced(random, {}, endpointsOf(...new Array<number>(5000).fill(1))).picks(100_000);
  const found = counts(picks, 5000);
  expectShares(found, new Array<number>(5000).fill(1));
  expect(Math.max(...found)).toBeLessThan(80);
});

import { expect, test } from "bun:test";
import { endpoint } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { first } from "./first.ts";
import { balanced } from "./testing.ts";

balancerContract(first, {});

test("one after the other is filled, and the first with room is used again", () => {
  const endpoints = [2, 1, 3].map((maxInFlight, i) => endpoint(`e${i}:80`, { maxInFlight }));
  const hasRoom = (one: (typeof endpoints)[number]) => one.inFlight < one.spec.maxInFlight;
  const { pick } = balanced(first, {}, endpoints);
  const take = () => {
    const place = pick(hasRoom);
    endpoints[place]?.state.begin();
    return place;
  };
  expect(Array.from({ length: 7 }, take)).toEqual([0, 0, 1, 2, 2, 2, -1]);
  endpoints[1]!.state.end();
  endpoints[0]!.state.end();
  expect([take(), take(), take()]).toEqual([0, 1, -1]);
});

test("weights do not matter, but 0 does", () => {
  const endpoints = [0, 1, 1000].map((weight, i) => endpoint(`e${i}:80`, { weight }));
  expect(balanced(first, {}, endpoints).picks(3)).toEqual([1, 1, 1]);
});

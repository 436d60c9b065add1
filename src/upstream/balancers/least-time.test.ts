import { describe, expect, test } from "bun:test";
import { machineNow } from "../../net/machine-clock.ts";
import { type EndpointFacts, endpoint } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { leastTime } from "./least-time.ts";
import { balanced, counts } from "./testing.ts";

balancerContract(leastTime, {});

const balance = (...facts: EndpointFacts[]) => {
  const endpoints = facts.map((one, i) => endpoint(`e${i}:80`, one));
  return { endpoints, ...balanced(leastTime, {}, endpoints) };
};

test("the fastest", () => {
  expect(balance({ latencyMs: 30 }, { latencyMs: 10 }, { latencyMs: 20 }).pick()).toBe(1);
});

test("those in flight multiply the time", () => {
  // 10 x (3 + 1) is more than 30 x (0 + 1).
  expect(balance({ latencyMs: 30 }, { latencyMs: 10, inFlight: 3 }).pick()).toBe(0);
  expect(balance({ latencyMs: 30 }, { latencyMs: 10, inFlight: 1 }).pick()).toBe(1);
});

test("weight divides it", () => {
  expect(balance({ latencyMs: 30, weight: 4 }, { latencyMs: 10 }).pick()).toBe(0);
  expect(balance({ latencyMs: 50, weight: 4 }, { latencyMs: 10 }).pick()).toBe(1);
});

test("exchanges that stay are shared out by speed", () => {
  const { endpoints, pick } = balance({ latencyMs: 10 }, { latencyMs: 20 }, { latencyMs: 50 });
  for (let i = 0; i < 170; i++) endpoints[pick()]!.state.begin();
  const shares = endpoints.map(({ inFlight }) => inFlight);
  for (const [i, wanted] of [100, 50, 20].entries()) expect(Math.abs(shares[i]! - wanted)).toBeLessThanOrEqual(2);
});

describe("one that nothing is known of", () => {
  test("is tried first", () => {
    expect(balance({ latencyMs: 1 }, {}).pick()).toBe(1);
  });

  test("is tried by one exchange, and waited for", () => {
    const { endpoints, pick } = balance({ latencyMs: 100 }, {});
    endpoints[pick()]!.state.begin();
    expect(pick()).toBe(0);
    endpoints[1]!.state.observeLatency(10, machineNow());
    expect(pick()).toBe(1);
  });

  test("shares with others of its kind in turn, then by what is in flight", () => {
    const { endpoints, pick } = balance({}, {}, {});
    const places = Array.from({ length: 9 }, () => {
      const place = pick();
      endpoints[place]!.state.begin();
      return place;
    });
    expect(counts(places, 3)).toEqual([3, 3, 3]);
  });
});

test("a slow answer counts at once, and is forgotten over time", () => {
  const { endpoints, pick } = balance({}, { latencyMs: 12, inFlight: 1 });

  const { state } = endpoints[0]!;
  state.observeLatency(400, machineNow() - 100_000);
  state.begin();
  expect(pick()).toBe(1);
  state.end();
  for (let agoMs = 95_000; agoMs >= 0; agoMs -= 5000) state.observeLatency(2, machineNow() - agoMs);
  expect(pick()).toBe(0);
});

describe("one that has been silent", () => {
  const silentFor = (ms: number, inFlight: number) => {
    const endpoints = [endpoint("slow:80", { inFlight }), endpoint("fast:80", { latencyMs: 10, inFlight })];
    endpoints[0]!.state.observeLatency(1000, machineNow() - ms);
    return balanced(leastTime, {}, endpoints).pick();
  };

  test("because it was given nothing is tried again after a while", () => {
    expect(silentFor(10_000, 0)).toBe(1);
    expect(silentFor(80_000, 0)).toBe(0);
  });

  test("because it does not answer is not", () => {
    expect(silentFor(80_000, 1)).toBe(1);
  });
});

test("one in slow start gets as little as its part of the weight says", () => {
  const [slow, other] = [endpoint("a:80", { latencyMs: 10, slowStartMs: 1e12 }), endpoint("b:80", { latencyMs: 50 })];
  slow.state.rampSince = 1;
  expect(balanced(leastTime, {}, [slow, other]).pick()).toBe(1);
});

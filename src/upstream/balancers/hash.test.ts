import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { exchangeOf } from "../../router/test-exchange.ts";
import type { Endpoint } from "../endpoint.ts";
import { endpoint } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { hash } from "./hash.ts";
import { balanced, counts, everyone, except, only } from "./testing.ts";

const KEY = "{request.field.x-key}";

balancerContract(hash, { key: "{client.address}" });
balancerContract(hash, { key: "{client.address}", consistent: false });
balancerContract(hash, { key: "{client.address}", boundedLoad: 1.25 });

const keyed = (key: string) => exchangeOf({ fields: key === "" ? {} : { "x-key": key } });

const serversOf = (...weights: number[]) => weights.map((weight, i) => endpoint(`127.0.0.1:${18000 + i}`, { weight }));

function balance(options: { consistent?: boolean; boundedLoad?: number }, endpoints: readonly Endpoint[]) {
  const { pick, balancer } = balanced(hash, { key: KEY, ...options }, endpoints);
  return { balancer, at: (key: string, usable: (one: Endpoint) => boolean = everyone) => pick(usable, keyed(key)) };
}

// As nginx maps them.
const KEYS = ["/index.html", "user-1", "user-2", "user-3", "user-42", "a", "b", "c", "session:9f3a", "0", "hello"];

test.each([
  [
    [1, 1, 1],
    [1, 2, 1, 0, 2, 2, 2, 1, 1, 1, 0],
  ],
  [
    [1, 1, 1, 1],
    [1, 2, 1, 0, 2, 2, 3, 3, 1, 1, 3],
  ],
  [
    [3, 2, 1],
    [1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0],
  ],
])("on the ring, with weights %j, keys go to %j (nginx's hash consistent)", (weights, places) => {
  const { at } = balance({}, serversOf(...weights));
  expect(KEYS.map((key) => at(key))).toEqual(places);
});

test.each([
  [
    [1, 1, 1],
    [2, 2, 0, 2, 2, 2, 0, 2, 1, 2, 1],
  ],
  [
    [3, 2, 1],
    [0, 0, 1, 0, 0, 2, 0, 2, 1, 2, 1],
  ],
])("consistent: false, with weights %j, keys go to %j (nginx's hash)", (weights, places) => {
  const { at } = balance({ consistent: false }, serversOf(...weights));
  expect(KEYS.map((key) => at(key))).toEqual(places);
});

const many = Array.from({ length: 20_000 }, (_, i) => `key-${i}`);
const named = (count: number, weight = 1) =>
  Array.from({ length: count }, (_, i) => endpoint(`10.0.0.${i}:80`, { weight }));
const placesOf = (endpoints: readonly Endpoint[], keys = many) => {
  const { balancer } = balance({}, endpoints);
  return keys.map((key) => balancer.pick(keyed(key), everyone)!.address);
};

describe("on the ring", () => {
  test.each([2, 5, 10, 50])("adding one to %i moves about its share of the keys, and only to it", (count) => {
    const endpoints = named(count);
    const added = endpoint("10.9.9.9:80");
    const before = placesOf(endpoints);
    // Wherever in the list it is put.
    const after = placesOf(endpoints.toSpliced(count >> 1, 0, added));
    const moved = after.filter((address, i) => address !== before[i]);
    expect(new Set(moved)).toEqual(new Set([added.address]));
    // 160 points each: a share varies by about 8 %; four of these.
    expect(Math.abs((moved.length * (count + 1)) / many.length - 1)).toBeLessThan(0.32);
  });

  test("any one that is added takes keys only for itself, any one that is removed gives only its own (property)", () => {
    const keys = many.slice(0, 300);
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ host: fc.ipV4(), weight: fc.integer({ min: 1, max: 5 }) }), {
          minLength: 2,
          maxLength: 8,
          selector: ({ host }) => host,
        }),
        fc.nat(),
        (hosts, seed) => {
          const all = hosts.map(({ host, weight }) => endpoint(`${host}:80`, { weight }));
          const one = all[seed % all.length]!;
          const without = placesOf(
            all.filter((other) => other !== one),
            keys,
          );
          const withIt = placesOf(all, keys);
          for (let i = 0; i < keys.length; i++) if (withIt[i] !== one.address) expect(withIt[i]).toBe(without[i]!);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("one that is not usable gives its keys to others, the rest stays", () => {
    const endpoints = named(8);
    const { balancer } = balance({}, endpoints);
    const before = placesOf(endpoints);
    const after = many.map((key) => balancer.pick(keyed(key), except(endpoints[3]!))!.address);
    const gone = endpoints[3]!.address;
    for (let i = 0; i < many.length; i++) if (before[i] !== gone) expect(after[i]).toBe(before[i]!);
    expect(after).not.toContain(gone);
    // Its points have many different neighbours: nobody takes over all of its keys.
    const heirs = new Set(after.filter((_, i) => before[i] === gone));
    expect(heirs.size).toBe(7);
  });

  test("shares follow the weights", () => {
    const weights = [5, 3, 1, 1];
    const endpoints = weights.map((weight, i) => endpoint(`10.0.0.${i}:80`, { weight }));
    const found = placesOf(endpoints);
    for (const [i, weight] of weights.entries()) {
      const share = found.filter((address) => address === endpoints[i]!.address).length / found.length;
      expect(Math.abs(share / (weight / 10) - 1)).toBeLessThan(0.35);
    }
  });

  test("another weight moves only as many keys as it has to", () => {
    const endpoints = named(4);
    const before = placesOf(endpoints);
    const heavier = endpoints.with(1, endpoint(endpoints[1]!.address, { weight: 2 }));
    const moved = placesOf(heavier).filter((address, i) => address !== before[i]);
    expect(new Set(moved)).toEqual(new Set([endpoints[1]!.address]));
    expect(moved.length / many.length).toBeLessThan(0.25);
  });

  test("the same endpoints in another order, or once more, stay where they are", () => {
    const endpoints = named(6);
    const { balancer } = balance({}, endpoints);
    const before = placesOf(endpoints);
    balancer.update(endpoints.toReversed());
    expect(many.map((key) => balancer.pick(keyed(key), everyone)!.address)).toEqual(before);
    const again = named(6);
    balancer.update(again);
    const picks = many.map((key) => balancer.pick(keyed(key), everyone)!);
    expect(picks.map(({ address }) => address)).toEqual(before);
    expect(again).toContain(picks[0]!);
  });

  test("a ring that changed many times is the one that is made at once (property)", () => {
    const keys = many.slice(0, 100);
    const member = fc.record({ host: fc.nat(9), weight: fc.integer({ min: 0, max: 3 }) });
    const set = fc.uniqueArray(member, { maxLength: 8, selector: ({ host }) => host });
    fc.assert(
      fc.property(fc.array(set, { minLength: 1, maxLength: 6 }), (sets) => {
        const { balancer } = balance({}, []);
        for (const hosts of sets) {
          const endpoints = hosts.map(({ host, weight }) => endpoint(`10.0.0.${host}:80`, { weight }));
          balancer.update(endpoints);
          const { balancer: fresh } = balance({}, endpoints);
          for (const key of keys) expect(balancer.pick(keyed(key), everyone)).toBe(fresh.pick(keyed(key), everyone));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("after 20 further points that are not usable the turn decides", () => {
    const endpoints = [endpoint("heavy:80", { weight: 1000 }), endpoint("b:80"), endpoint("c:80")];
    const { at } = balance({}, endpoints);
    const rest = only(endpoints[1]!, endpoints[2]!);
    const key = many.find((one) => at(one) === 0)!;
    const places = Array.from({ length: 4 }, () => at(key, rest));
    expect(places.filter((place) => place === 0)).toEqual([]);
  });

  test("weights that would fill the memory get proportionally fewer points", () => {
    const endpoints = Array.from({ length: 2000 }, (_, i) =>
      endpoint(`10.0.${i >> 8}.${i & 255}:80`, { weight: 1000 }),
    );
    const found = new Set(placesOf(endpoints));
    expect(found.size).toBeGreaterThan(1990);
  });
});

test.each(["[2001:db8::7]:80", "unix:/run/app.sock", "name.internal:8080"])("an endpoint may be %s", (address) => {
  const endpoints = [endpoint(address), endpoint("10.0.0.1:80")];
  const share = placesOf(endpoints).filter((one) => one === address).length / many.length;
  expect(Math.abs(share - 0.5)).toBeLessThan(0.16);
});

test.each([true, false])("without a key the turn decides (consistent: %p)", (consistent) => {
  const { at } = balance({ consistent }, serversOf(1, 1, 1));
  expect(Array.from({ length: 4 }, () => at(""))).toEqual([0, 1, 2, 0]);
});

test("consistent: false: keys whose endpoint is not usable go to others, the rest stays", () => {
  const endpoints = serversOf(1, 1, 1, 1);
  const { at } = balance({ consistent: false }, endpoints);
  const before = many.map((key) => at(key));
  const after = many.map((key) => at(key, except(endpoints[0]!)));
  for (let i = 0; i < many.length; i++) if (before[i] !== 0) expect(after[i]).toBe(before[i]!);
  expect(counts(after, 4)[0]).toBe(0);
});

test("octets of a key beyond ASCII count as they came", () => {
  const { at } = balance({ consistent: false }, named(50));
  expect(at("caf\u00e9")).not.toBe(at("caf\u00e8"));
});

describe("boundedLoad", () => {
  test("a key stays at its endpoint as long as that has room", () => {
    const endpoints = named(5);
    const { at } = balance({ boundedLoad: 1.25 }, endpoints);
    const { at: free } = balance({}, endpoints);
    for (const key of many.slice(0, 500)) expect(at(key)).toBe(free(key));
  });

  test("a hot key never gives an endpoint more than its bound", () => {
    const endpoints = named(8);
    const { at } = balance({ boundedLoad: 1.25 }, endpoints);
    for (let inFlight = 1; inFlight <= 400; inFlight++) {
      endpoints[at("hot")]!.state.begin();
      for (const one of endpoints) expect(one.inFlight).toBeLessThanOrEqual(Math.ceil((1.25 * inFlight) / 8));
    }
  });

  test("the bound follows the weight", () => {
    const endpoints = [1, 1, 6].map((weight, i) => endpoint(`10.0.0.${i}:80`, { weight }));
    const { at } = balance({ boundedLoad: 1.1 }, endpoints);
    for (let i = 0; i < 400; i++) endpoints[at("hot")]!.state.begin();
    for (const { inFlight, weight } of endpoints)
      expect(inFlight).toBeLessThanOrEqual(Math.ceil((1.1 * 400 * weight) / 8));
  });

  test("the bound is a share of those that are usable", () => {
    const endpoints = named(10);
    const usable = endpoints.slice(0, 5);
    for (const { state } of usable) for (let i = 0; i < 4; i++) state.begin();
    const { at } = balance({ boundedLoad: 1.25 }, endpoints);
    const { at: free } = balance({}, endpoints);
    // Of all ten each might have three, and nobody would have room.
    for (const key of many.slice(0, 100)) expect(at(key, only(...usable))).toBe(free(key, only(...usable)));
  });

  test("with many endpoints the sum is not made for each pick, and hot keys are spread all the same", () => {
    const endpoints = Array.from({ length: 500 }, (_, i) => endpoint(`10.0.${i >> 8}.${i & 255}:80`));
    const { at } = balance({ boundedLoad: 1.5 }, endpoints);
    for (let i = 0; i < 5000; i++) endpoints[at("hot")]!.state.begin();
    expect(Math.max(...endpoints.map(({ inFlight }) => inFlight))).toBeLessThanOrEqual(15);
  });

  test.each([
    [{ key: KEY, consistent: false, boundedLoad: 1.5 }, "boundedLoad needs the ring"],
    [{ key: KEY, boundedLoad: 1 }, "1"],
    [{}, "key"],
    [{ key: "{client.adress}" }, "client.address"],
  ])("options %j are refused", (options, word) => {
    expect(JSON.stringify(hash.options.safeParse(options).error?.issues)).toContain(word);
  });
});

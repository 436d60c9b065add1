import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { canonicalIp, encodeSockaddr } from "../../net/address.ts";
import { exchangeOf } from "../../router/test-exchange.ts";
import { endpoint } from "../testing.ts";
import { balancerContract } from "./contract.ts";
import { ipHash } from "./ip-hash.ts";
import { balanced, counts, everyone, except, only } from "./testing.ts";

balancerContract(ipHash, {});

const endpointsOf = (...weights: number[]) => weights.map((weight, i) => endpoint(`e${i}:80`, { weight }));

function balance(...weights: number[]) {
  const endpoints = endpointsOf(...weights);
  const { pick } = balanced(ipHash, {}, endpoints);
  return { endpoints, at: (client: string, usable = everyone) => pick(usable, exchangeOf({ client })) };
}

// As nginx maps them.
describe.each([
  [
    [1, 1, 1],
    {
      "10.0.0.1": 0,
      "10.0.0.200": 0,
      "10.0.1.1": 1,
      "192.168.1.7": 1,
      "203.0.113.9": 0,
      "198.51.100.77": 0,
      "8.8.8.8": 2,
      "2001:db8::1": 2,
      "2001:db8::2": 0,
      "::1": 2,
    },
  ],
  [
    [3, 2, 1],
    {
      "10.0.0.1": 1,
      "10.0.0.200": 1,
      "10.0.1.1": 1,
      "192.168.1.7": 1,
      "203.0.113.9": 0,
      "198.51.100.77": 0,
      "8.8.8.8": 2,
      "2001:db8::1": 0,
      "2001:db8::2": 1,
      "::1": 2,
    },
  ],
])("with weights %j", (weights, places) => {
  test.each(Object.entries(places))("%s goes to endpoint %i (nginx)", (client, place) => {
    expect(balance(...weights).at(client)).toBe(place);
  });
});

test("a network of 256 addresses stays together", () => {
  const { at } = balance(1, 1, 1, 1, 1);
  const places = new Set(Array.from({ length: 256 }, (_, i) => at(`203.0.113.${i}`)));
  expect(places.size).toBe(1);
});

test("the client's address counts, as a trusted proxy says it", () => {
  const { pick } = balanced(ipHash, {}, endpointsOf(1, 1, 1));
  const exchange = exchangeOf({ client: "10.0.1.1" });
  exchange.clientAddress = "8.8.8.8";
  expect(pick(everyone, exchange)).toBe(2);
});

test("who has no address, behind a unix socket, stays at one endpoint too", () => {
  const { at } = balance(1, 1, 1);
  expect(new Set([at(""), at(""), at("0.0.0.9")]).size).toBe(1);
});

test("networks whose endpoint is not usable go to others by further hashes, the others stay", () => {
  const { endpoints, at } = balance(1, 1, 1, 1);
  const clients = Array.from({ length: 4000 }, (_, i) => `10.${i >> 8}.${i & 255}.1`);
  const before = clients.map((client) => at(client));
  const after = clients.map((client) => at(client, except(endpoints[2]!)));
  for (const [i, place] of before.entries()) if (place !== 2) expect(after[i]).toBe(place);
  const moved = counts(
    after.filter((_, i) => before[i] === 2),
    4,
  );
  expect(moved[2]).toBe(0);
  for (const place of [0, 1, 3]) expect(moved[place]).toBeGreaterThan(200);
});

test("after 20 further hashes that hit nothing usable the turn decides", () => {
  const { endpoints, at } = balance(1000, 1000, 1000, 1, 1);
  const places = Array.from({ length: 10 }, () => at("198.51.100.77", only(endpoints[3]!, endpoints[4]!)));
  expect(counts(places, 5)).toEqual([0, 0, 0, 5, 5]);
});

test("every spelling of an IPv6 address that there is counts with all its octets (property)", () => {
  const weights = new Array<number>(97).fill(1);
  const { at } = balance(...weights);
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const client = canonicalIp(text)!;
      if (!client.includes(":")) return;
      const octets = encodeSockaddr({ kind: "tcp", host: client, port: 0 }).subarray(8, 24);
      expect(at(client)).toBe(octets.reduce((hash, octet) => (hash * 113 + octet) % 6271, 89) % 97);
    }),
  );
});

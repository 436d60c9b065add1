import { expect, test } from "bun:test";
import fc from "fast-check";
import { HostMap } from "./host-map.ts";

function mapOf(...patterns: string[]): HostMap {
  const map = new HostMap();
  for (const [i, pattern] of patterns.entries()) map.add(pattern, i);
  return map;
}

test.each([
  ["www.example.com", "www.example.com"],
  ["shop.example.com", "*.example.com"],
  ["a.shop.example.com", ".shop.example.com"],
  ["b.a.shop.example.com", ".shop.example.com"],
  ["a.b.example.com", ".example.com"],
  ["api1.test", "~^api\\d\\."],
  ["api.test", "*"],
  ["example.com", "*"],
  ["xexample.com", "*"],
  ["", "*"],
  ["[::1]", "*"],
])("host %j is decided by %s", (host, pattern) => {
  const map = mapOf("*", "~^api\\d\\.", ".example.com", ".shop.example.com", "*.example.com", "www.example.com");
  expect(map.patternFor(host)).toBe(pattern);
});

test("without a pattern for every host, a host that fits none has none", () => {
  expect(mapOf("a.example", "*.b.example", ".c.example", "~^d").find("x.example")).toBe(-1);
});

test("of two regexes that fit, the earlier one decides", () => {
  expect(mapOf("~^a", "~example$").find("a.example")).toBe(0);
  expect(mapOf("~example$", "~^a").find("a.example")).toBe(0);
});

test.each(["a.example", "*.a.example", ".a.example", "~^a", "*"])("who claims %s first keeps it", (pattern) => {
  const map = new HostMap();
  expect(map.add(pattern, 1)).toBe(true);
  expect(map.add(pattern, 2)).toBe(false);
  expect(Math.max(map.find("a.example"), map.find("b.a.example"))).toBe(1);
});

test("patterns are compared without case and trailing dot", () => {
  expect(mapOf("Example.COM.").find("example.com")).toBe(0);
});

test.each(["a b", "http://a.example", "a.example:80", "a.*.example", "~("])("%j is no host pattern", (pattern) => {
  expect(() => mapOf(pattern)).toThrow(TypeError);
});

test("a host of a million labels costs no more than a pass over it: with one for each label this would never end", () => {
  const map = mapOf(".example.com", "*.example.com", "~nothing");
  expect(map.find("a.".repeat(1_000_000))).toBe(-1);
});

test("the map answers as a walk over all patterns would", () => {
  const label = fc.constantFrom("a", "b", "c");
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
  const pattern = fc.oneof(
    name,
    name.map((n) => `*.${n}`),
    name.map((n) => `.${n}`),
    fc.constantFrom("~^a", "~b$", "~c\\.a", "*"),
  );
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 8 }), name, (patterns, host) => {
      expect(mapOf(...patterns).find(host)).toBe(naive(patterns, host));
    }),
    { numRuns: 2000 },
  );
});

/** The rules of the head comment one by one. */
function naive(patterns: readonly string[], host: string): number {
  const rank = (p: string): number[] | null => {
    if (p === "*") return [5, 0];
    if (p.startsWith("~")) return new RegExp(p.slice(1)).test(host) ? [4, 0] : null;
    if (p.startsWith("*."))
      return host.split(".").slice(1).join(".") === p.slice(2) && host.includes(".") ? [2, 0] : null;
    if (p.startsWith(".")) return host.endsWith(p) && host.length > p.length ? [3, -p.length] : null;
    return p === host ? [1, 0] : null;
  };
  const fitting = patterns.flatMap((p, i) => {
    const r = rank(p);
    return r === null ? [] : [{ i, r }];
  });
  return fitting.sort((x, y) => x.r[0]! - y.r[0]! || x.r[1]! - y.r[1]! || x.i - y.i)[0]?.i ?? -1;
}

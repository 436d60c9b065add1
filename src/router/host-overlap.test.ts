import { expect, test } from "bun:test";
import fc from "fast-check";
import { HostMap } from "./host-map.ts";
import { HostPatterns, mayMeet } from "./host-overlap.ts";

/** Every host of one to four labels out of two. */
const HOSTS = ["a", "b"];
for (const name of HOSTS) if (name.length < 7) HOSTS.push(`a.${name}`, `b.${name}`);
const NAMES = HOSTS.filter((name) => name.length <= 5);
const PATTERNS = [...NAMES, ...NAMES.map((name) => `*.${name}`), ...NAMES.map((name) => `.${name}`), "*"];

test("two patterns may meet exactly if there is a host that fits both", () => {
  const fitting = PATTERNS.map((pattern) => {
    const map = new HostMap();
    map.add(pattern, 0);
    return new Set(HOSTS.filter((host) => map.find(host) === 0));
  });
  for (const [i, one] of PATTERNS.entries()) {
    for (const [j, other] of PATTERNS.entries()) {
      expect([one, other, mayMeet(one, other)]).toEqual([one, other, !fitting[i]!.isDisjointFrom(fitting[j]!)]);
    }
  }
});

test.each([
  ["~^a\\d", "a1.example", true],
  ["~^a\\d", "b1.example", false],
  ["~^a\\d", "*.example", true],
  ["~^a\\d", "~^b", true],
  ["~^a\\d", "*", true],
  ["A.Example.", "a.example", true],
  ["[::1]", "[::1]", true],
  ["[::1]", "[::2]", false],
  ["localhost", ".example", false],
])("%s and %s: %p", (one, other, expected) => {
  expect(mayMeet(one, other)).toBe(expected);
  expect(mayMeet(other, one)).toBe(expected);
});

test("of several patterns one is met exactly if it is one by one", () => {
  const one = fc.constantFrom(...PATTERNS, "A.B", "b.a.", "~^a", "~b$", "[::1]");
  fc.assert(
    fc.property(fc.array(one, { maxLength: 4 }), one, (patterns, asked) => {
      const known = new HostPatterns(patterns);
      const expected = patterns.some((pattern) => mayMeet(asked, pattern));
      expect([known.mayMeet(asked), known.mayMeet(asked)]).toEqual([expected, expected]);
    }),
    { numRuns: 3000 },
  );
});

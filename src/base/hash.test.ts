import { expect, test } from "bun:test";
import { numberHash, textHash } from "./hash.ts";

/** The most keys that share a place of a table of 1,024 places. With 1,024 keys, chance makes it 5 to 8. */
function fullestPlace(hashes: readonly number[]): number {
  const places = new Map<number, number>();
  for (const hash of hashes) places.set(hash & 1023, (places.get(hash & 1023) ?? 0) + 1);
  return Math.max(...places.values());
}

const KEYS = Array.from({ length: 1024 }, (_, i) => i);

test.each<[string, number[]]>([
  ["that follow each other", KEYS],
  ["that differ in the highest bits only", KEYS.map((i) => i * 2 ** 43)],
  ["that are addresses with one port", KEYS.map((i) => (0x7f000000 + i) * 65_536 + 53)],
  ["that are ports of one address", KEYS.map((i) => 0x7f000001 * 65_536 + i)],
])("numbers %s are spread", (_, keys) => {
  expect(fullestPlace(keys.map(numberHash))).toBeLessThan(16);
});

test("texts are spread, be it by their first or their last character", () => {
  const octets = (i: number) => String.fromCharCode(i >> 8, i & 255);
  expect(fullestPlace(KEYS.map((i) => textHash(`${octets(i)}\0\0\0\0\0\0`)))).toBeLessThan(16);
  expect(fullestPlace(KEYS.map((i) => textHash(`\0\0\0\0\0\0${octets(i)}`)))).toBeLessThan(16);
});

test("the same key has the same hash", () => {
  expect(numberHash(2 ** 47 + 1)).toBe(numberHash(2 ** 47 + 1));
  expect(textHash("PROXY TCP4")).toBe(textHash(["PROXY", "TCP4"].join(" ")));
});

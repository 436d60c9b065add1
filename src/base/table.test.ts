import { expect, test } from "bun:test";
import fc from "fast-check";
import { Table } from "./table.ts";

const HASHES: Readonly<Record<string, (key: number) => number>> = {
  "that spreads them": (key) => key,
  "that is negative, too": (key) => Math.imul(key, 0x9e3779b1),
  "by which they all collide": () => 5,
  "by which some collide at the end": (key) => 6 + (key & 1),
};

for (const [name, hash] of Object.entries(HASHES))
  test(`with a hash ${name} it does what a Map does`, () => {
    const step = fc.record({ adds: fc.boolean(), key: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const table = new Table<number, { readonly key: number }>(hash);
        const map = new Map<number, { readonly key: number }>();
        for (const { adds, key } of steps) {
          if (!adds) expect(table.delete(key)).toBe(map.delete(key));
          else if (table.get(key) === null) {
            const value = { key };
            table.add(key, value);
            map.set(key, value);
          }
          expect(table.size).toBe(map.size);
        }
        for (let key = 0; key <= 40; key++) expect(table.get(key)).toBe(map.get(key) ?? null);
        expect(table.all().sort((a, b) => a.key - b.key)).toEqual([...map.values()].sort((a, b) => a.key - b.key));
      }),
    );
  });

test("text is a key, too", () => {
  const table = new Table<string, number>((key) => key.length);
  table.add("one", 1);
  table.add("two", 2);
  expect(table.get("two")).toBe(2);
  expect(table.get("six")).toBeNull();
});

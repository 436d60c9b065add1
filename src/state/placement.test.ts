import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Allocation, Noting, Sequence, Told, ZoneFull } from "./placement.ts";

const SIZES = { totals: 10, levels: 4, shared: 4, times: 4 };

function allocate(sizes = SIZES) {
  const cleared: string[] = [];
  const allocation = new Allocation(sizes, (area, first, cells) => cleared.push(`${area} ${first} ${cells}`));
  return { allocation, cleared };
}

describe("allocation", () => {
  test("the same key has the same cells, another one others", () => {
    const { allocation } = allocate();
    expect(allocation.place("totals", "a", 3)).toBe(0);
    expect(allocation.place("totals", "b", 2)).toBe(3);
    expect(allocation.place("totals", "a", 3)).toBe(0);
    expect(allocation.place("levels", "a", 3)).toBe(0);
  });

  test("cells given back are taken when no fresh ones are left, the oldest first, and cleared", () => {
    const { allocation, cleared } = allocate();
    for (const key of ["a", "b", "c", "d"]) allocation.place("levels", key, 1);
    allocation.free("levels", "c", 1);
    allocation.free("levels", "a", 1);
    expect(allocation.place("levels", "e", 1)).toBe(2);
    expect(allocation.place("levels", "f", 1)).toBe(0);
    expect(cleared).toEqual(["levels 2 1", "levels 0 1"]);
  });

  test("a full zone says what to raise", () => {
    const { allocation } = allocate();
    allocation.place("shared", "a", 4);
    expect(() => allocation.place("shared", "b", 1)).toThrow(ZoneFull);
    expect(() => allocation.place("shared", "b", 1)).toThrow("`zone.endpoints`");
  });

  test("whatever comes and goes, no two that are there overlap (property)", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(12), fc.integer({ min: 1, max: 4 }), fc.boolean())), (steps) => {
        const { allocation } = allocate({ ...SIZES, totals: 24 });
        const held = new Map<string, number[]>();
        for (const [key, cells, isGone] of steps) {
          const name = `${key}/${cells}`;
          if (isGone) {
            allocation.free("totals", name, cells);
            held.delete(name);
            continue;
          }
          try {
            const first = allocation.place("totals", name, cells);
            held.set(
              name,
              Array.from({ length: cells }, (_, i) => first + i),
            );
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(ZoneFull);
          }
          const all = [...held.values()].flat();
          expect(new Set(all).size).toBe(all.length);
          expect(Math.max(0, ...all)).toBeLessThan(24);
        }
      }),
    );
  });
});

test("a worker that is told the places in order has the same ones", () => {
  const noting = new Noting(new Sequence({ totals: 5 }));
  const first = [noting.place("totals", "a", 2), noting.place("levels", "b", 1), noting.place("totals", "c", 1)];
  const told = new Told(noting.places);
  expect([told.place("totals", "a"), told.place("levels", "b"), told.place("totals", "c")]).toEqual(first);
  expect(() => told.place("totals", "d")).toThrow("the supervisor has another config");
});

import { expect, test } from "bun:test";
import fc from "fast-check";
import { gradesOf } from "./grades.ts";

const graded = (...records: [host: string, priority: number, weight: number][]) =>
  gradesOf(records.map(([host, priority, weight]) => ({ host, port: 80, priority, weight }))).map(
    ({ host, priority, weight }) => [host, priority, weight],
  );

test("priorities become 0, 1, 2 in their order (RFC 2782)", () => {
  expect(graded(["c", 65535, 1], ["a", 10, 1], ["b", 20, 1], ["d", 10, 1])).toEqual([
    ["a", 0, 1],
    ["d", 0, 1],
    ["b", 1, 1],
    ["c", 2, 1],
  ]);
});

test("weights stay as they are where they can", () => {
  expect(graded(["a", 0, 60], ["b", 0, 30], ["c", 0, 1000])).toEqual([
    ["a", 0, 60],
    ["b", 0, 30],
    ["c", 0, 1000],
  ]);
});

test("weights over 1000 are scaled down, none below 1", () => {
  expect(graded(["a", 0, 65535], ["b", 0, 32768], ["c", 0, 1])).toEqual([
    ["a", 0, 1000],
    ["b", 0, 500],
    ["c", 0, 1],
  ]);
});

test("weight 0 is a small chance beside others, and a fair share among its like (RFC 2782)", () => {
  expect(graded(["a", 0, 0], ["b", 0, 5], ["c", 0, 10])).toEqual([
    ["a", 0, 1],
    ["b", 0, 50],
    ["c", 0, 100],
  ]);
  expect(graded(["a", 0, 0], ["b", 0, 0])).toEqual([
    ["a", 0, 1],
    ["b", 0, 1],
  ]);
});

test("each priority has weights of its own", () => {
  expect(graded(["a", 0, 50_000], ["b", 1, 2], ["c", 1, 3])).toEqual([
    ["a", 0, 1000],
    ["b", 1, 2],
    ["c", 1, 3],
  ]);
});

test("what comes twice is joined: the lowest priority counts, weights add up", () => {
  expect(graded(["a", 1, 2], ["a", 1, 3], ["b", 1, 1], ["a", 2, 7])).toEqual([
    ["a", 0, 5],
    ["b", 0, 1],
  ]);
});

test("nothing gives nothing", () => {
  expect(gradesOf([])).toEqual([]);
});

test("whatever the records, weights are 1 to 1000 and priorities count from 0 without a gap", () => {
  const one = fc.record({
    host: fc.constantFrom("a", "b", "c", "d", "e"),
    port: fc.constantFrom(80, 81),
    priority: fc.constantFrom(0, 1, 10, 65_535),
    weight: fc.oneof(fc.constant(0), fc.nat(20), fc.nat(65_535)),
  });
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 20 }), (records) => {
      const graded = gradesOf(records);
      const places = new Set(records.map(({ host, port }) => `${host} ${port}`));
      expect(new Set(graded.map(({ host, port }) => `${host} ${port}`))).toEqual(places);
      expect(graded).toHaveLength(places.size);
      for (const { weight } of graded) expect(Number.isInteger(weight) && weight >= 1 && weight <= 1000).toBe(true);
      const ranks = [...new Set(graded.map(({ priority }) => priority))].sort((a, b) => a - b);
      expect(ranks.every((rank, i) => rank === i)).toBe(true);
    }),
  );
});

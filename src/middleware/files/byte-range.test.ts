import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseRanges } from "./byte-range.ts";

const SIZE = 10_000;
const ranges = (value: string, size = SIZE) => {
  const parsed = parseRanges(value, size);
  return Array.isArray(parsed) ? parsed.map(({ start, end }) => [start, end]) : parsed;
};

test.each([
  ["bytes=0-0", [[0, 1]]],
  ["bytes=0-499", [[0, 500]]],
  ["bytes=9500-", [[9500, 10_000]]],
  ["bytes=-500", [[9500, 10_000]]],
  ["bytes=-20000", [[0, 10_000]]],
  ["bytes=9999-99999999999999999999999", [[9999, 10_000]]],
  ["Bytes=0-1", [[0, 2]]],
  [
    "bytes= 0-1\t, ,5000-5001",
    [
      [0, 2],
      [5000, 5002],
    ],
  ],
  // In the order asked for (§15.3.7.2).
  [
    "bytes=5000-5001,0-1",
    [
      [5000, 5002],
      [0, 2],
    ],
  ],
  // One that lies outside is left out of those that do not.
  ["bytes=10000-,0-1", [[0, 2]]],
  ["bytes=-0,0-1", [[0, 2]]],
] as const)("%s is %j (RFC 9110 §14.1.2)", (value, expected) => {
  expect(ranges(value)).toEqual(expected.map((pair) => [...pair]));
});

test.each(["bytes=10000-", "bytes=10000-10001", "bytes=-0", "bytes=20000-30000,-0"])(
  "%s cannot be satisfied (RFC 9110 §15.5.17)",
  (value) => {
    expect(ranges(value)).toBe("unsatisfiable");
  },
);

test.each([
  "bytes=",
  "bytes",
  "bytes=-",
  "bytes=5-4",
  "bytes=a-b",
  "bytes=1",
  "bytes=0-1,x",
  "bytes=--1",
  "bytes=0x1-2",
  "bytes=+1-2",
  "bytes =0-1",
  "lines=0-1",
  "",
])("%j is ignored (RFC 9110 §14.2)", (value) => {
  expect(ranges(value)).toBeNull();
});

test.each([
  ["bytes=0-9,5-14", [[0, 15]]],
  ["bytes=0-9,10-14", [[0, 15]]],
  ["bytes=0-9,50-59", [[0, 60]]], // The gap is shorter than a part's head.
  [
    "bytes=0-9,91-99",
    [
      [0, 10],
      [91, 100],
    ],
  ],
  [
    "bytes=500-599,0-9,590-700",
    [
      [500, 701],
      [0, 10],
    ],
  ],
  [
    "bytes=500-599,1000-1099,0-9,590-1010",
    [
      [500, 1100],
      [0, 10],
    ],
  ],
  ["bytes=0-9,1000-1009,0-", [[0, 10_000]]],
] as const)("%s overlaps and is joined to %j (RFC 9110 §15.3.7.2)", (value, expected) => {
  expect(ranges(value)).toEqual(expected.map((pair) => [...pair]));
});

test("more than 16 ranges are too many: the whole is sent (RFC 9110 §17.15)", () => {
  const many = (count: number) => `bytes=${Array.from({ length: count }, (_, i) => `${i * 200}-${i * 200}`).join(",")}`;
  expect(ranges(many(16))).toHaveLength(16);
  expect(ranges(many(17))).toBeNull();
  expect(ranges(`bytes=${"0-0,".repeat(100_000)}`)).toBeNull();
});

test("an empty file has no first octet, and a suffix of it is the whole", () => {
  expect(ranges("bytes=0-", 0)).toBe("unsatisfiable");
  expect(ranges("bytes=-0", 0)).toBe("unsatisfiable");
  expect(ranges("bytes=-5", 0)).toBeNull();
});

test("whatever is asked for, the ranges lie within the file, apart from each other, and cover what was asked", () => {
  const spec = fc.oneof(
    fc.tuple(fc.nat(300), fc.nat(300)).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    fc.nat(300).map((start) => `${start}-`),
    fc.nat(300).map((length) => `-${length}`),
  );
  fc.assert(
    fc.property(fc.array(spec, { minLength: 1, maxLength: 16 }), fc.integer({ min: 1, max: 250 }), (specs, size) => {
      const parsed = parseRanges(`bytes=${specs.join(",")}`, size);
      const asked = new Set<number>();
      for (const one of specs) {
        const [first = "", last = ""] = one.split("-");
        const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
        const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
        for (let i = start; i < end; i++) asked.add(i);
      }
      if (!Array.isArray(parsed)) return expect(asked.size).toBe(0);
      const got = new Set<number>();
      for (const { start, end } of parsed) {
        expect(0 <= start && start < end && end <= size).toBe(true);
        for (let i = start; i < end; i++) {
          expect(got.has(i)).toBe(false);
          got.add(i);
        }
      }
      for (const i of asked) expect(got.has(i)).toBe(true);
    }),
  );
});

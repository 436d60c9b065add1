import { expect, test } from "bun:test";
import { parseWeighted } from "./quality.ts";

test.each([
  [
    "gzip, br;q=0.5",
    [
      ["gzip", 1],
      ["br", 0.5],
    ],
  ],
  ["GZIP ; Q=0.123", [["gzip", 0.123]]],
  ["text/html;level=1;q=0.3", [["text/html", 0.3]]],
  [" , gzip,, ", [["gzip", 1]]],
  ["gzip;q=0", [["gzip", 0]]],
  [
    "gzip;q=0.000, br;q=1.000",
    [
      ["gzip", 0],
      ["br", 1],
    ],
  ],
  ["", []],
  // Weights that are none are overlooked.
  ["gzip;q=2", [["gzip", 1]]],
  ["gzip;q=0.1234", [["gzip", 1]]],
  ["gzip;q=x", [["gzip", 1]]],
] as const)("%j (RFC 9110 §12.4.2)", (value, expected) => {
  expect(parseWeighted(value).map(({ name, q }) => [name, q])).toEqual(expected.map((pair) => [...pair]));
});

test("a list without end is not read without end", () => {
  expect(parseWeighted("a,".repeat(10_000)).length).toBeLessThanOrEqual(64);
});

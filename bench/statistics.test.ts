import { expect, test } from "bun:test";
import { median } from "./statistics.ts";

test.each([
  [[3], 3],
  [[1, 9, 2], 2],
  [[10, 1, 2, 3], 2.5],
  [[], Number.NaN],
])("the median of %j is %d", (values, expected) => {
  expect(median(values)).toBe(expected);
});

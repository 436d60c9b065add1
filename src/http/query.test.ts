import { expect, test } from "bun:test";
import { queryParameter, queryParameters } from "./query.ts";

test.each([
  ["a=1", "a", ["1"]],
  ["a=1&a=2", "a", ["1", "2"]],
  ["a", "a", [""]],
  ["a&b=2", "b", ["2"]],
  ["&&b=2&", "b", ["2"]],
  ["%61=x", "a", ["x"]],
  ["a+b=c+d", "a b", ["c d"]],
  ["a=%2B%26", "a", ["+&"]],
  ["a=100%", "a", ["100%"]],
  ["a=%ff", "a", ["\ufffd"]],
  ["a=%ed%a0%80", "a", ["\ufffd\ufffd\ufffd"]],
  ["a=x%ed%a0%80%C3%A9", "a", ["x\ufffd\ufffd\ufffdé"]],
  ["ba=1", "a", []],
  ["x=a=1", "a", []],
  ["a=b=c", "a", ["b=c"]],
  ["=1", "", ["1"]],
  ["", "a", []],
])("of ?%s, %s is %j", (query, name, values) => {
  expect(queryParameters(query, name)).toEqual(values);
  expect(queryParameter(query, name)).toBe(values[0]);
});

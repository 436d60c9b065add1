import { expect, test } from "bun:test";
import { cookie } from "./cookie.ts";
import { FieldSection } from "./field-section.ts";

test.each([
  ["a=1", "a", "1"],
  ["a=1; b=2", "b", "2"],
  ["a=1;b=2", "b", "2"],
  ["ba=1; a=2", "a", "2"],
  ["a=1; a=2", "a", "1"],
  ["a=", "a", ""],
  ["a=x=y", "a", "x=y"],
  ['a="q"', "a", '"q"'],
  ["b=a=1", "a", undefined],
  ["a", "a", undefined],
  ["A=1", "a", undefined],
  ["", "a", undefined],
])("of Cookie: %s, %s is %j", (line, name, value) => {
  expect(cookie(FieldSection.of({ cookie: line }), name)).toBe(value);
});

test("cookies split over field lines are all found (RFC 9113 §8.2.3)", () => {
  const fields = FieldSection.of({ cookie: ["a=1", "b=2"] });
  expect([cookie(fields, "a"), cookie(fields, "b")]).toEqual(["1", "2"]);
});

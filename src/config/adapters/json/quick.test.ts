import { expect, test } from "bun:test";
import fc from "fast-check";
import { toPlain } from "../../node.ts";
import { readJson } from "./json.ts";
import { quickJson } from "./quick.ts";

/** What is read quickly is what is read with places, and nothing was to be said about it. */
function agrees(text: string): boolean {
  const quick = quickJson(text);
  if (quick === null) return false;
  const { node, diagnostics } = readJson(text, "x.json");
  expect({ text, diagnostics }).toEqual({ text, diagnostics: [] });
  expect(JSON.stringify(quick)).toBe(JSON.stringify(toPlain(node!)));
  return true;
}

test("every map in JSON is read quickly", () => {
  const map = fc.dictionary(
    fc.oneof(fc.string(), fc.constantFrom("__proto__", '"', "\\", ":", '\\":')),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(map, fc.constantFrom(undefined, 2), (tree, indent) => {
      expect(agrees(JSON.stringify(tree, null, indent))).toBe(true);
    }),
  );
});

test.each([
  '{ "a": 1, "a": 1 }',
  '{ "a": { "b": 1, "b": 2 }, "c": ":" }',
  '{ "a": 1, "\\u0061": 2 }',
  '{ "a": 1e999 }',
  `{ "a": ${"[".repeat(100)}${"]".repeat(100)} }`,
  "[]",
  "1",
  "",
  "{ a: 1 }",
  '\ufeff{ "a": 1 }',
])("%j is read with places", (text) => {
  expect(agrees(text)).toBe(false);
});

test("whatever stands in a text, it is read the same or not at all", () => {
  const piece = fc.constantFrom(...'{}[]:,"\\a1 \n'.split(""), '"a":', '"b"', ",", '{"a":1', "}");
  const text = fc.array(piece, { maxLength: 20 }).map((all) => `{"x":${all.join("")}}`);
  fc.assert(
    fc.property(text, (given) => void agrees(given)),
    { numRuns: 3000 },
  );
});

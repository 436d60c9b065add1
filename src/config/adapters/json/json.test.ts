import { expect, test } from "bun:test";
import fc from "fast-check";
import { oneLine } from "../../diagnostic.ts";
import { locate, toPlain } from "../../node.ts";
import { readJson } from "./json.ts";

test("every JSON text gives what the runtime's parser gives", () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(undefined, 1), (text, indent) => {
      const spaced = JSON.stringify(JSON.parse(text), null, indent);
      const { node, diagnostics } = readJson(spaced, "x.json");
      expect(diagnostics).toEqual([]);
      // -0 is 0 in a config.
      expect(JSON.stringify(toPlain(node!))).toBe(JSON.stringify(JSON.parse(text)));
    }),
  );
});

test("what the runtime's parser refuses is refused, with a place", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."{}[]:,\"'\\tu1e-. /*\n#".split("")) }), (text) => {
      let fine = true;
      try {
        JSON.parse(text);
      } catch {
        fine = false;
      }
      const { node, diagnostics } = readJson(text, "x.json");
      const errors = diagnostics.filter((one) => one.code === "json-syntax");
      expect(errors.length === 0 && node !== null).toBe(fine);
      for (const { line, column } of errors) expect([line! >= 1, column! >= 1]).toEqual([true, true]);
    }),
  );
});

test.each([
  ['{ "a": 1, "a": 2 }', '1:11: error[duplicate-key]: key "a" stands here a second time; the first is at line 1'],
  ['{ "a": 1, }', '1:9: error[json-syntax]: there is nothing after this "," (remove it)'],
  ["{ a: 1 }", "1:3: error[json-syntax]: a key in double quotes should stand here"],
  ['{ "a" 1 }', '1:7: error[json-syntax]: a ":" should stand here'],
  ["[1 2]", '1:4: error[json-syntax]: a "," or "]" should stand here'],
  ["['a']", "1:2: error[json-syntax]: text stands in double quotes"],
  ["[\n  // x\n]", "2:3: error[json-syntax]: JSON has no comments"],
  ["[/* x */]", "1:2: error[json-syntax]: JSON has no comments"],
  ['["a', "1:2: error[json-syntax]: this text has no closing quote"],
  ['["\\x"]', "1:3: error[json-syntax]: this is not an escape of JSON"],
  ["[1", "1:3: error[json-syntax]: the file ends inside a list"],
  ["", "1:1: error[json-syntax]: the file ends where a value should stand"],
  ["[01]", '1:2: error[json-syntax]: "01" is not a value'],
  ["[1e999]", "1:2: error[json-syntax]: the number 1e999 is too large"],
  ["{} x", "1:4: error[json-syntax]: there is more text after the end of the config"],
  ["[".repeat(200), "1:102: error[json-syntax]: this is nested more than 100 deep"],
])("%j", (text, message) => {
  expect(readJson(text, "x").diagnostics.map(oneLine).join("\n")).toStartWith(`x:${message}`);
});

test("each node knows its place", () => {
  const { node } = readJson('{\n  "a": [1, "bc"]\n}', "x.json");
  const span = locate(node!, ["a", 1]);
  expect({ ...span.source.place(span.start), length: span.end - span.start }).toEqual({
    line: 2,
    column: 12,
    length: 4,
  });
});

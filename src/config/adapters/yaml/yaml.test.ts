import { expect, test } from "bun:test";
import { oneLine } from "../../diagnostic.ts";
import { locate, toPlain } from "../../node.ts";
import { readYaml } from "./yaml.ts";

const tree = (text: string) => {
  const { node, diagnostics } = readYaml(text, "x.yaml");
  expect(diagnostics.map(oneLine)).toEqual([]);
  return toPlain(node!);
};
const said = (text: string) => readYaml(text, "x.yaml").diagnostics.map(oneLine);

test.each([
  ["a: 1\nb: [x, 'y', \"z\"]\nc: { d: true, e: null }", { a: 1, b: ["x", "y", "z"], c: { d: true, e: null } }],
  ["a: on\nb: 08\nc: 1_000\nd: 2026-01-01", { a: "on", b: 8, c: "1_000", d: "2026-01-01" }],
  ["1: a\ntrue: b", { "1": "a", true: "b" }],
  ["a: |\n  x\n  y\n", { a: "x\ny\n" }],
  ["", null],
])("%j is read by YAML 1.2", (text, value) => {
  expect(tree(text)).toEqual(value);
});

test("anchors and merge keys give what they stand for; own keys win", () => {
  expect(tree("a: &a { x: 1, y: 2 }\nb: *a\nc: { <<: *a, y: 3 }\nd: { <<: [*a, { z: 4 }] }")).toEqual({
    a: { x: 1, y: 2 },
    b: { x: 1, y: 2 },
    c: { y: 3, x: 1 },
    d: { x: 1, y: 2, z: 4 },
  });
});

test("each node knows its place", () => {
  const { node } = readYaml("sites:\n  - hosts: [a, bc]\n", "x.yaml");
  const span = locate(node!, ["sites", 0, "hosts", 1]);
  expect({ ...span.source.place(span.start), length: span.end - span.start, path: span.path }).toEqual({
    line: 2,
    column: 16,
    length: 2,
    path: "sites[0].hosts[1]",
  });
  expect(
    locate(node!, ["sites", 0, "hosts"], "key").source.place(locate(node!, ["sites", 0, "hosts"], "key").start).column,
  ).toBe(5);
});

test.each([
  ["a: 1\na: 2", 'x.yaml:2:1: error[duplicate-key]: key "a" stands here a second time; the first is at line 1'],
  ["a: 'x", "x.yaml:1:6: error[yaml-syntax]: text that begins with ' does not end with one"],
  ["a: *b", 'x.yaml:1:4: error[yaml-syntax]: there is no anchor "&b" before this'],
  ["a: .inf", "x.yaml:1:4: error[bad-value]: .inf is not a number a config can hold"],
  ["? [1, 2]\n: x", "x.yaml:1:3: error[yaml-syntax]: a key is a piece of text"],
  ["a: &a [*a]", 'x.yaml:1:8: error[yaml-syntax]: "*a" stands inside its own anchor'],
])("%j is refused", (text, message) => {
  expect(said(text)[0]).toStartWith(message);
});

test("two documents, tabs and unclosed brackets are refused at their place", () => {
  expect(said("a: 1\n---\nb: 2")[0]).toStartWith("x.yaml:2:1: error[yaml-syntax]");
  expect(said("a:\n\tb: 1")[0]).toStartWith("x.yaml:2:1: error[yaml-syntax]");
  expect(said("a: [1, 2")[0]).toStartWith("x.yaml:1:9: error[yaml-syntax]");
});

test("a few lines of aliases cannot fill the memory", () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 12; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(", ")}]`,
    );
  const { diagnostics } = readYaml(lines.join("\n"), "x.yaml");
  expect(diagnostics.map((one) => one.code)).toEqual(["yaml-aliases"]);
});

test("text nested without end is refused, not crashed on", () => {
  for (const text of ["[".repeat(50_000), "[".repeat(500) + "]".repeat(500), "- ".repeat(2000)]) {
    const { diagnostics } = readYaml(text, "x.yaml");
    expect(diagnostics.length).toBeGreaterThan(0);
  }
});

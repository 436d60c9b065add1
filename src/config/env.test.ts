import { expect, test } from "bun:test";
import { readJson } from "./adapters/json/json.ts";
import { readYaml } from "./adapters/yaml/yaml.ts";
import { oneLine } from "./diagnostic.ts";
import { substitute } from "./env.ts";
import { toPlain } from "./node.ts";

const env = { NAME: "web", PORT: "80", EMPTY: "", ON: "true" };

function resolve(text: string, read = readYaml) {
  const problems = { diagnostics: [], unresolved: new Set<never>() };
  const { node } = read(text, "x");
  return { tree: toPlain(substitute(node!, env, problems)), said: problems.diagnostics.map(oneLine) };
}

test.each([
  ["a: ${NAME}", { a: "web" }],
  ["a: x-${NAME}-${PORT}", { a: "x-web-80" }],
  ["a: ${MISSING:-other}", { a: "other" }],
  ["a: ${EMPTY:-other}", { a: "other" }],
  ["a: '${EMPTY}'", { a: "" }],
  ["a: '${MISSING:-}'", { a: "" }],
  ["a: $${NAME} $NAME", { a: "${NAME} $NAME" }],
  ["a: [{ b: '${NAME}' }]", { a: [{ b: "web" }] }],
  ["${NAME}: 1", { "${NAME}": 1 }],
] as const)("%s", (text, tree) => {
  expect(resolve(text)).toEqual({ tree, said: [] });
});

test("without quotes the value has the type it would have had in the file", () => {
  expect(resolve("a: ${PORT}\nb: '${PORT}'\nc: ${ON}").tree).toEqual({ a: 80, b: "80", c: true });
  expect(resolve('{ "a": "${PORT}" }', readJson).tree).toEqual({ a: "80" });
});

test("a value is not searched for variables again", () => {
  const problems = { diagnostics: [], unresolved: new Set<never>() };
  const { node } = readYaml("a: ${OUTER}", "x");
  expect(toPlain(substitute(node!, { OUTER: "${INNER}", INNER: "x" }, problems))).toEqual({ a: "${INNER}" });
});

test("an unset variable is an error at its place, with the nearest name", () => {
  expect(resolve("a:\n  b: x ${NAM}").said).toEqual([
    'x:2:8: error[unset-variable]: environment variable NAM is not set (did you mean "NAME"? Or give a default: ${NAM:-…})',
  ]);
  expect(resolve("a: ${__proto__}").said).toHaveLength(1);
});

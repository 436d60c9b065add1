import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { oneLine } from "../../diagnostic.ts";
import { loadConfig } from "../../load.ts";
import { testCatalog } from "../../testing.ts";
import { lostKeys } from "./lost-keys.ts";

const folder = mkdtempSync(join(tmpdir(), "lintel-lost-"));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;

/** What is said of a text alone. */
async function said(text: string, ending = "ts"): Promise<string[]> {
  const file = join(folder, `${++count}.config.${ending}`);
  await Bun.write(file, text);
  return lostKeys(file, text).map((one) => oneLine(one).replaceAll(`${folder}/${count}.config.`, "c."));
}

const refusedAt = (place: string) => `${place}: error[bad-name]: "__proto__" cannot be used as a name`;

test.each([
  ['{ "__proto__": "x" }', 18],
  ["{ __proto__: 'x' }", 18],
  ["{ a: [{ b: { '__proto__': 7 } }] }", 29],
  ["{ __proto__: `a${1}` }", 18],
  ["{ __proto__: true } as object", 18],
  ["{ a: 1, ...{ __proto__: process.env.HOME } }", 29],
  ["(() => ({ __proto__: undefined }))()", 26],
])("%s: the key that would vanish is refused where it stands", async (text, column) => {
  for (const ending of text.includes(" as ") ? ["ts"] : ["ts", "mjs"])
    expect(await said(`export default ${text};`, ending)).toEqual([refusedAt(`c.${ending}:1:${column}`)]);
});

test.each([
  ['{ ["__proto__"]: "x" }', "computed: it is a key, which the schema refuses"],
  ["{ __proto__ }", "short for a key"],
  ["{ __proto__() {} }", "a method"],
  ["{ __proto__: null, a: 1 }", "an object without a prototype"],
  ["{ __proto__: {} }", "refused as no data"],
  ["{ __proto__: [] }", "refused as no data"],
  ['{ a: "__proto__", b: 1 /* __proto__: "x" */ }', "no key"],
  ["{ a: ((b) => { const { __proto__: c } = b; return c === null; })({}) }", "a pattern"],
  ["{ a: ({}).__proto__ === Object.prototype }", "an access"],
])("%s is left to others: %s", async (text) => {
  expect(await said(`const __proto__ = "x";\nexport default ${text};`)).toEqual([]);
});

test("files that are imported are looked through, too, as far as they can be reached", async () => {
  await Bun.write(join(folder, "lib/deep.ts"), 'import "../ring.ts";\nexport const deep = { "__proto__": 1 };\n');
  await Bun.write(join(folder, "lib/index.js"), 'export { deep } from "./deep";\n');
  await Bun.write(
    join(folder, "ring.ts"),
    'import "./lib/deep.ts";\nimport json from "./some.json";\nexport { json };\n',
  );
  await Bun.write(join(folder, "some.json"), '{ "a": 1 }');
  await Bun.write(join(folder, "other.ts"), 'export const other = { "__proto__": 1 };\n');
  const text = 'import { deep } from "./lib";\nexport default { deep, file: "./other.ts" };';
  expect((await said(text)).map((one) => one.replaceAll(`${folder}/`, ""))).toEqual([refusedAt("lib/deep.ts:2:23")]);
  expect(await said('import "./missing.ts";\nimport "node:fs";\nexport default {};')).toEqual([]);
});

test("a config with such a key does not serve", async () => {
  const file = join(folder, "whole.config.ts");
  const sites = '[{ routes: [{ match: { field: { "__proto__": "x" } }, to: "a:1" }] }]';
  await Bun.write(file, `export default {\n  sites: ${sites},\n};\n`);
  const { config, diagnostics } = await loadConfig({ file }, testCatalog, {});
  expect(config).toBeNull();
  expect(diagnostics.map((one) => oneLine(one).replaceAll(`${folder}/`, ""))).toEqual([
    refusedAt("whole.config.ts:2:42"),
  ]);
});

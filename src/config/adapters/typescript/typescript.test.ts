import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { oneLine } from "../../diagnostic.ts";
import { toPlain } from "../../node.ts";
import { readTypescript } from "./typescript.ts";

const folder = mkdtempSync(join(tmpdir(), "lintel-ts-"));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;

async function read(text: string, timeLimitMs?: number) {
  const file = join(folder, `c${count++}.config.ts`);
  await Bun.write(file, text);
  const { node, diagnostics } = await readTypescript(text, file, timeLimitMs);
  return {
    tree: node === null ? null : toPlain(node),
    said: diagnostics.map((one) => oneLine(one).replaceAll(file, "c.ts")),
  };
}

test("the default export is the config; `lintel` can be imported from anywhere", async () => {
  const text =
    'import { defineConfig } from "lintel";\nexport default defineConfig({ workers: 2, user: undefined, sites: [] });';
  expect(await read(text)).toEqual({ tree: { workers: 2, sites: [] }, said: [] });
});

test("it may be awaited, and what the file prints does not get in the way", async () => {
  const text = 'console.log("hello");\nexport default Promise.resolve({ sites: [{ to: "a:1" }] });';
  expect(await read(text)).toEqual({ tree: { sites: [{ to: "a:1" }] }, said: [] });
});

test("upstreams that routes hold become entries of `upstreams`, one for each object", async () => {
  const { tree, said } = await read(`
    import { upstream } from "lintel";
    const app = upstream("app", { endpoints: "a:1" });
    export default { upstreams: { b: "b:1" }, sites: [{ to: app, routes: [{ to: app }, { to: "b" }] }] };`);
  expect(said).toEqual([]);
  expect(tree).toEqual({
    upstreams: { b: "b:1", app: { endpoints: "a:1" } },
    sites: [{ to: "app", routes: [{ to: "app" }, { to: "b" }] }],
  });
});

test.each([
  ["export default () => ({});", "c.ts:1:16: error[not-data]: a config is plain data, and this is a function"],
  [
    "export default { a: { b: [new Date()] } };",
    "c.ts:1:27: error[not-data]: a config is plain data, and this is a Date",
  ],
  ["export default { a: 10n };", "c.ts:1:21: error[not-data]: a config is plain data, and this is a bigint"],
  ["export default { a: NaN };", "c.ts:1:21: error[bad-value]: NaN is not a number a config can hold"],
  ["const a: any = {}; a.a = a; export default a;", "c.ts:1:16: error[not-data]: this object holds itself (a)"],
  ["export const x = 1;", "c.ts:1:1: error[config-failed]: the file has no default export"],
  ["export default {\n  a: ,\n};", "c.ts:2:6: error[config-failed]: Unexpected ,"],
  [
    "// A comment.\nexport default JSON.parse('{');",
    "c.ts:2:21: error[config-failed]: the file throws SyntaxError: JSON Parse error",
  ],
  ['throw "no";\nexport default {};', "c.ts:1:1: error[config-failed]: the file throws no"],
  ['import "./missing.ts";\nexport default {};', 'c.ts:1:9: error[config-failed]: there is no module "./missing.ts"'],
  ["process.exit(3);\nexport default {};", "c.ts: error[config-failed]: the file ended its process with status 3"],
])("%j", async (text, message) => {
  expect((await read(text)).said.join("\n")).toStartWith(message);
});

test("a file that never ends is ended", async () => {
  const { said } = await read("for (;;);\nexport default {};", 300);
  expect(said).toEqual(["c.ts: error[config-failed]: the file did not finish within 0.3 s"]);
});

test("timers that the file leaves running do not hold it up", async () => {
  expect(await read("setInterval(() => {}, 1000);\nexport default {};")).toEqual({ tree: {}, said: [] });
});

import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { oneLine } from "./diagnostic.ts";
import { FileReader } from "./include.ts";
import { toPlain } from "./node.ts";

const folder = mkdtempSync(join(tmpdir(), "lintel-include-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function read(files: Record<string, string>) {
  const root = mkdtempSync(join(folder, "t-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  const reader = new FileReader({ NAME: "set" });
  const node = await reader.read(join(root, Object.keys(files)[0]!));
  const short = (text: string) => text.replaceAll(`${root}/`, "");
  return {
    tree: node === null ? null : toPlain(node),
    said: reader.diagnostics.map((one) => short(oneLine(one))),
    files: reader.files.map(short),
  };
}

test("lists are joined in the order of the files, maps merged at every depth", async () => {
  const { tree, said, files } = await read({
    "main.yaml": "include: [conf/*.yaml, more.json]\nsites: [1]\nlimits: { fields: 5 }",
    "conf/b.yaml": "sites: [3]\nupstreams: { b: 1 }",
    "conf/a.yaml": "sites: [2]\nupstreams: { a: '${NAME}' }\nlimits: { trailers: 1KiB }",
    "more.json": '{ "sites": [4] }',
  });
  expect(tree).toEqual({ sites: [1, 2, 3, 4], limits: { fields: 5, trailers: "1KiB" }, upstreams: { a: "set", b: 1 } });
  expect(said).toEqual([]);
  expect(files).toEqual(["main.yaml", "conf/a.yaml", "conf/b.yaml", "more.json"]);
});

test("patterns are relative to the file that names them", async () => {
  const { tree } = await read({
    "main.yaml": "include: sub/one.yaml",
    "sub/one.yaml": "include: [two.yaml, ../three.yaml]\nsites: [1]",
    "sub/two.yaml": "sites: [2]",
    "three.yaml": "sites: [3]",
  });
  expect(tree).toEqual({ sites: [1, 2, 3] });
});

test("what is said twice is an error at the second place, and names the first", async () => {
  const { said } = await read({
    "main.yaml": "include: other.yaml\nworkers: 1\nupstreams: { app: { retry: 1 } }",
    "other.yaml": "workers: 1\nupstreams:\n  app: { retry: 1 }",
  });
  expect(said).toEqual([
    'other.yaml:1:1: error[duplicate-key]: "workers" is set already at main.yaml:2',
    'other.yaml:3:3: error[duplicate-upstream]: "upstreams.app" is set already at main.yaml:3',
  ]);
});

test("a file reached twice counts once, a circle is an error", async () => {
  const diamond = await read({
    "main.yaml": "include: [a.yaml, b.yaml]",
    "a.yaml": "include: c.yaml",
    "b.yaml": "include: c.yaml",
    "c.yaml": "sites: [1]",
  });
  expect(diamond).toMatchObject({ tree: { sites: [1] }, said: [] });
  const circle = await read({ "main.yaml": "include: a.yaml", "a.yaml": "include: main.yaml\nsites: [1]" });
  expect(circle.said).toEqual(["a.yaml:1:10: error[include-cycle]: main.yaml includes itself by way of other files"]);
});

test("a pattern without a match is fine, a file that is not there is not", async () => {
  const { tree, said } = await read({ "main.yaml": "include: [conf/*.yaml, gone.yaml]\nsites: []" });
  expect(tree).toEqual({ sites: [] });
  expect(said).toEqual(["main.yaml:1:24: error[unreadable-file]: gone.yaml cannot be read: there is no such file"]);
});

test("an included file that holds no map is refused, an empty one is nothing", async () => {
  const { said } = await read({
    "main.yaml": "include: [list.yaml, empty.yaml]",
    "list.yaml": "- 1",
    "empty.yaml": "",
  });
  expect(said).toEqual(["list.yaml:1:1: error[bad-type]: an included file must be a map"]);
});

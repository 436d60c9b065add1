import { afterEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createLog } from "../base/log.ts";
import { needs, program, ROOT } from "../base/testing.ts";
import { ControlError } from "./control.ts";
import { Versions } from "./versions.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function create(keep = 50, folder = `${newFolder()}/versions`) {
  const said: string[] = [];
  const log = createLog({ level: "warn", format: "json", write: (line) => said.push(JSON.parse(line).message) });
  return { versions: new Versions(folder, keep, log), folder, said };
}

function newFolder(): string {
  const folder = mkdtempSync(`${tmpdir()}/lintel-versions-`);
  folders.push(folder);
  return folder;
}

const served = (tree: unknown, trigger = "SIGHUP") => ({ tree, origin: "lintel.yaml", trigger });
const ONE = { sites: [{ to: "a:1" }] };
const TWO = { sites: [{ to: "b:2" }] };

test("each config that is served is a version with its number, time, reason and origin", () => {
  const { versions } = create();
  expect(versions.record(served(ONE, "start"))).toBe(1);
  expect(versions.record(served(TWO))).toBe(2);
  expect(versions.list()).toMatchObject([
    { number: 2, trigger: "SIGHUP", origin: "lintel.yaml", current: true },
    { number: 1, trigger: "start", origin: "lintel.yaml", current: false },
  ]);
  expect(Math.abs(Date.now() - versions.list()[0]!.at)).toBeLessThan(60_000);
  expect(versions.tree(1)).toEqual(ONE);
  expect(versions.text(2).text).toBe('sites:\n  - { to: "b:2" }\n');
});

test("a config that says the same makes no new version, also after a restart", () => {
  const { versions, folder } = create();
  versions.record(served(ONE, "start"));
  expect(versions.record(served(structuredClone(ONE)))).toBe(1);
  const again = create(50, folder).versions;
  expect(again.record(served(ONE, "start"))).toBe(1);
  expect(again.record(served(TWO))).toBe(2);
  expect(again.list().map(({ number, current }) => [number, current])).toEqual([
    [2, true],
    [1, false],
  ]);
});

test("a config that comes back after another is a version of its own", () => {
  const { versions } = create();
  for (const tree of [ONE, TWO, ONE]) versions.record(served(tree));
  expect(versions.list().map(({ number }) => number)).toEqual([3, 2, 1]);
  expect(versions.diff(1, 3)).toBe("");
});

test("only so many are kept, and numbers go on", () => {
  const { versions, folder } = create(3);
  for (let i = 1; i <= 7; i++) versions.record(served({ i }));
  expect(versions.list().map(({ number }) => number)).toEqual([7, 6, 5]);
  expect(readdirSync(folder).sort()).toEqual(["000005.json", "000006.json", "000007.json"]);
  expect(create(3, folder).versions.record(served({ i: 8 }))).toBe(8);
});

test("the difference of two versions can be read", () => {
  const { versions } = create();
  versions.record(served({ workers: 2, ...ONE }));
  versions.record(served({ workers: 2, ...TWO }));
  expect(versions.diff(1, 2)).toBe(`--- version 1
+++ version 2
@@ -1,3 +1,3 @@
 workers: 2
 sites:
-  - { to: "a:1" }
+  - { to: "b:2" }
`);
});

test("a version that is not there is refused with those that are", () => {
  const { versions } = create(2);
  expect(() => versions.text(1)).toThrow("there is no version 1: none is kept");
  for (let i = 1; i <= 4; i++) versions.record(served({ i }));
  expect(() => versions.diff(1, 4)).toThrow("there is no version 1: kept are 3 to 4");
  expect(() => versions.tree(9)).toThrow(ControlError);
});

test("nobody else may read them: resolved secrets are in there", () => {
  const { versions, folder } = create();
  versions.record(served({ token: "secret" }));
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(statSync(`${folder}/000001.json`).mode & 0o777).toBe(0o600);
});

test("with none to keep nothing is written", () => {
  const { versions, folder } = create(0);
  expect(versions.record(served(ONE))).toBeNull();
  expect(versions.current).toBeNull();
  expect(() => readdirSync(folder)).toThrow("ENOENT");
});

test("a folder that cannot be written costs one warning", () => {
  const file = `${newFolder()}/in-the-way`;
  writeFileSync(file, "");
  const { versions, said } = create(50, `${file}/versions`);
  expect(versions.record(served(ONE))).toBeNull();
  expect(versions.record(served(TWO))).toBeNull();
  expect(said.length).toBe(1);
  expect(versions.list()).toEqual([]);
});

needs(ROOT, program("mount")).test("a full disk costs a warning, and leaves no half file", () => {
  const disk = newFolder();
  if (Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk]).exitCode !== 0) return; // No right to mount here.
  try {
    const { versions, folder, said } = create(50, `${disk}/versions`);
    expect(versions.record(served({ long: "x".repeat(100_000) }))).toBeNull();
    expect(said.length).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
    expect(versions.record(served(ONE))).toBe(1);
  } finally {
    Bun.spawnSync(["umount", disk]);
  }
});

test("damaged files are left out, and named", () => {
  const { folder } = create();
  mkdirSync(folder);
  writeFileSync(`${folder}/000004.json`, "half a li");
  writeFileSync(`${folder}/notes.txt`, "");
  const { versions, said } = create(50, folder);
  expect(versions.list()).toEqual([]);
  expect(said).toEqual(["a kept version is damaged"]);
  versions.record(served(ONE));
  expect(readFileSync(`${folder}/notes.txt`, "utf8")).toBe("");
});

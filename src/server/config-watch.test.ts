import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigWatch } from "./config-watch.ts";

const LOOK_MS = 10;
let folder: string;
let changes: number;
let watch: ConfigWatch;
const path = (name: string) => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lintel-watch-"));
  changes = 0;
  watch = new ConfigWatch(() => changes++, LOOK_MS);
  writeFileSync(path("a.yaml"), "a: 1");
});
afterEach(() => {
  watch.stop();
  rmSync(folder, { recursive: true });
});

async function changed(count: number): Promise<void> {
  for (const end = performance.now() + 15_000; changes < count; await Bun.sleep(5)) {
    if (performance.now() > end) throw new Error(`${changes} of ${count} changes were noticed`);
  }
  await Bun.sleep(LOOK_MS * 5);
  expect(changes).toBe(count);
}

test.each([
  ["written in place", () => writeFileSync(path("a.yaml"), "a: 22")],
  [
    "renamed over, as editors do",
    () => {
      writeFileSync(path(".a.swp"), "a: 2");
      renameSync(path(".a.swp"), path("a.yaml"));
    },
  ],
  ["removed", () => unlinkSync(path("a.yaml"))],
  ["joined by another that an include may name", () => writeFileSync(path("b.yaml"), "")],
])("a file that is %s is noticed, once", async (_, change) => {
  watch.follow([path("a.yaml")]);
  await Bun.sleep(LOOK_MS * 3);
  expect(changes).toBe(0);
  change();
  await changed(1);
});

test("a link in the path that is pointed elsewhere is noticed", async () => {
  for (const name of ["one", "two"]) {
    mkdirSync(path(name));
    writeFileSync(join(path(name), "a.yaml"), name);
  }
  symlinkSync("one", path("current"));
  watch.follow([path("current/a.yaml")]);
  symlinkSync("two", path("next"));
  renameSync(path("next"), path("current"));
  await changed(1);
});

test("what has nothing to do with the config is not: logs beside it, say", async () => {
  watch.follow([path("a.yaml")]);
  writeFileSync(path("access.log"), "line");
  await Bun.sleep(LOOK_MS * 6);
  expect(changes).toBe(0);
});

test("a file that is still being written counts when it has come to rest", async () => {
  watch.follow([path("a.yaml")]);
  for (let i = 0; i < 8; i++) {
    writeFileSync(path("a.yaml"), "x".repeat(i + 10));
    await Bun.sleep(LOOK_MS / 2);
  }
  for (const end = performance.now() + 15_000; changes === 0 && performance.now() < end; ) await Bun.sleep(5);
  expect(changes).toBeGreaterThanOrEqual(1);
});

test("following the same files again forgets no change", async () => {
  watch.follow([path("a.yaml")]);
  writeFileSync(path("a.yaml"), "a: 333");
  watch.follow([path("a.yaml")]);
  await changed(1);
});

test("without files nothing is looked at", async () => {
  watch.follow([path("a.yaml")]);
  watch.follow([]);
  writeFileSync(path("a.yaml"), "a: 4444");
  await Bun.sleep(LOOK_MS * 6);
  expect(changes).toBe(0);
});

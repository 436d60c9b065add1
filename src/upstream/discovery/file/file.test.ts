import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Watched } from "../dns/testing.ts";
import { file } from "./file.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lintel-file-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (name: string) => join(directory, name);
const write = (text: string, name = "endpoints.yaml") => writeFileSync(at(name), text);

function provide(path = "endpoints.yaml", options: object = {}): Watched {
  return new Watched((scope) => file.create(file.options.parse({ path, ...options }), scope), directory);
}

/** Lets a change be noticed that should have no effect. */
const settled = () => Bun.sleep(300);

test("the endpoints of the file are published, with all that is said of them", async () => {
  write("- 10.0.0.1:80\n- { address: 10.0.0.2:80, weight: 5, backup: true }\n");
  using app = provide();
  await app.shows("10.0.0.1:80", "10.0.0.2:80");
  expect(app.sets[0]![1]).toEqual({
    address: "10.0.0.2:80",
    weight: 5,
    backup: true,
    priority: 0,
    locality: null,
    maxInFlight: Infinity,
  });
  expect(app.lines).toEqual([]);
});

test("a file that is written over is read again", async () => {
  write("[10.0.0.1:80]");
  using app = provide();
  await app.shows("10.0.0.1:80");
  write("[10.0.0.2:80]");
  await app.shows("10.0.0.2:80");
  appendFileSync(at("endpoints.yaml"), "\n# the same\n");
  await settled();
  expect(app.sets).toHaveLength(2);
});

test("a file that is replaced by renaming is read again, each time", async () => {
  write("[10.0.0.1:80]");
  using app = provide();
  await app.shows("10.0.0.1:80");
  for (const host of ["10.0.0.2", "10.0.0.3", "10.0.0.4"]) {
    write(`[${host}:80]`, "new");
    renameSync(at("new"), at("endpoints.yaml"));
    await app.shows(`${host}:80`);
  }
});

test("a file that is not there yet means no endpoints, and is picked up when it comes", async () => {
  using app = provide("endpoints.json");
  await app.shows();
  expect(app.lines).toEqual([
    `warn  there is no such file of endpoints upstream=app provider=file file=${at("endpoints.json")} kept=0`,
  ]);
  write('["10.0.0.1:80"]', "endpoints.json");
  await app.shows("10.0.0.1:80");
  expect(app.lines[1]).toContain("can be used again");
});

test("a file that vanishes keeps its endpoints", async () => {
  write("[10.0.0.1:80]");
  using app = provide();
  await app.shows("10.0.0.1:80");
  unlinkSync(at("endpoints.yaml"));
  await app.logs("there is no such file");
  expect(app.sets).toHaveLength(1);
  write("[10.0.0.2:80]");
  await app.shows("10.0.0.2:80");
});

test("a broken file keeps the last endpoints, and the log says where it is broken", async () => {
  write("- 10.0.0.1:80\n");
  using app = provide();
  await app.shows("10.0.0.1:80");
  write("- 10.0.0.1:80\n- 10.0.0.2\n");
  await app.logs(`${at("endpoints.yaml")}:2:3: error[bad-address]: \\"10.0.0.2\\" has no port`);
  write("");
  await app.logs("the file is empty");
  write("- [");
  await app.logs("yaml-syntax");
  expect(app.sets).toHaveLength(1);
  write("[]");
  await app.shows();
});

test("a file that is broken from the start publishes nothing until it is right", async () => {
  write("- nonsense\n");
  using app = provide();
  await app.logs("bad-address");
  expect(app.sets).toEqual([]);
  write("- 10.0.0.1:80\n");
  await app.shows("10.0.0.1:80");
});

test("of a file with many mistakes the first ten are logged", async () => {
  write("- nonsense\n".repeat(25));
  using app = provide();
  await app.logs("further problems upstream=app provider=file problems=15");
  expect(app.lines).toHaveLength(11);
});

test("a file that is too large is not read", async () => {
  write(`[10.0.0.1:80] # ${"x".repeat(200)}`);
  using app = provide("endpoints.yaml", { maxSize: 100 });
  await app.logs('it has 216 octets; \\"maxSize\\" allows 100');
  expect(app.sets).toEqual([]);
});

test("what is not a file is not waited for", async () => {
  mkdirSync(at("folder.yaml"));
  using folder = provide("folder.yaml");
  await folder.logs("it is not a file");
  expect(Bun.spawnSync(["mkfifo", at("pipe.yaml")]).exitCode).toBe(0);
  using pipe = provide("pipe.yaml");
  await pipe.logs("it is not a file");
});

test("a folder that comes later, or is replaced, is watched all the same", async () => {
  using app = provide("parts/endpoints.yaml", { poll: "100ms" });
  await app.shows();
  mkdirSync(at("parts"));
  write("[10.0.0.1:80]", "parts/endpoints.yaml");
  await app.shows("10.0.0.1:80");
  mkdirSync(at("other"));
  write("[10.0.0.2:80]", "other/endpoints.yaml");
  renameSync(at("parts"), at("old"));
  renameSync(at("other"), at("parts"));
  await app.shows("10.0.0.2:80");
  write("[10.0.0.3:80]", "parts/endpoints.yaml");
  await app.shows("10.0.0.3:80");
});

test("a link that is turned to another folder is followed, as container platforms mount their files", async () => {
  for (const [folder, host] of [
    ["v1", "10.0.0.1"],
    ["v2", "10.0.0.2"],
  ] as const) {
    mkdirSync(at(folder));
    write(`[${host}:80]`, `${folder}/endpoints.yaml`);
  }
  symlinkSync("v1", at("..data"));
  symlinkSync("..data/endpoints.yaml", at("endpoints.yaml"));
  using app = provide("endpoints.yaml", { poll: "1h" });
  await app.shows("10.0.0.1:80");
  symlinkSync("v2", at("..new"));
  renameSync(at("..new"), at("..data"));
  await app.shows("10.0.0.2:80");
});

test("what the system tells nothing of is found by looking", async () => {
  mkdirSync(at("elsewhere"));
  write("[10.0.0.1:80]", "elsewhere/real.yaml");
  symlinkSync(at("elsewhere/real.yaml"), at("endpoints.yaml"));
  using app = provide("endpoints.yaml", { poll: "100ms" });
  await app.shows("10.0.0.1:80");
  // The folder that is watched does not change.
  write("[10.0.0.2:80]", "elsewhere/real.yaml");
  await app.shows("10.0.0.2:80");
});

test("nothing is published after stop", async () => {
  write("[10.0.0.1:80]");
  const app = provide("endpoints.yaml", { poll: "100ms" });
  await app.shows("10.0.0.1:80");
  app[Symbol.dispose]();
  write("[10.0.0.2:80]");
  await settled();
  const early = provide();
  early[Symbol.dispose]();
  await settled();
  expect([app.sets.length, early.sets.length]).toEqual([1, 0]);
});

test("an absolute path is taken as it is", async () => {
  write("[10.0.0.1:80]");
  using app = new Watched(
    (scope) => file.create(file.options.parse({ path: at("endpoints.yaml") }), scope),
    "/nonexistent",
  );
  await app.shows("10.0.0.1:80");
});

test.each(["50ms", "off"])("a poll of %s is refused", (poll) => {
  expect(file.options.safeParse({ path: "x", poll }).error?.issues[0]?.message).toBe(
    '"poll" must be at least 100ms, and not "off"',
  );
});

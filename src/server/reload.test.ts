import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createLog } from "../base/log.ts";
import { catalog } from "../cli/catalog.ts";
import { loadConfig } from "../config/load.ts";
import { until } from "../net/testing.ts";
import type { ReloadResult } from "./control.ts";
import { type LoadedConfig, Reloader, type UsableConfig } from "./reload.ts";
import { Versions } from "./versions.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const treeOf = (to: string, more: Record<string, unknown> = {}) => ({ sites: [{ to }], ...more });

async function loaded(tree: unknown, origin = "lintel.yaml"): Promise<LoadedConfig> {
  return { ...(await loadConfig({ tree, origin }, catalog, {})), origin, directory: "/", warnings: () => [] };
}

/** A reloader over a file that is a variable and a gateway that remembers what it serves. */
async function create() {
  const folder = mkdtempSync(`${tmpdir()}/lintel-reload-`);
  folders.push(folder);
  const said: string[] = [];
  const log = createLog({ level: "info", format: "json", write: (line) => said.push(JSON.parse(line).message) });
  const state = {
    file: treeOf("a:1") as unknown,
    served: (await loaded(treeOf("a:1"))) as UsableConfig,
    generation: 1,
    exchanges: [] as string[],
    under: 0,
    refusal: null as string | null,
    /** What an exchange waits for. */
    gate: null as Promise<void> | null,
  };
  const done: ReloadResult[] = [];
  const versions = new Versions(`${folder}/versions`, 50, log);
  versions.record({ tree: state.served.tree, origin: "lintel.yaml", trigger: "start" });
  const reloader = new Reloader({
    log,
    versions,
    load: () => loaded(state.file),
    loadTree: loaded,
    current: () => ({ ...state.served, generation: state.generation }),
    async exchange(next) {
      expect(++state.under).toBe(1);
      await state.gate;
      state.under--;
      if (state.refusal !== null) throw new Error(state.refusal);
      state.served = next;
      state.generation++;
      state.exchanges.push(next.origin);
      return ["something"];
    },
    onDone: (result) => done.push(result),
  });
  return { reloader, versions, state, said, done };
}

/** @returns opens it again */
function closeGate(state: { gate: Promise<void> | null }): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  state.gate = promise;
  return resolve;
}

test("a config that is fit is served and becomes a version", async () => {
  const { reloader, state, versions } = await create();
  state.file = treeOf("b:2");
  expect(await reloader.reload("SIGHUP")).toMatchObject({
    outcome: "applied",
    generation: 2,
    version: 2,
    changes: ["something"],
  });
  expect(versions.view(2)).toMatchObject({ trigger: "SIGHUP", origin: "lintel.yaml", current: true });
});

test("those who ask while one is under way share the next one, which reads what is there by then", async () => {
  const { reloader, state } = await create();
  state.file = treeOf("b:2");
  const open = closeGate(state);
  const first = reloader.reload("one");
  await until(() => state.under === 1, "the first to be under way");
  const others = [reloader.reload("two"), reloader.reload("three")];
  state.file = treeOf("c:3");
  open();
  await Promise.all([first, ...others]);
  expect(state.exchanges.length).toBe(2);
  expect(state.served.config.upstreams[0]!.endpoints[0]!.address).toBe("c:3");
  expect(await others[0]).toBe(await others[1]!);
});

test("a broken config is refused with its diagnostics, and the next one is served", async () => {
  const { reloader, state, said, done } = await create();
  state.file = { sites: [{ to: "nowhere" }], colour: 1 };
  const refused = await reloader.reload("SIGHUP");
  expect(refused).toMatchObject({ outcome: "refused", reason: "lintel.yaml has 2 errors" });
  expect(said.filter((line) => /error\[/.test(line)).length).toBe(2);
  expect(state.exchanges).toEqual([]);
  state.file = treeOf("b:2");
  expect((await reloader.reload("SIGHUP")).outcome).toBe("applied");
  expect(done.map(({ outcome }) => outcome)).toEqual(["refused", "applied"]);
});

test("what cannot be put in force is refused with the reason, and makes no version", async () => {
  const { reloader, state, versions } = await create();
  state.file = treeOf("b:2");
  state.refusal = "the port is taken";
  expect(await reloader.reload("SIGHUP")).toEqual({
    outcome: "refused",
    reason: "the port is taken",
    diagnostics: [],
  });
  expect(versions.list().length).toBe(1);
});

test("asked for, a config that says the same is put in force again; followed, it is left alone", async () => {
  const { reloader, state } = await create();
  expect(await reloader.follow("file change")).toEqual({ outcome: "unchanged", generation: 1, version: 1 });
  expect(await reloader.reload("SIGHUP")).toMatchObject({ outcome: "applied", generation: 2, version: 1 });
  expect(state.exchanges.length).toBe(1);
});

test("what cannot change while the program runs is kept, with a warning", async () => {
  const { reloader, state } = await create();
  state.file = treeOf("b:2", { workers: 7 });
  const result = await reloader.reload("SIGHUP");
  expect(result).toMatchObject({ outcome: "applied", diagnostics: [{ code: "needs-restart", severity: "warning" }] });
  expect(state.served.config.workers).toBe("auto");
});

test("a rollback serves a version again under a new number, and names its first origin", async () => {
  const { reloader, state, versions, said } = await create();
  state.file = treeOf("b:2");
  await reloader.reload("SIGHUP");
  expect(await reloader.rollback(1, "rollback to 1")).toMatchObject({ outcome: "applied", version: 3 });
  await reloader.rollback(2, "rollback to 2");
  expect(await reloader.rollback(3, "rollback to 3")).toMatchObject({ outcome: "applied", version: 5 });
  expect(state.exchanges).toEqual([
    "lintel.yaml",
    "version 1 of lintel.yaml",
    "version 2 of lintel.yaml",
    "version 3 of lintel.yaml",
  ]);
  expect(said.filter((line) => line.startsWith("the config file is as it was")).length).toBe(3);
  expect(versions.view(5).origin).toBe("version 3 of lintel.yaml");
  await expect(reloader.rollback(99, "x")).rejects.toThrow("there is no version 99: kept are 1 to 5");
});

test("once stopped nothing is exchanged any more, and what was under way is over", async () => {
  const { reloader, state } = await create();
  state.file = treeOf("b:2");
  const open = closeGate(state);
  const under = reloader.reload("one");
  await until(() => state.under === 1, "the first to be under way");
  const waiting = reloader.reload("two");
  const stopped = reloader.stop();
  open();
  await stopped;
  expect((await under).outcome).toBe("applied");
  expect(await waiting).toMatchObject({ outcome: "refused", reason: "the program is stopping" });
});

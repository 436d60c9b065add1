import { afterEach, describe, expect, test } from "bun:test";
import { createLog } from "../base/log.ts";
import type { FromWorker, Prepare, Start } from "./ipc.ts";
import { Workers } from "./workers.ts";

/** Workers that run a piece of script instead of serving. */
function create(
  script: string,
  count = 1,
  tree: unknown = null,
  onMessage: (slot: number, message: FromWorker) => void = () => {},
) {
  const said: string[] = [];
  const readies: number[] = [];
  const deaths: number[] = [];
  const decided = { generation: 1 };
  const wanted = new Set(Array.from({ length: count }, (_, slot) => slot));
  const command = [process.execPath, "-e", script];
  const workers = new Workers({
    count,
    isWanted: (slot) => wanted.has(slot),
    command,
    fds: () => [],
    start: (slot) => ({ kind: "start", slot, tree, generation: decided.generation }) as unknown as Start,
    log: createLog({ level: "debug", format: "json", write: (line) => said.push(JSON.parse(line).message) }),
    onReadyChange: (ready) => readies.push(ready),
    onDeath: (slot) => deaths.push(slot),
    onMessage,
  });
  running.push(workers);
  return { workers, said, readies, deaths, decided, wanted, command };
}

const running: Workers[] = [];
afterEach(async () => {
  for (const workers of running.splice(0)) await workers.kill();
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("waited 20 s in vain");
    await Bun.sleep(5);
  }
}

const READY = `process.on("message", (m) => {
  if (m.kind === "start") process.send({ kind: "ready" });
  if (m.kind === "drain") process.exit(0);
});`;

describe("workers", () => {
  test("are started, one for each slot, and drained", async () => {
    const { workers, readies } = create(READY, 2);
    await workers.start();
    expect(workers.view()).toMatchObject([
      { slot: 0, state: "ready", restarts: 0 },
      { slot: 1, state: "ready", restarts: 0 },
    ]);
    expect(await workers.drain(1000)).toBe(true);
    expect(workers.view().map(({ state }) => state)).toEqual(["ended", "ended"]);
    expect(readies.at(-1)).toBe(0);
  });

  test("collect garbage seldom, unless the environment says otherwise", async () => {
    const told: unknown[] = [];
    const script = `process.on("message", () => { process.send(process.env.BUN_JSC_largeHeapSize); process.send({ kind: "ready" }); });`;
    for (const size of [undefined, "1234567"]) {
      if (size !== undefined) process.env["BUN_JSC_largeHeapSize"] = size;
      const { workers } = create(script, 1, null, (_, message) => told.push(message));
      await workers.start().finally(() => delete process.env["BUN_JSC_largeHeapSize"]);
    }
    expect(told).toEqual([String(64 * 1024 * 1024), "1234567"]);
  });

  test("one that cannot start says why, and the start fails", async () => {
    const { workers } = create(
      `process.on("message", () => process.send({ kind: "failed", reason: "no such file: x.html" }, () => process.exit(78)));`,
    );
    await expect(workers.start()).rejects.toThrow("no such file: x.html");
  });

  test("one that ends without a word before it was ready fails the start", async () => {
    const { workers } = create("process.exit(5)");
    await expect(workers.start()).rejects.toThrow("it ended with exit code 5 before it was ready");
  });

  test("one that dies is told of by its signal and started again in its slot", async () => {
    const { workers, deaths, said } = create(READY, 2);
    await workers.start();
    const [, before] = workers.view();
    process.kill(before!.pid!, "SIGKILL");
    await until(() => workers.view()[1]!.restarts === 1 && workers.view()[1]!.state === "ready");
    expect(deaths).toEqual([1]);
    expect(said).toContain("worker died");
    expect(workers.view()[1]!.pid).not.toBe(before!.pid);
    expect(workers.view()[0]!.restarts).toBe(0);
  });

  test("one that keeps dying is started again after a time that doubles", async () => {
    const { workers, said } = create(
      `process.on("message", () => process.send({ kind: "ready" }, () => process.exit(1)));`,
    );
    await workers.start();
    await until(() => workers.view()[0]!.restarts === 3);
    const delays = said.filter((line) => line.startsWith("worker starts again"));
    expect(delays.slice(0, 3)).toEqual([100, 200, 400].map((ms) => `worker starts again in ${ms} ms`));
  });

  test("one that waits to be started again does not hold up a drain", async () => {
    const { workers } = create(`process.on("message", () => process.send({ kind: "ready" }, () => process.exit(1)));`);
    await workers.start();
    await until(() => workers.view()[0]!.state === "waiting");
    expect(await workers.drain(60_000)).toBe(true);
  });

  test("one whose program is not there for a while is started again once it is", async () => {
    const { workers, said, command } = create(READY);
    await workers.start();
    const [runtime] = command;
    command[0] = "/no/such/program";
    process.kill(workers.view()[0]!.pid!, "SIGKILL");
    await until(() => workers.view()[0]!.restarts === 2);
    command[0] = runtime!;
    await until(() => workers.view()[0]!.state === "ready");
    expect(said.filter((line) => line === "worker died").length).toBeGreaterThan(1);
  });

  test("a program that is not there fails the start", async () => {
    const { workers, command } = create(READY, 2);
    command[0] = "/no/such/program";
    await expect(workers.start()).rejects.toThrow("it cannot be started: ");
    await workers.kill();
  });

  test("are not started once they have been told to end", async () => {
    const { workers } = create(READY, 2);
    expect(await workers.drain(1000)).toBe(true);
    await expect(workers.start()).rejects.toThrow("the program is stopping");
    expect(workers.view().map(({ pid }) => pid)).toEqual([null, null]);
  });

  test("are handed over when they serve or finish what they have; one that starts is not", async () => {
    const script = `process.on("message", (m) => {
      if (m.kind === "start" && m.slot < 2) process.send({ kind: "ready" });
      if (m.kind === "handover") process.send({ kind: "handed-over" });
    });`;
    const { workers, wanted } = create(script, 3);
    wanted.delete(2);
    await workers.start();
    wanted.delete(1);
    wanted.add(2);
    workers.adjust();
    const [serves, finishes, starts] = workers.view();
    expect([serves!.state, finishes!.state, starts!.state]).toEqual(["ready", "draining", "starting"]);
    expect(await workers.handOver()).toEqual({ serving: [serves!.pid!], draining: [finishes!.pid!] });
    await until(() => workers.view()[2]!.pid === null);
    expect(workers.view().map(({ pid }) => pid)).toEqual([serves!.pid, finishes!.pid, null]);
  });

  test("one that does not end in the grace time is killed", async () => {
    const deaf = `process.on("message", (m) => m.kind === "start" && process.send({ kind: "ready" }));`;
    const { workers, deaths } = create(deaf);
    await workers.start();
    expect(await workers.drain(0)).toBe(false);
    expect(deaths).toEqual([]);
  });

  test("a config of several megabytes reaches a worker that is slow to listen", async () => {
    const tree = "x".repeat(8_000_000);
    const { workers } = create(
      `Bun.sleepSync(200); process.on("message", (m) => process.send(m.tree.length === 8e6 ? { kind: "ready" } : { kind: "failed" }));`,
      1,
      tree,
    );
    await workers.start();
  });
});

describe("a change of what workers serve", () => {
  /** Builds what it is told to, unless that is generation 13; says which one it serves when asked to reopen. */
  const BUILDER = `let serving = 0; let prepared = 0;
    process.on("message", (m) => {
      if (m.kind === "start") { serving = m.generation; process.send({ kind: "ready" }); }
      if (m.kind === "prepare") {
        if (m.generation === 13) return process.send({ kind: "refused", generation: 13, reason: "no such file: x" });
        if (m.generation === 14) return process.exit(7);
        if (m.generation === 15) return;
        prepared = m.generation;
        process.send({ kind: "prepared", generation: prepared });
      }
      if (m.kind === "commit") { if (m.generation === 16) process.exit(8); serving = prepared; process.send({ kind: "committed", generation: serving }); }
      if (m.kind === "abort") prepared = 0;
      if (m.kind === "reopen") process.send({ kind: "clients", overMs: serving, counts: [] });
      if (m.kind === "drain") process.exit(0);
    });`;

  async function builders(count = 2) {
    const serving = new Map<number, number>();
    const made = create(BUILDER, count, null, (slot, message) => {
      if (message.kind === "clients") serving.set(slot, message.overMs);
    });
    await made.workers.start();
    const prepare = (generation: number) =>
      made.workers.prepare(generation, (_, send) => send({ kind: "prepare", generation } as Prepare));
    const ask = async () => {
      serving.clear();
      made.workers.reopen();
      await until(() => serving.size === count);
      return [...serving.values()];
    };
    return { ...made, prepare, ask };
  }

  test("is prepared by all, and then served by all", async () => {
    const { workers, prepare, ask } = await builders();
    await prepare(2);
    expect(await ask()).toEqual([1, 1]);
    await workers.commit(2);
    expect(await ask()).toEqual([2, 2]);
  });

  test("that one cannot build changes none", async () => {
    const { workers, prepare, ask } = await builders();
    await expect(prepare(13)).rejects.toThrow("no such file: x");
    workers.abort(13);
    expect(await ask()).toEqual([1, 1]);
  });

  test("that ends the workers changes nothing, and they come back as they were", async () => {
    const { workers, prepare, ask } = await builders();
    await expect(prepare(14)).rejects.toThrow(/worker \d died: it ended with exit code 7/);
    workers.abort(14);
    await until(() => workers.view().every(({ state, restarts }) => state === "ready" && restarts === 1));
    expect(await ask()).toEqual([1, 1]);
  });

  test("while one is being decided, no worker is started; then it starts with what was decided", async () => {
    const { workers, prepare, ask, decided, deaths } = await builders();
    await prepare(2);
    process.kill(workers.view()[1]!.pid!, "SIGKILL");
    await until(() => deaths.length === 1);
    await Bun.sleep(300);
    expect(workers.view()[1]!.state).toBe("waiting");
    decided.generation = 2;
    await workers.commit(2);
    await until(() => workers.view()[1]!.state === "ready");
    expect(await ask()).toEqual([2, 2]);
  });

  test("a worker that dies at the commit is started with what was decided", async () => {
    const { workers, prepare, ask, decided } = await builders();
    await prepare(16);
    decided.generation = 16;
    await workers.commit(16);
    await until(() => workers.view().every(({ state, restarts }) => state === "ready" && restarts === 1));
    expect(await ask()).toEqual([16, 16]);
  });

  test("a worker that is just starting is waited for", async () => {
    const { workers, prepare, ask } = await builders();
    process.kill(workers.view()[0]!.pid!, "SIGKILL");
    // It is "starting" only for a moment, which a busy machine may not see.
    await until(() => workers.view()[0]!.restarts === 1);
    await prepare(2);
    await workers.commit(2);
    expect(await ask()).toEqual([2, 2]);
  });

  test("is not begun any more once preparations are called off", async () => {
    const { workers } = create(READY);
    await workers.start();
    workers.cancelPreparation();
    const told: number[] = [];
    await expect(workers.prepare(2, (slot) => told.push(slot))).rejects.toThrow("the program is stopping");
    expect(told).toEqual([]);
  });

  test("a kill ends one that is being prepared", async () => {
    const { workers, prepare } = await builders();
    const preparing = prepare(15);
    preparing.catch(() => {});
    await Bun.sleep(20);
    await workers.kill();
    await expect(preparing).rejects.toThrow("died");
  });
});

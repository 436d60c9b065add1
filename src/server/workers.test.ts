import { afterEach, describe, expect, test } from "bun:test";
import { createLog } from "../base/log.ts";
import type { Start } from "./ipc.ts";
import { Workers } from "./workers.ts";

/** Workers that run a piece of script instead of serving. */
function create(script: string, count = 1, tree: unknown = null) {
  const said: string[] = [];
  const readies: number[] = [];
  const deaths: number[] = [];
  const workers = new Workers({
    count,
    command: [process.execPath, "-e", script],
    fds: () => [],
    start: (slot) => ({ kind: "start", slot, tree }) as Start,
    log: createLog({ level: "debug", format: "json", write: (line) => said.push(JSON.parse(line).message) }),
    onReadyChange: (ready) => readies.push(ready),
    onDeath: (slot) => deaths.push(slot),
    onMessage: () => {},
  });
  running.push(workers);
  return { workers, said, readies, deaths };
}

const running: Workers[] = [];
afterEach(async () => {
  for (const workers of running.splice(0)) await workers.kill();
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("waited 5 s in vain");
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

  test("one that does not end in the grace time is killed", async () => {
    const deaf = `process.on("message", (m) => m.kind === "start" && process.send({ kind: "ready" }));`;
    const { workers, deaths } = create(deaf);
    await workers.start();
    const begun = performance.now();
    expect(await workers.drain(0)).toBe(false);
    expect(performance.now() - begun).toBeLessThan(5000);
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

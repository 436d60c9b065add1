import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog } from "../base/log.ts";
import { Noting, Sequence } from "../state/placement.ts";
import { createZone } from "../state/zone.ts";
import { GatewayMetrics } from "../telemetry/metrics.ts";
import { SAMPLE_CONFIG } from "../telemetry/testing.ts";
import { NO_MATERIAL } from "../tls/tls-material.ts";
import type { Start } from "./ipc.ts";
import { Workers } from "./workers.ts";

/** A worker whose gateway is a piece of script. */
function create(gateway: string, accessLog: unknown = null) {
  const said: { message: string; code?: number; reason?: string }[] = [];
  const noting = new Noting(new Sequence());
  GatewayMetrics.of(SAMPLE_CONFIG, noting);
  const zone = createZone({ totals: 5000, levels: 100, shared: 10, times: 10, slots: 2 });
  const script = `
    const { runWorker } = await import(${JSON.stringify(`${import.meta.dir}/worker-process.ts`)});
    const { SAMPLE_CONFIG } = await import(${JSON.stringify(`${import.meta.dir}/../telemetry/testing.ts`)});
    const config = { ...SAMPLE_CONFIG, telemetry: { accessLog: ${JSON.stringify(accessLog)}, log: { level: "error", format: "text" } }, timeouts: { drain: 100 } };
    runWorker({ readConfig: async () => config, createGateway: () => (${gateway}) });`;
  const workers = new Workers({
    count: 1,
    isWanted: () => true,
    command: [process.execPath, "-e", script],
    fds: () => [zone.fd],
    start: (slot) =>
      ({
        kind: "start",
        slot,
        slots: 2,
        directory: "/",
        listeners: [],
        sets: [],
        material: NO_MATERIAL,
        places: noting.places,
        zoneFd: 3,
        channelFd: 3,
      }) as unknown as Start,
    log: createLog({ level: "debug", format: "json", write: (line) => said.push(JSON.parse(line)) }),
    onReadyChange: () => {},
    onDeath: () => {},
    onMessage: () => {},
  });
  running.push(workers);
  return { workers, zone, said };
}

const running: Workers[] = [];
afterEach(async () => {
  for (const workers of running.splice(0)) await workers.kill();
});

async function death(said: { message: string; code?: number }[]): Promise<number | undefined> {
  for (;;) {
    const found = said.find(({ message }) => message === "worker died");
    if (found !== undefined) return found.code;
    await Bun.sleep(5);
  }
}

test.each(["throw new Error('expected in this test')", "Promise.reject(new Error('expected in this test'))"])(
  "a worker ends with 70 after a fault nobody caught: %s",
  async (fault) => {
    const { workers, said } = create(`{ prepare: async () => ({ commit() { setTimeout(() => { ${fault} }, 20); } }) }`);
    await workers.start();
    expect(await death(said)).toBe(70);
  },
);

test("a gateway that cannot be built fails the start with its reason", async () => {
  const { workers } = create(`{ async prepare() { throw new Error("no certificate"); } }`);
  await expect(workers.start()).rejects.toThrow("no certificate");
});

test("a worker counts in the zone of its supervisor and hands the drain time to its gateway", async () => {
  const { workers, zone } = create(
    `{
      async prepare({ metrics }) { this.metrics = metrics; return { commit() {} }; },
      async drain(ms) { await Bun.sleep(ms); this.metrics.malformed.add(0, ms); },
    }`,
  );
  await workers.start();
  expect(await workers.drain(1000)).toBe(true);
  expect(zone.totals[0]).toContain(100);
});

test("a worker that is handed over when its supervisor is gone already drains", async () => {
  const { workers, said } = create(`{ async prepare() { return { commit() {} }; }, async drain() {} }`);
  await workers.start();
  workers.send({ kind: "handover", supervisor: 1 });
  expect(await death(said)).toBe(0);
});

test("a log file that is moved away while a worker starts is opened anew", async () => {
  const directory = mkdtempSync(join(tmpdir(), "lintel-worker-"));
  const output = join(directory, "access.log");
  const gateway = `{
    async prepare() {
      require("node:fs").renameSync(${JSON.stringify(output)}, ${JSON.stringify(`${output}.1`)});
      process.kill(process.pid, "SIGUSR1");
      await Bun.sleep(50);
      return { commit() {} };
    },
    async drain() {},
  }`;
  const { workers } = create(gateway, { format: "json", output, buffer: 1000, flush: 10, maxPending: 1000 });
  await workers.start();
  for (let i = 0; i < 2000 && !existsSync(output); i++) await Bun.sleep(5);
  expect([existsSync(output), existsSync(`${output}.1`)]).toEqual([true, true]);
  await workers.drain(1000);
  rmSync(directory, { recursive: true });
});

test("a worker that is told to end again and again drains once", async () => {
  const { workers, said } = create(`{
    calls: [],
    async prepare() { return { commit() {} }; },
    async drain(ms, gentle) {
      this.calls.push(gentle);
      await Bun.sleep(500);
      if (this.calls.join() === "true,false") process.exit(7);
    },
  }`);
  await workers.start();
  workers.send({ kind: "handover", supervisor: process.pid });
  const { pid } = workers.view()[0]!;
  for (let i = 0; i < 5; i++) {
    process.kill(pid!, "SIGTERM");
    await Bun.sleep(50);
  }
  expect(await death(said)).toBe(7);
});

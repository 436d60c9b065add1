/**
 * The zero-loss run: Lintel with two workers and three origin servers under constant load (kept and new
 * connections, small and 1 MiB responses, slow ones, WebSockets), while everything about it changes:
 * reloads, endpoints added, removed and drained, origin servers replaced, workers killed, the program
 * upgraded. It fails if a request failed other than those that were at a worker when it was killed, or
 * if a reload or a change of endpoints lost a WebSocket.
 *
 *   npm run zero-loss -- [--reloads 50] [--cycles 20] [--kills 5] [--upgrades 3]
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LAUNCHER } from "../../bench/proxies/lintel.ts";
import { type Child, Children, lastLines } from "../../bench/system/children.ts";
import { answered, freePorts } from "../../bench/system/ports.ts";
import { treeOf } from "../../bench/system/process-tree.ts";

interface Failure {
  readonly kind: string;
  /** Unix times in ms. */
  readonly openedAt: number;
  readonly at: number;
  readonly why: string;
}

interface Phase {
  readonly name: string;
  readonly startedAt: number;
  endedAt: number;
  readonly failures: Failure[];
  readonly notes: string[];
  readonly latencies: number[];
}

const { values } = parseArgs({
  options: {
    reloads: { type: "string", default: "50" },
    cycles: { type: "string", default: "20" },
    kills: { type: "string", default: "5" },
    upgrades: { type: "string", default: "3" },
    keep: { type: "boolean", default: false },
  },
});
const LOAD = { kept: 16, new: 6, large: 4, slow: 4, sockets: 20 };
/** What was at a killed worker is known to be lost this soon. */
const AFTER_KILL_MS = 2000;

const children = new Children();
const directory = mkdtempSync(join(tmpdir(), "lintel-zero-loss-"));
process.on("exit", () => values.keep || rmSync(directory, { recursive: true, force: true }));
const [listener, admin, extraListener, ...originPorts] = freePorts(7) as [number, number, number, ...number[]];
const configFile = join(directory, "lintel.yaml");
const phases: Phase[] = [];
const kills: number[] = [];
let counts: Readonly<Record<string, number>> = {};

const origins = new Map<number, Child>();
for (const port of originPorts.slice(0, 3)) origins.set(port, await startOrigin(port));
writeConfig(0);
const lintel = children.start({
  name: "lintel",
  command: ["node", LAUNCHER, "run", "--config", configFile],
  log: join(directory, "lintel.log"),
});
await answered(lintel, listener, "/small");
let onDone: () => void = () => {};
const client = children.start({
  name: "client",
  command: ["node", join(import.meta.dir, "client.mjs"), String(listener)],
  log: join(directory, "client.log"),
  onMessage: received,
});

client.send({ start: LOAD });
await phase("at rest", async () => {
  await Bun.sleep(3000);
});
await phase(`${values.reloads} reloads`, async ({ notes }) => {
  const took: number[] = [];
  for (let i = 1; i <= Number(values.reloads); i++) {
    writeConfig(i);
    const { tookMs } = await api("POST", "/v1/reload");
    took.push(tookMs as number);
    await Bun.sleep(40);
  }
  notes.push(`a reload took ${Math.round(Math.min(...took))} to ${Math.round(Math.max(...took))} ms`);
});
await phase(`${values.cycles} cycles of endpoints`, async () => {
  for (let i = 0; i < Number(values.cycles); i++) await cycle(i);
});
await phase(`${values.kills} kills of a worker`, async () => {
  for (let i = 0; i < Number(values.kills); i++) {
    const workers = await workerPids();
    kills.push(Date.now());
    process.kill(workers[i % workers.length]!, "SIGKILL");
    await Bun.sleep(AFTER_KILL_MS + 1500);
  }
});
await phase(`${values.upgrades} upgrades`, async () => {
  for (let i = 0; i < Number(values.upgrades); i++) {
    const before = await workerPids();
    await api("POST", "/v1/upgrade");
    await until("new workers", async () =>
      (await workerPids().catch(() => before)).every((pid) => !before.includes(pid)),
    );
    await Bun.sleep(1500);
  }
});
await new Promise<void>((resolve) => {
  onDone = resolve;
  client.send({ stop: true });
});
report();
await children.stopAll();
process.exit(phases.some((one) => unexpected(one).length > 0) ? 1 : 0);

function received(message: unknown): void {
  const said = message as {
    failure?: Failure;
    counts?: Readonly<Record<string, number>>;
    latencies?: number[];
    done?: boolean;
  };
  const current = phases.at(-1)!;
  if (said.counts !== undefined) ({ counts } = said as { counts: typeof counts });
  if (said.latencies !== undefined) current.latencies.push(...said.latencies);
  if (said.failure !== undefined) current.failures.push(said.failure);
  if (said.done) onDone();
}

async function phase(name: string, run: (phase: Phase) => Promise<void>): Promise<void> {
  const one: Phase = { name, startedAt: Date.now(), endedAt: 0, failures: [], notes: [], latencies: [] };
  phases.push(one);
  try {
    await run(one);
  } catch (error) {
    one.notes.push(`BROKE OFF: ${error instanceof Error ? error.message : String(error)}`);
    one.failures.push({ kind: "run", openedAt: 0, at: Date.now(), why: String(error) });
    console.log(lastLines(lintel));
  }
  await Bun.sleep(500);
  one.endedAt = Date.now();
  const latencies = one.latencies.toSorted((a, b) => a - b);
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? 0;
  console.log(
    `${name}: ${latencies.length} requests in ${Math.round((one.endedAt - one.startedAt) / 1000)} s, ` +
      `p99 ${p99.toFixed(1)} ms, ${one.failures.length} failures (${unexpected(one).length} unexpected)` +
      one.notes.map((note) => `; ${note}`).join(""),
  );
  for (const { kind, why, at, openedAt } of unexpected(one).slice(0, 10)) {
    console.log(`  ${kind}: ${why}, ${at - one.startedAt} ms into it, on a connection ${at - openedAt} ms old`);
  }
}

/** An origin server more, one drained and taken out, one back. */
async function cycle(i: number): Promise<void> {
  const [, , , spare] = originPorts as [number, number, number, number];
  const address = `127.0.0.1:${spare}`;
  const path = `/v1/upstreams/app/endpoints`;
  origins.set(spare, await startOrigin(spare));
  await api("POST", path, { address });
  await Bun.sleep(150);
  const drained = i % 2 === 0 ? address : `127.0.0.1:${originPorts[i % 3]}`;
  const encoded = `${path}/${encodeURIComponent(drained)}`;
  await api("PATCH", encoded, { duty: "draining" });
  await Bun.sleep(100);
  await api("PATCH", encoded, { duty: "enabled" });
  await Bun.sleep(50);
  await api("DELETE", `${path}/${encodeURIComponent(address)}`);
  // The workers hear of it within a turn or two; then nothing new comes, and what runs finishes.
  await Bun.sleep(300);
  const server = origins.get(spare)!;
  origins.delete(spare);
  void children.stop(server, 60_000);
  await server.exited;
}

async function startOrigin(port: number): Promise<Child> {
  const child = children.start({
    name: `origin ${port}`,
    command: ["node", join(import.meta.dir, "origin.mjs"), String(port)],
    log: join(directory, "origin.log"),
  });
  await answered(child, port, "/small");
  return child;
}

/** Each number makes another config: routes, limits, timeouts, endpoints' weights, a listener more or less. */
function writeConfig(i: number): void {
  const extra = i % 3 === 1 ? `\n  - { name: extra, address: "127.0.0.1:${extraListener}" }` : "";
  const routes = Array.from({ length: i % 7 }, (_, n) => `      - { match: "/extra-${n}/*", to: app }\n`).join("");
  writeFileSync(
    `${configFile}.next`,
    `workers: 2
state: ${directory}
listeners:
  - { name: main, address: "127.0.0.1:${listener}", maxConnections: ${10_000 + i} }${extra}
admin: { address: "127.0.0.1:${admin}", token: zero-loss }
telemetry: { accessLog: ${i % 2 === 0 ? `{ format: json, output: ${join(directory, "access.log")} }` : '"off"'} }
timeouts: { drain: 60s, firstOctet: ${20 + (i % 5)}s }
upstreams:
  app:
    endpoints:
${originPorts
  .slice(0, 3)
  .map((port, n) => `      - { address: "127.0.0.1:${port}", weight: ${1 + ((i + n) % 3)} }\n`)
  .join("")}    balance: ${["round-robin", "least-requests", "random-two"][i % 3]}
    health: { passive: "off" }
    retry: 0
sites:
  - routes:
${routes}      - { name: everything, use: [{ headers: { response: { set: { x-version: "${i}" } } } }], to: app }
`,
  );
  renameSync(`${configFile}.next`, configFile);
}

async function api(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`http://127.0.0.1:${admin}${path}`, {
    method,
    headers: { authorization: "Bearer zero-loss", "content-type": "application/json" },
    body: method === "GET" ? null : JSON.stringify(body ?? {}),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
}

async function workerPids(): Promise<number[]> {
  let pids: number[] = [];
  await until("both workers", async () => {
    const { workers } = (await (await fetch(`http://127.0.0.1:${admin}/health`)).json()) as {
      workers: { pid: number; state: string }[];
    };
    pids = workers.filter(({ state }) => state === "ready").map(({ pid }) => pid);
    return pids.length === 2;
  });
  const tree = new Set(treeOf(lintel.pid).map(({ pid }) => pid));
  return pids.filter((pid) => tree.has(pid));
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; Date.now() < end; await Bun.sleep(50)) {
    try {
      if (await holds()) return;
    } catch {
      // Not there at the moment.
    }
  }
  throw new Error(`${what}: not within 30 s`);
}

/** Failures that nothing excuses. */
function unexpected({ failures, name }: Phase): Failure[] {
  return failures.filter(({ kind, at, openedAt }) => {
    if (kills.some((killedAt) => openedAt <= killedAt && at >= killedAt - 50 && at - killedAt < AFTER_KILL_MS))
      return false;
    // An upgrade ends old workers once their other connections are done; WebSockets get the drain time.
    return !(kind === "socket" && name.includes("upgrades"));
  });
}

function report(): void {
  const failures = phases.flatMap((one) => one.failures);
  const bad = phases.flatMap(unexpected);
  const requests = (counts["kept"] ?? 0) + (counts["new"] ?? 0) + (counts["large"] ?? 0) + (counts["slow"] ?? 0);
  console.log(
    `\n${requests} requests (${counts["kept"]} on kept connections, ${counts["new"]} on new ones, ${counts["large"]} of 1 MiB, ` +
      `${counts["slow"]} of 300 ms), ${counts["messages"]} WebSocket messages; ` +
      `${failures.length - bad.length} lost at killed workers; ${bad.length} unexpected failures`,
  );
}

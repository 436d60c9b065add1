/**
 * What a reload of a large config does to traffic: 10,000 routes and 1,000 endpoints, two workers, a
 * steady load of small requests on kept connections. Prints how long reloads took, and the latency of
 * requests that began within a second of one against that of the others.
 *
 * What differs from one config to the next (`--change`):
 * - `some`: one route in a hundred has other options; ten routes come and ten go; so do ten endpoints.
 * - `none`: nothing, as when only a file has changed that the config names.
 * - `all`: every route has other options and another condition.
 *
 *   bun bench/reload.ts [--routes 10000] [--endpoints 1000] [--reloads 10] [--rate 500] [--change some] [--json]
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { LAUNCHER } from "./proxies/lintel.ts";
import { Children } from "./system/children.ts";
import { answered, freePorts } from "./system/ports.ts";

const { values } = parseArgs({
  options: {
    routes: { type: "string", default: "10000" },
    endpoints: { type: "string", default: "1000" },
    reloads: { type: "string", default: "10" },
    rate: { type: "string", default: "500" },
    change: { type: "string", default: "some" },
    json: { type: "boolean", default: false },
  },
});
const CONNECTIONS = 16;
/** A request belongs to a reload if it began this long before its end, or while it ran. */
const AFTER_MS = 1000;

const children = new Children();
const directory = mkdtempSync(join(tmpdir(), "lintel-reload-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const [listener, admin, origin] = freePorts(3) as [number, number, number];
const file = join(directory, values.json ? "lintel.json" : "lintel.yaml");

// All in processes of their own, and all files made before: nothing but Lintel's work may hold a request up.
const server = children.start({
  name: "origin",
  command: [
    process.execPath,
    "-e",
    `Bun.serve({ port: ${origin}, hostname: "127.0.0.1", fetch: () => new Response("hello\\n") })`,
  ],
  log: join(directory, "origin.log"),
});
await answered(server, origin);
for (let i = 0; i <= Number(values.reloads); i++) write(i);
renameSync(`${file}.0`, file);
const lintel = children.start({
  name: "lintel",
  command: ["node", LAUNCHER, "run", "--config", file],
  log: join(directory, "lintel.log"),
});
await answered(lintel, listener, "/route-1/x", false, 30_000);

const requests: { readonly startedAt: number; readonly ms: number }[] = [];
let failed = 0;
let stopping = false;
const load = Promise.all(Array.from({ length: CONNECTIONS }, (_, i) => client(i)));
await Bun.sleep(3000);
const reloads: { readonly from: number; readonly to: number; readonly ms: number }[] = [];
for (let i = 1; i <= Number(values.reloads); i++) {
  renameSync(`${file}.${i}`, file);
  const from = performance.now();
  const response = await fetch(`http://127.0.0.1:${admin}/v1/reload`, {
    method: "POST",
    headers: { authorization: "Bearer reload", "content-type": "application/json" },
    body: "{}",
  });
  const result = (await response.json()) as { tookMs?: number };
  if (result.tookMs === undefined) throw new Error(`reload failed: ${JSON.stringify(result).slice(0, 500)}`);
  reloads.push({ from, to: performance.now(), ms: result.tookMs });
  await Bun.sleep(3000);
}
stopping = true;
await load;
report();
await children.stopAll();
process.exit(failed > 0 ? 1 : 0);

/** A request each so many ms, whatever the one before took: a late answer does not hide the next one's wait. */
async function client(i: number): Promise<void> {
  const every = (1000 * CONNECTIONS) / Number(values.rate);
  let next = performance.now() + (i * every) / CONNECTIONS;
  while (!stopping) {
    await Bun.sleep(Math.max(0, next - performance.now()));
    const startedAt = Math.min(performance.now(), next + 2);
    next += every;
    try {
      const response = await fetch(`http://127.0.0.1:${listener}/route-${Math.floor(Math.random() * 1000)}/x`);
      if ((await response.text()) !== "hello\n") failed++;
    } catch {
      failed++;
    }
    requests.push({ startedAt, ms: performance.now() - startedAt });
  }
}

function report(): void {
  const isNear = (at: number) => reloads.some(({ from, to }) => at >= from && at <= to + AFTER_MS);
  const near = requests.filter(({ startedAt }) => isNear(startedAt)).map(({ ms }) => ms);
  const far = requests.filter(({ startedAt }) => !isNear(startedAt)).map(({ ms }) => ms);
  const took = reloads.map(({ ms }) => ms).toSorted((a, b) => a - b);
  const show = (ms: number) => ms.toFixed(1);
  console.log(
    `reload of ${values.routes} routes and ${values.endpoints} endpoints (${values.json ? "JSON" : "YAML"}, ${values.change} changed): ` +
      `${show(took[0]!)} to ${show(took.at(-1)!)} ms, median ${show(took[took.length >> 1]!)} ms`,
  );
  for (const [name, list] of [
    ["within a second of a reload", near],
    ["else", far],
  ] as const) {
    const sorted = list.toSorted((a, b) => a - b);
    const at = (share: number) => show(sorted[Math.floor(sorted.length * share)] ?? 0);
    console.log(
      `${name}: ${sorted.length} requests, p50 ${at(0.5)}, p99 ${at(0.99)}, most ${show(sorted.at(-1) ?? 0)} ms`,
    );
  }
  console.log(`${failed} failed`);
}

function write(version: number): void {
  const { change } = values;
  const isOther = (i: number, first: number) => change === "some" && i >= first && i < first + 10;
  const endpoints = Array.from({ length: Number(values.endpoints) }, (_, i) =>
    isOther(i, 10 * version) ? `10.200.${version}.${i % 10}:80` : `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}:80`,
  );
  const routes = Array.from({ length: Number(values.routes) }, (_, i) => {
    // Those that are asked for stay.
    const name = isOther(i, 1000 + 10 * version) ? `new-${version}-${i}` : `route-${i}`;
    const isChanged = change === "all" || (change === "some" && i % 100 === 0);
    return {
      name,
      match: { path: `/${name}/*`, ...(change === "all" && { field: { [`x-${version}`]: false } }) },
      use: [{ headers: { response: { set: { "x-route": isChanged ? `${i}-${version}` : `${i % 50}` } } } }],
      to: i < 1000 ? "app" : "many",
    };
  });
  const config = {
    workers: 2,
    state: directory,
    listeners: [`127.0.0.1:${listener}`],
    admin: { address: `127.0.0.1:${admin}`, token: "reload" },
    telemetry: { accessLog: "off" },
    upstreams: { app: `127.0.0.1:${origin}`, many: { endpoints } },
    sites: [{ routes }],
  };
  writeFileSync(
    `${file}.${version}`,
    values.json ? JSON.stringify(config, null, 1) : Bun.YAML.stringify(config, null, 2),
  );
}

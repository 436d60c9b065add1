/**
 * Where a worker's time goes: runs Lintel with one worker under the load of a case, with Bun's
 * sampling profiler on, and prints the functions that took the most time themselves. What the
 * kernel and native code take shows under the function that called them. Requests cost more while
 * profiled; compare shares here, and costs in run.ts.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { cases, ROUTES, routePrefix } from "./cases.ts";
import { generate } from "./load/generate.ts";
import { wrkVersion } from "./load/wrk.ts";
import { originPortOf, startOrigins } from "./origin/start.ts";
import { isTls } from "./proxies/contender.ts";
import { lintel } from "./proxies/lintel.ts";
import { findWorkers } from "./soak/watch.ts";
import { makeCertificate } from "./system/certificate.ts";
import { Children } from "./system/children.ts";
import { type CpuProfile, selfTimes } from "./system/cpu-profile.ts";
import { choosePinning } from "./system/machine.ts";
import { answered, freePorts } from "./system/ports.ts";

const loads = cases.filter(({ kind }) => kind === "load");
const USAGE = `Usage: bun bench/profile.ts [options]
  --case NAME     one of: ${loads.map(({ name }) => name).join(", ")} (default small)
  --seconds N     length of the load (default 5)
  --top N         functions shown (default 30)
  --keep DIR      where the profile stays, for a viewer; else it is removed

Example: bun bench/profile.ts --case routes --top 40`;

const PROJECT = resolve(import.meta.dir, "..");
const { values } = parseArgs({
  options: {
    case: { type: "string", default: "small" },
    seconds: { type: "string", default: "5" },
    top: { type: "string", default: "30" },
    keep: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const chosen = loads.find(({ name }) => name === values.case);
if (values.help || chosen === undefined) {
  console.log(USAGE);
  process.exit(values.help ? 0 : 2);
}
if (wrkVersion() === null || Bun.which("nginx") === null) {
  console.error("wrk and nginx are needed; on Debian: apt-get install wrk nginx");
  process.exit(1);
}

const children = new Children();
const directory = mkdtempSync(join(tmpdir(), "lintel-profile-"));
chmodSync(directory, 0o755);
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
const profiles = resolve(values.keep ?? join(directory, "profiles"));
mkdirSync(profiles, { recursive: true });

const pinning = choosePinning();
const origins = await startOrigins(children, directory, pinning.origin);
const [port, adminPort] = freePorts(2) as [number, number];
const home = join(directory, "lintel");
mkdirSync(home);
const start = lintel.prepare({
  protocol: chosen.protocol,
  certificate: makeCertificate(directory),
  directory: home,
  port,
  adminPort,
  originPort: originPortOf(chosen, origins),
  prefixes: chosen.routed ? Array.from({ length: ROUTES }, (_, index) => routePrefix(index)) : [],
  accessLog: chosen.accessLog,
});
const gateway = children.start({
  ...start,
  name: "lintel",
  cpu: pinning.proxy,
  log: join(home, "log"),
  environment: { BUN_OPTIONS: `--cpu-prof --cpu-prof-dir=${profiles}` },
});
await answered(gateway, port, "/", isTls(chosen.protocol));
const [worker] = await findWorkers(gateway.pid, 1);
const load = await generate({ children, directory, cpu: pinning.load }, chosen, port, Number(values.seconds));
await children.stop(gateway, 10_000);
await children.stopAll();

const file = readdirSync(profiles).find((name) => name.includes(`.${worker}.`) && name.endsWith(".cpuprofile"));
if (file === undefined) {
  console.error("the worker left no profile: it did not end in order");
  process.exit(1);
}
const times = selfTimes(JSON.parse(readFileSync(join(profiles, file), "utf8")) as CpuProfile);
const all = times.reduce((sum, { samples }) => sum + samples, 0);
console.log(`${chosen.title}: ${load.requests} ${chosen.unit}s, ${all} samples`);
for (const { name, place, samples } of times.slice(0, Number(values.top))) {
  console.log(
    `${((samples / all) * 100).toFixed(1).padStart(5)} %  ${name}  ${place.replace(`file://${PROJECT}/`, "")}`,
  );
}
if (values.keep !== undefined) console.log(`profile: ${join(profiles, file)}`);
process.exit(0);

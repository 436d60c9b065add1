/**
 * The soak: Lintel with two workers in front of an origin server that misbehaves on cue, under
 * mixed traffic with every body checked. It fails if anything came back wrong, if a worker died,
 * if memory grew beyond its bound, or if descriptors were left open. See README.md.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MemoryProbe } from "../test/support/memory-probe.ts";
import { LAUNCHER } from "./proxies/lintel.ts";
import type { Counts, FromClient, FromOrigin, ToClient } from "./soak/messages.ts";
import { authorityFile, bundle, type Ports, writeConfiguration } from "./soak/setup.ts";
import { CpuShare, findWorkers, leavesOf, type RestReading, readAtRest, readWorkers } from "./soak/watch.ts";
import { type Child, Children, lastLines } from "./system/children.ts";
import { answered, freePorts } from "./system/ports.ts";

const USAGE = `Usage: bun bench/soak.ts [options]
  --minutes N        length, warm-up not counted (default 10)
  --cpu N            percent of one core that all programs together may use (default 60)
  --only TEXT        kinds of exchange whose names hold that text
  --every N          seconds from line to line (default 10)

Example: bun bench/soak.ts --minutes 1`;

const WORKERS = 2;
/** Until all code is compiled and allocators have what they need: after less, memory still rises by tens of MiB. */
const WARM_UP_S = 30;
const FIRST_RATE = 100;
const MOST_RATE = 1500;
const MOST_WAITING = 120;
const SHOWN_WRONGS = 40;
/** Longer than the client lets one exchange take. */
const QUIET_DEADLINE_MS = 30_000;
/** A worker may hold a few more descriptors than at the start: a log that was reopened, a late connection. */
const DESCRIPTOR_SLACK = 4;

/**
 * What may be more in the middle than at the start, and at the end than in the middle. Live objects come and go with
 * code that the engine compiles, by some hundred KiB; in ten minutes, 30 octets left behind by each exchange would be more.
 */
const HEAP_GROWTH_MIB = 2;
/**
 * Resident memory is what allocators took at the busiest moment and keep for later, so it rises to a level that depends
 * on chance. Outside of the engine's heap a leak of 240 octets per exchange would be more.
 */
const RESIDENT_GROWTH_MIB = 16;

const options = readOptions();
const children = new Children();
const probe = new MemoryProbe();
const directory = mkdtempSync(join(tmpdir(), "lintel-soak-"));
process.on("exit", () => {
  rmSync(directory, { recursive: true, force: true });
  probe[Symbol.dispose]();
});

const wrongs: string[] = [];
let wrongCount = 0;
let counts: Readonly<Record<string, Counts>> = {};
let skipped = 0;
let running = 0;
let onQuiet: () => void = () => {};

const [listener, secure, admin, originPort] = freePorts(4) as [number, number, number, number];
// tcpmux, which nobody serves: a free port may be somebody's by the time it is to be dead.
const ports: Ports = { listener, secure, admin, origin: originPort, dead: 1 };
const origin = await startNode("origin", [ports.origin], (message) => noteWrong((message as FromOrigin).wrong));
const lintel = children.start({
  name: "lintel",
  command: ["node", LAUNCHER, "run", "--config", writeConfiguration(directory, ports, WORKERS)],
  environment: probe.environment,
  log: join(directory, "lintel.log"),
});
await answered(origin, ports.origin, "/length/1/1");
await answered(lintel, ports.listener, "/length/1/1");
const client = await startNode(
  "client",
  [ports.listener, ports.secure, authorityFile(directory), options.only],
  onClientMessage,
);
const workers = await findWorkers(lintel.pid, WORKERS);

const failures: string[] = [];
const readings: { readonly when: string; readonly exchanges: number; readonly workers: readonly RestReading[] }[] = [];
const share = new CpuShare([process.pid]);
let rate = FIRST_RATE;
const startedAt = performance.now();

const half = (options.minutes * 60) / 2;
await traffic("warm-up", WARM_UP_S);
await takeReading("start");
await traffic("first half", half);
await takeReading("middle");
await traffic("second half", half);
await takeReading("end");
judge();
report();
await children.stopAll();
process.exit(failures.length > 0 ? 1 : 0);

async function startNode(
  program: "origin" | "client",
  programArguments: readonly (string | number)[],
  onMessage: (message: unknown) => void,
): Promise<Child> {
  const file = await bundle(program, directory);
  return children.start({
    name: program,
    command: ["node", file, ...programArguments.map(String)],
    log: join(directory, `${program}.log`),
    onMessage,
  });
}

function onClientMessage(received: unknown): void {
  const message = received as FromClient;
  if ("wrong" in message) noteWrong(message.wrong);
  else if ("quiet" in message) onQuiet();
  else ({ counts, skipped, running } = message);
}

function noteWrong(wrong: string): void {
  wrongCount++;
  if (wrongs.length < SHOWN_WRONGS) wrongs.push(wrong);
  if (wrongCount <= SHOWN_WRONGS) console.log(`  WRONG ${wrong}`);
}

function tellClient(message: ToClient): void {
  client.send(message);
}

/** Runs traffic for so long, at the rate that keeps the machine as busy as it may be. */
async function traffic(phase: string, seconds: number): Promise<void> {
  console.log(`${phase}: ${Math.round(seconds)} s`);
  share.take();
  tellClient({ rate });
  const end = performance.now() + seconds * 1000;
  let line = performance.now() + options.everySeconds * 1000;
  while (performance.now() < end && alive()) {
    await Bun.sleep(Math.min(2000, Math.max(0, end - performance.now())));
    const used = share.take();
    // Where other programs have the machine, little is used because little is done: what waits tells.
    const factor = running > MOST_WAITING ? 0.6 : Math.min(1.3, Math.max(0.5, options.cpu / Math.max(used, 0.01)));
    rate = Math.min(MOST_RATE, Math.max(10, rate * factor));
    tellClient({ rate });
    if (performance.now() < line) continue;
    line += options.everySeconds * 1000;
    console.log(statusLine(used));
  }
}

function alive(): boolean {
  return lintel.running() && origin.running() && client.running();
}

function totals(): Counts & { all: number } {
  const sum = { good: 0, expected: 0, wrong: 0, all: 0 };
  for (const each of Object.values(counts)) {
    sum.good += each.good;
    sum.expected += each.expected;
    sum.wrong += each.wrong;
  }
  sum.all = sum.good + sum.expected + sum.wrong;
  return sum;
}

function statusLine(used: number): string {
  const { all, good, expected } = totals();
  const memory = readWorkers(workers).map(({ rss, descriptors }) => `${mebibytes(rss)} MiB ${descriptors} fds`);
  return (
    `${String(Math.round((performance.now() - startedAt) / 1000)).padStart(5)} s  ${all} exchanges: ${good} good, ` +
    `${expected} expected failures, ${wrongCount} wrong; ${Math.round(rate)}/s, ${running} running, ` +
    `${Math.round(used * 100)} % of a core; workers: ${memory.join(", ")}`
  );
}

/** Stops traffic, waits until idle connections have had their time, and reads the workers. */
async function takeReading(when: string): Promise<void> {
  let isQuiet = false;
  onQuiet = () => {
    isQuiet = true;
  };
  tellClient({ quiet: true });
  for (const end = performance.now() + QUIET_DEADLINE_MS; !isQuiet && performance.now() < end && alive(); )
    await Bun.sleep(100);
  if (!isQuiet) failures.push(`${when}: ${running} exchanges were still running after ${QUIET_DEADLINE_MS} ms`);
  let last = -1;
  for (let waited = 0; waited < 20 && alive(); waited += 4) {
    await Bun.sleep(4000);
    const open = readWorkers(workers).reduce((sum, { descriptors }) => sum + descriptors, 0);
    if (open === last) break;
    last = open;
  }
  readings.push({ when, exchanges: totals().all, workers: await readAtRest(workers, probe) });
}

function judge(): void {
  for (const child of [lintel, origin, client]) {
    if (!child.running()) failures.push(`${child.name} ended:\n${lastLines(child)}`);
  }
  const now = leavesOf(lintel.pid);
  const lost = workers.filter((pid) => !now.includes(pid));
  if (lost.length > 0) failures.push(`${lost.length} of ${WORKERS} workers died:\n${lastLines(lintel)}`);
  if (wrongCount > 0) failures.push(`${wrongCount} wrong`);
  if (lost.length > 0) return;
  for (const [index, reading] of readings.entries()) {
    const before = readings[index - 1];
    if (before === undefined) continue;
    for (const [slot, worker] of reading.workers.entries()) judgeGrowth(reading.when, before.workers[slot]!, worker);
  }
}

function judgeGrowth(when: string, before: RestReading, worker: RestReading): void {
  const heap = (worker.heap - before.heap) / 2 ** 20;
  if (heap > HEAP_GROWTH_MIB)
    failures.push(
      `${when}: live objects of worker ${worker.pid} grew by ${heap.toFixed(1)} MiB, more than ${HEAP_GROWTH_MIB}`,
    );
  const grown = (worker.rss - before.rss) / 2 ** 20;
  if (grown > RESIDENT_GROWTH_MIB)
    failures.push(`${when}: worker ${worker.pid} grew by ${grown.toFixed(1)} MiB, more than ${RESIDENT_GROWTH_MIB}`);
  const left = worker.descriptors - before.descriptors;
  if (left > DESCRIPTOR_SLACK)
    failures.push(`${when}: worker ${worker.pid} holds ${left} descriptors more than before`);
}

function report(): void {
  console.log("\n| kind | good | expected failures | wrong |\n| --- | ---: | ---: | ---: |");
  for (const [name, each] of Object.entries(counts)) {
    console.log(`| ${name} | ${each.good} | ${each.expected} | ${each.wrong} |`);
  }
  const { good, expected, wrong } = totals();
  console.log(`| all | ${good} | ${expected} | ${wrong} |`);
  const heads = workers.map((_, index) => `worker ${index + 1}: live MiB | RSS MiB | fds |`).join(" ");
  console.log(
    `\n| at rest | exchanges | ${heads}\n| --- | ---: | ${workers.map(() => "---: | ---: | ---: |").join(" ")}`,
  );
  for (const reading of readings) {
    const cells = reading.workers
      .map(({ heap, rss, descriptors }) => `${mebibytes(heap)} | ${mebibytes(rss)} | ${descriptors} |`)
      .join(" ");
    console.log(`| ${reading.when} | ${reading.exchanges} | ${cells}`);
  }
  if (skipped > 0) console.log(`\n${skipped} exchanges were not begun: too many were running.`);
  console.log(
    failures.length === 0 ? "\nPassed." : `\nFAILED:\n${failures.map((failure) => `- ${failure}`).join("\n")}`,
  );
}

function mebibytes(octets: number): string {
  return (octets / 2 ** 20).toFixed(1);
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: "string", default: "10" },
        cpu: { type: "string", default: "60" },
        only: { type: "string", default: "" },
        every: { type: "string", default: "10" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    return {
      minutes: number(values.minutes, "minutes", 24 * 60),
      cpu: number(values.cpu, "cpu", 100) / 100,
      only: values.only,
      everySeconds: number(values.every, "every", 3600),
    };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exit(2);
  }
}

function number(text: string, name: string, most: number): number {
  const value = Number(text);
  if (value > 0 && value <= most) return value;
  throw new Error(`--${name} is a number above 0 and at most ${most}, not "${text}"`);
}

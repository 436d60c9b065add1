/**
 * The bench: Lintel beside nginx, HAProxy and Caddy, one worker each, in one interleaved run.
 * What is measured and what it means is in README.md; `bun bench/run.ts --help` says how to use it.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { type Case, cases, chosenCases, ROUTES, routePrefix } from "./cases.ts";
import { baseOf, generate } from "./load/generate.ts";
import { h2loadVersion } from "./load/h2load.ts";
import { measureIdle } from "./load/idle.ts";
import { runWrk, writeScript, wrkVersion } from "./load/wrk.ts";
import { FIELDS_PATH } from "./origin/nginx-origin.ts";
import { originPortOf, startOrigins } from "./origin/start.ts";
import { type Certificate, CIPHER, type Contender, GROUP, isTls } from "./proxies/contender.ts";
import { proxies } from "./proxies/index.ts";
import { render } from "./report.ts";
import { DISTURBED, perRequest, REFERENCE, type Results, type Sample } from "./results.ts";
import { makeCertificate, opensslConfig } from "./system/certificate.ts";
import { type Child, Children, lastLines } from "./system/children.ts";
import { choosePinning, machine, usage } from "./system/machine.ts";
import { answered, freePorts } from "./system/ports.ts";
import { cpuOf, memoryOf } from "./system/process-tree.ts";

const USAGE = `Usage: bun bench/run.ts [options]
  --only CASE,GROUP    only these of: ${cases.map(({ name }) => name).join(", ")};
                       or of the groups ${[...new Set(cases.map(({ group }) => group))].join(", ")}
  --proxies NAME,NAME  only these of: ${proxies.map(({ name }) => name).join(", ")}
  --seconds N          length of a window (default 4)
  --rounds N           windows per case and proxy (default 4)
  --markdown           tables in Markdown
  --readme             put the tables into bench/README.md as its last section
  --json FILE          where the raw results go (default bench/results/TIME.json)

Example: bun bench/run.ts --only small,1m --seconds 3 --rounds 3`;

const REST_MS = 200;
/** A window in which other programs took more than DISTURBED of a core is repeated, so often at most. */
const TRIES = 3;

const options = readOptions();
const pinning = choosePinning();
if (pinning.load !== undefined) Bun.spawnSync(["taskset", "-a", "-cp", String(pinning.load), String(process.pid)]);

const children = new Children();
const directory = mkdtempSync(join(tmpdir(), "lintel-bench-"));
chmodSync(directory, 0o755); // nginx's worker becomes another user when started as root
const removeDirectory = () => rmSync(directory, { recursive: true, force: true });
process.on("exit", removeDirectory);

const present = options.proxies.filter((proxy) => proxy.version() !== null);
const results: Results = {
  startedAt: new Date().toISOString().slice(0, 16).replace("T", " "),
  machine: machine(),
  pinning,
  seconds: options.seconds,
  rounds: options.rounds,
  versions: Object.fromEntries([
    ...present.filter(({ tuned }) => !tuned).map((proxy) => [proxy.name, proxy.version() ?? ""]),
    ["bun", Bun.version],
    ["wrk", wrkVersion() ?? "missing"],
    ["h2load", h2loadVersion() ?? "missing"],
  ]),
  leftOut: options.proxies
    .filter((proxy) => !present.includes(proxy))
    .map(({ name }) => `${name} is not installed: left out`),
  failures: [],
  samples: [],
  idle: [],
};

const generators = { children, directory, cpu: pinning.load };
let origins: readonly Child[] = [];
let certificate: Certificate;

await run();
await children.stopAll();
mkdirSync(dirname(options.json), { recursive: true });
writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`);
console.log(render(results, options.cases, options.markdown));
if (options.readme) putIntoReadme(render(results, options.cases, true));
say(`raw results: ${options.json}`);
process.exit(results.failures.length > 0 ? 1 : 0);

async function run(): Promise<void> {
  if (wrkVersion() === null) return fail("wrk is not installed; on Debian: apt-get install wrk");
  if (!present.some(({ name }) => name === REFERENCE)) say(`without ${REFERENCE} there are no ratios`);
  if (Bun.which("nginx") === null) return fail("nginx is not installed, and it is the origin server of all cases");
  for (const note of results.leftOut) say(note);
  certificate = makeCertificate(directory);
  const started = await startOrigins(children, directory, pinning.origin);
  origins = started.children;
  for (const each of options.cases) {
    const originPort = originPortOf(each, started);
    const taking = present.filter(
      ({ tuned, protocols }) => (each.tuned || !tuned) && protocols.includes(each.protocol),
    );
    if (each.kind === "idle") await idleCase(each, taking, originPort);
    else await loadCase(each, taking, originPort);
  }
}

/** Load before the first window of a proxy in a case. Just-in-time compilers need it; no more than three windows' worth. */
function warmUpSeconds({ compiles }: Contender): number {
  return Math.min(compiles ? 12 : 2, 3 * options.seconds);
}

interface Running {
  readonly proxy: Contender;
  readonly child: Child;
  readonly port: number;
}

async function loadCase(each: Case, taking: readonly Contender[], originPort: number): Promise<void> {
  const running: Running[] = [];
  for (const proxy of taking) {
    const started = await startProxy(proxy, each, originPort);
    if (started !== null) running.push(started);
  }
  for (let round = 0; round < options.rounds; round++) {
    for (let turn = 0; turn < running.length; turn++) {
      // Each round begins with another one, so that none always follows the same neighbour.
      const next = running[(round + turn) % running.length]!;
      await attempt(`${each.name}, ${next.proxy.name}`, async () => {
        const sample = await measureQuietly(each, next, round);
        results.samples.push(sample);
        say(
          `${each.name} ${round + 1}/${options.rounds} ${next.proxy.name.padEnd(11)} ${perRequest(sample).toFixed(1)} µs/${each.unit}, ` +
            `${Math.round(sample.requests / sample.seconds)}/s, p99 ${sample.p99.toFixed(2)} ms`,
        );
      });
    }
  }
  await Promise.all(running.map(({ child }) => children.stop(child)));
}

/** The least disturbed of a few windows: the first one, on a quiet machine. */
async function measureQuietly(each: Case, running: Running, round: number): Promise<Sample> {
  let best = await measure(each, running, round);
  for (let tried = 1; tried < TRIES && best.strangers > DISTURBED; tried++) {
    const again = await measure(each, running, round);
    if (again.strangers < best.strangers) best = again;
  }
  return best;
}

async function measure(each: Case, { proxy, child, port }: Running, round: number): Promise<Sample> {
  const load = (seconds: number) => generate(generators, each, port, seconds);
  await load(round === 0 ? warmUpSeconds(proxy) : 1);
  await Bun.sleep(REST_MS);
  const before = counters(child);
  const loaded = await load(options.seconds);
  const after = counters(child);
  if (!child.running()) throw new Error(`ended under load:\n${lastLines(child)}`);
  const proxyMicroseconds = after.proxy - before.proxy;
  const ours = proxyMicroseconds + after.others - before.others + loaded.cpuMicroseconds;
  return {
    case: each.name,
    proxy: proxy.name,
    round,
    ...loaded,
    proxyMicroseconds,
    coreMicroseconds: pinning.proxy === undefined ? null : after.core - before.core,
    strangers: Math.max(0, after.programs - before.programs - ours) / (loaded.seconds * 1e6),
    memory: memoryOf(child.pid),
  };
}

/** Readings at one moment, all in microseconds since some beginning of their own. */
function counters(child: Child) {
  const core = usage(pinning.proxy);
  return {
    proxy: cpuOf(child.pid),
    others: origins.reduce((sum, { pid }) => sum + cpuOf(pid), process.cpuUsage().user + process.cpuUsage().system),
    core: core.programs + core.interrupts,
    programs: usage().programs,
  };
}

async function idleCase(each: Case, taking: readonly Contender[], originPort: number): Promise<void> {
  const script = writeScript(directory, each);
  for (const proxy of taking) {
    const running = await startProxy(proxy, each, originPort);
    if (running === null) continue;
    const { child, port } = running;
    await attempt(`${each.name}, ${proxy.name}`, async () => {
      // Warm, or the code compiled meanwhile would be taken for the cost of connections.
      const url = `http://127.0.0.1:${port}${each.path}`;
      await runWrk(children, script, url, { ...each, connections: 64 }, warmUpSeconds(proxy), pinning.load);
      await Bun.sleep(REST_MS);
      const target = { name: proxy.name, pid: child.pid, port };
      const idle = await measureIdle(children, directory, target, each.connections, pinning.load);
      results.idle.push({ case: each.name, proxy: proxy.name, connections: each.connections, ...idle });
      say(
        `${each.name} ${proxy.name.padEnd(11)} ${idle.open} open, ${Math.round((idle.after.rss - idle.before.rss) / 2 ** 20)} MiB more`,
      );
    });
    await children.stop(child);
  }
}

/** null, and a failure noted, if it does not start or does not answer as the case wants. */
async function startProxy(proxy: Contender, each: Case, originPort: number): Promise<Running | null> {
  const home = join(directory, `${each.name}-${proxy.name}`);
  mkdirSync(home);
  const [port, adminPort] = freePorts(2) as [number, number];
  const prefixes = each.routed ? Array.from({ length: ROUTES }, (_, index) => routePrefix(index)) : [];
  let child: Child | null = null;
  try {
    const { protocol, accessLog } = each;
    const setup = { protocol, certificate, directory: home, port, adminPort, originPort, prefixes, accessLog };
    const start = proxy.prepare(setup);
    child = children.start({ name: proxy.name, cpu: pinning.proxy, log: join(home, "log"), ...start });
    await answered(child, port, samplePath(each), isTls(protocol));
    await checkAnswer(each, port);
    if (isTls(protocol)) checkHandshake(port);
    return { proxy, child, port };
  } catch (error) {
    const said = child === null || !child.running() ? "" : `\n${lastLines(child)}`;
    fail(`${each.name}, ${proxy.name}: ${messageOf(error)}${said}`);
    if (child !== null) await children.stop(child);
    return null;
  }
}

function samplePath({ routed, path }: Case): string {
  return routed ? `${routePrefix(ROUTES - 1)}/items/1` : path;
}

/** @throws unless the origin server's answer comes through, and the forwarded fields reach it */
async function checkAnswer(each: Case, port: number): Promise<void> {
  const base = baseOf(each, port);
  const tls = { rejectUnauthorized: false };
  const content = each.upload > 0 ? { body: Buffer.alloc(each.upload, "u") } : {};
  const response = await fetch(base + samplePath(each), { method: each.method, tls, ...content });
  const octets = (await response.arrayBuffer()).byteLength;
  if (response.status !== 200 || octets !== each.download) {
    throw new Error(`answered ${response.status} with ${octets} octets, not 200 with ${each.download}`);
  }
  if (each.routed || each.upload > 0 || each.group === "tunnels") return;
  const seen = await (await fetch(base + FIELDS_PATH, { tls })).text();
  const wanted = `127.0.0.1:${port}|127.0.0.1|${isTls(each.protocol) ? "https" : "http"}|127.0.0.1:${port}`;
  if (seen !== wanted) throw new Error(`the origin server saw Host and forwarded fields ${seen}, not ${wanted}`);
}

/** @throws unless it agrees with OpenSSL on what all are to agree on */
function checkHandshake(port: number): void {
  const command = ["openssl", "s_client", "-connect", `127.0.0.1:${port}`, "-servername", "localhost", "-brief"];
  const env = { ...process.env, OPENSSL_CONF: opensslConfig(directory) };
  const said = Bun.spawnSync(command, { stdin: Buffer.alloc(0), timeout: 10_000, env }).stderr.toString();
  const agreed = ["Protocol version", "Ciphersuite", "Server Temp Key"]
    .map((what) => new RegExp(`^${what}: (\\w[\\w.]*)`, "m").exec(said)?.[1])
    .join(" ");
  const wanted = `TLSv1.3 ${CIPHER} ${GROUP}`;
  if (agreed !== wanted) throw new Error(`a handshake agrees on ${agreed}, not on ${wanted}:\n${said}`);
}

/** Replaces the last section of the README, or adds it; formatted, since the formatter has a say in tables. */
function putIntoReadme(tables: string): void {
  const file = join(import.meta.dir, "README.md");
  const heading = "\n## Results\n";
  const [before] = readFileSync(file, "utf8").split(heading);
  writeFileSync(file, `${before!.trimEnd()}\n${heading}\n${tables}`);
  Bun.spawnSync([join(import.meta.dir, "../node_modules/.bin/biome"), "format", "--write", file]);
}

async function attempt(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    fail(`${what}: ${messageOf(error)}`);
  }
}

function fail(message: string): void {
  results.failures.push(message);
  say(`FAILED: ${message}`);
}

function say(message: string): void {
  console.error(message);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: "string" },
        proxies: { type: "string" },
        seconds: { type: "string", default: "4" },
        rounds: { type: "string", default: "4" },
        markdown: { type: "boolean", default: false },
        readme: { type: "boolean", default: false },
        json: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
    return {
      cases: chosenCases(values.only),
      proxies: chosen(proxies, values.proxies, "proxy"),
      seconds: count(values.seconds, "seconds", 600),
      rounds: count(values.rounds, "rounds", 100),
      markdown: values.markdown,
      readme: values.readme,
      json: values.json ?? join(import.meta.dir, "results", `${stamp}.json`),
    };
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

function chosen<Named extends { readonly name: string }>(
  all: readonly Named[],
  names: string | undefined,
  what: string,
): Named[] {
  if (names === undefined) return [...all];
  const wanted = names.split(",");
  for (const name of wanted) {
    if (!all.some((each) => each.name === name)) {
      throw new Error(`there is no ${what} "${name}" (${all.map((each) => each.name).join(", ")})`);
    }
  }
  return all.filter(({ name }) => wanted.includes(name));
}

function count(text: string, name: string, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new Error(`--${name} is a whole number from 1 to ${most}, not "${text}"`);
}

/**
 * Throws random and mutated octets at a running gateway and looks whether it minds. A problem is:
 * - a worker that dies, a line of level error in the log, a 500, a proper request that is not served meanwhile;
 * - what comes back and is no sequence of whole, strictly framed responses (or no HTTP/2 frames, where the
 *   octets thrown began with its preface);
 * - a connection that the client leaves alone and the gateway does not close, though each timeout is a second or two;
 * - at rest afterwards, with all connections gone: a socket, a descriptor or an exchange more than after the
 *   warm-up, or memory that has grown by more than the limits below.
 *
 * The exit code is 1 if there was any.
 *
 * @example bun test/fuzz/run.ts --mb 200 --seed 7
 */
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { Gateway } from "../support/gateway.ts";
import { type Memory, MemoryProbe } from "../support/memory-probe.ts";
import type { Inbox } from "../support/message-reader.ts";
import { Origin } from "../support/origin.ts";
import { exchange, get, RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";
import { fuzzConnection, Random } from "./octets.ts";
import { readResponses } from "./responses.ts";

const MB = 1_000_000;
/** Most of them wait for a timeout of the gateway. */
const LANES = 256;
/** Far more than all timeouts below together: what is open then stays open. */
const HANG_MS = 30_000;
/** Of live objects. Code that runs for the first time costs some; 50 octets for each connection of 200 MB would be as much. */
const HEAP_GROWTH = 2 * MB;
/** Of resident memory: allocators keep what was freed for later, in pieces that do not fit all that is asked of them. */
const RESIDENT_GROWTH = 32 * MB;

export interface FuzzResult {
  readonly octets: number;
  readonly connections: number;
  /** Those that the client did not leave, by how they ended. */
  readonly ends: Readonly<Record<"end" | "reset", number>>;
  /** Statuses that came back, by how often. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
  /** What the worker held after the warm-up and at the end, both read at rest. */
  readonly before: Memory;
  readonly after: Memory;
}

export async function fuzz(
  megabytes: number,
  seed: number,
  tell: (line: string) => void = () => {},
): Promise<FuzzResult> {
  using origin = await Origin.start();
  origin.script = async (request) => {
    // Some read the content, some do not, some end early.
    if (request.target.length % 3 === 0) await request.content();
    await request.reply({ content: "hello" });
  };
  using probe = new MemoryProbe();
  await using gateway = await Gateway.start(
    {
      upstreams: { app: { endpoints: [origin.address], pool: { idleTimeout: "1s" } } },
      sites: [{ to: "app" }],
      timeouts: {
        head: "1s",
        contentIdle: "1s",
        keepAlive: "1s",
        tunnelIdle: "1s",
        firstOctet: "2s",
        continue: "200ms",
      },
    },
    { env: probe.environment },
  );
  const [worker] = gateway.workers;
  const problems: string[] = [];
  const tally: Tally = { statuses: {}, ends: { end: 0, reset: 0 } };
  const randoms = Array.from({ length: LANES }, (_, lane) => new Random(seed * 1000 + lane));
  let sent = 0;
  let connections = 0;
  const note = (problem: string) => {
    if (problems.length < 20) problems.push(problem);
  };

  const lane = async (random: Random, target: number): Promise<void> => {
    while (sent < target && problems.length === 0) {
      const octets = fuzzConnection(random);
      sent += octets.length;
      connections++;
      await throwAt(gateway.port, octets, random, tally).catch((why: Error) =>
        note(`${why.message}\nsent: ${JSON.stringify(octets.subarray(0, 2000).toString("latin1"))}`),
      );
      // The origin keeps what it received, for other tests.
      if (origin.requests.length > 1000) origin.requests.length = 0;
      if (origin.connections.length > 1000) origin.connections.splice(0, 500);
    }
  };
  const bystander = async (target: number): Promise<void> => {
    while (sent < target && problems.length === 0) {
      const response = await exchange(gateway.port, get("/bystander")).catch((why: Error) =>
        note(`a proper request failed: ${why.message}`),
      );
      if (response?.status !== 200) note(`a proper request got ${response?.status}`);
      await Bun.sleep(100);
    }
  };
  const throwUpTo = async (target: number): Promise<void> => {
    await Promise.all([...randoms.map((random) => lane(random, target)), bystander(target)]);
  };

  /** Waits until nothing is left of what was thrown. */
  const rest = async (sockets: number): Promise<void> => {
    const all = async () => {
      const gauges = await openOf(gateway);
      if (gateway.sockets() > sockets) gauges.push(`${gateway.sockets()} sockets instead of ${sockets}`);
      return gauges;
    };
    let left: string[] = [];
    await until(
      async () => (left = await all()).length === 0,
      () => left.join(", "),
      HANG_MS,
    ).catch((why: Error) => note(`left behind: ${why.message}`));
  };

  const watch = setInterval(() => {
    if (gateway.workers[0] !== worker) note(`the worker died:\n${gateway.stderr.slice(-2000)}`);
    tell(
      `${(sent / MB).toFixed(0)} MB in ${connections} connections, ${(gateway.residentOctets() / MB).toFixed(0)} MB resident, ${gateway.sockets()} sockets`,
    );
  }, 2000);
  const sockets = gateway.sockets();
  await throwUpTo(Math.min(megabytes / 4, 20) * MB);
  await rest(sockets);
  const before = await probe.read(worker!);
  const descriptors = descriptorsOf(worker!);
  await throwUpTo(megabytes * MB);
  await rest(sockets);
  clearInterval(watch);
  if (gateway.workers[0] !== worker) note(`the worker died:\n${gateway.stderr.slice(-2000)}`);
  if (/\berror\b/.test(gateway.stderr)) note(`the log has errors:\n${gateway.stderr.slice(-2000)}`);
  if (problems.length > 0) return { octets: sent, connections, ...tally, problems, before, after: before };
  const more = descriptorsOf(worker!) - descriptors;
  if (more > 0) note(`${more} descriptors more than after the warm-up`);
  const after = await probe.read(worker!);
  const grown = growth({ before, after });
  if (grown.heap > HEAP_GROWTH) note(`live objects grew by ${mb(grown.heap)}, more than ${mb(HEAP_GROWTH)}`);
  if (grown.resident > RESIDENT_GROWTH)
    note(`resident memory grew by ${mb(grown.resident)}, more than ${mb(RESIDENT_GROWTH)}`);
  return { octets: sent, connections, ...tally, problems, before, after };
}

function growth({ before, after }: Pick<FuzzResult, "before" | "after">) {
  return {
    heap: after.heapOctets - before.heapOctets,
    resident: after.residentOctets - before.residentOctets,
    objects: after.objects - before.objects,
  };
}

const mb = (octets: number): string => `${(octets / MB).toFixed(2)} MB`;

interface Tally {
  readonly statuses: Record<string, number>;
  readonly ends: Record<"end" | "reset", number>;
}

/** Sends octets in a few pieces and reads what comes until the gateway closes the connection, or goes away itself. */
async function throwAt(port: number, octets: Buffer, random: Random, tally: Tally): Promise<void> {
  using client = await RawClient.connect(port);
  const cut = random.below(octets.length + 1);
  void client.send(octets.subarray(0, cut));
  if (random.below(4) === 0) await Bun.sleep(random.below(4));
  void client.send(octets.subarray(cut));
  switch (random.below(4)) {
    case 0: // goes away
      if (random.below(2) === 0) client.reset();
      return;
    case 1:
      client.halfClose();
      break;
  }
  const end = await client.closed(HANG_MS).catch(() => {
    throw new Error(
      `the connection hangs: still open after ${HANG_MS} ms, with ${client.inbox.pending.length} octets in answer`,
    );
  });
  tally.ends[end]++;
  for (const status of statusesIn(client.inbox, octets)) {
    tally.statuses[status] = (tally.statuses[status] ?? 0) + 1;
    if (status === 500) throw new Error("500 Internal Server Error");
  }
}

/** Who begins with the preface of HTTP/2 is answered in it: by SETTINGS, on stream 0. */
function statusesIn(inbox: Inbox, sent: Buffer): number[] {
  const isHttp2 = sent.includes("PRI * HTTP/2.0") && /^\0..\x04\0\0{4}/s.test(inbox.pending.toString("latin1"));
  return isHttp2 ? [] : readResponses(inbox.pending, inbox.ended === "end");
}

/** Gauges of what is open or in flight that are not zero. */
async function openOf(gateway: Gateway): Promise<string[]> {
  return [...(await gateway.metrics())]
    .filter(([name, value]) => /^lintel_\w+_(?:active|in_flight)\b/.test(name) && value !== 0)
    .map(([name, value]) => `${name} ${value}`);
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      mb: { type: "string", default: "200" },
      seed: { type: "string", default: String(Date.now() % 100_000) },
    },
  });
  console.log(`seed ${values.seed}`);
  const result = await fuzz(Number(values.mb), Number(values.seed), (line) => console.log(line));
  const { octets, connections, ends, statuses, problems } = result;
  const { heap, resident, objects } = growth(result);
  console.log(
    `${mb(octets)} in ${connections} connections, ends: ${JSON.stringify(ends)}, answers: ${JSON.stringify(statuses)}`,
  );
  console.log(`after the warm-up: ${JSON.stringify(result.before)}\nat the end: ${JSON.stringify(result.after)}`);
  console.log(`live objects grew by ${mb(heap)} (${objects} objects), resident memory by ${mb(resident)}`);
  for (const problem of problems) console.error(problem);
  process.exit(problems.length === 0 ? 0 : 1);
}

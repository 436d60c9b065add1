/**
 * Throws random and mutated octets at a running gateway and looks whether it minds: no worker may
 * die, no connection hang, no descriptor or memory leak, every response must be well formed, and
 * ordinary requests in between must be served.
 *
 * @example bun test/fuzz/run.ts --mb 200 --seed 7
 */
import { parseArgs } from "node:util";
import { Gateway } from "../support/gateway.ts";
import { Origin } from "../support/origin.ts";
import { exchange, get, RawClient } from "../support/raw.ts";
import { fuzzConnection, Random } from "./octets.ts";

const MB = 1_000_000;
const LANES = 32;

export interface FuzzResult {
  readonly octets: number;
  readonly connections: number;
  /** Statuses that came back, by how often. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
  /** Growth of the workers' resident memory after the first tenth, in octets. */
  readonly growth: number;
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
  await using gateway = await Gateway.start({
    upstreams: { app: origin.address },
    sites: [{ to: "app" }],
    timeouts: { head: "1s", contentIdle: "1s", keepAlive: "1s", tunnelIdle: "1s", firstOctet: "2s", continue: "200ms" },
  });
  const [worker] = gateway.workers;
  const problems: string[] = [];
  const statuses: Record<string, number> = {};
  const target = megabytes * MB;
  let sent = 0;
  let connections = 0;
  let baseline = 0;
  const note = (problem: string) => {
    if (problems.length < 20) problems.push(problem);
  };

  const lane = async (number: number): Promise<void> => {
    const random = new Random(seed * 1000 + number);
    while (sent < target && problems.length === 0) {
      const octets = fuzzConnection(random);
      sent += octets.length;
      connections++;
      await throwAt(gateway.port, octets, random, statuses).catch((why: Error) =>
        note(`${why.message}\nsent: ${JSON.stringify(octets.subarray(0, 2000).toString("latin1"))}`),
      );
      if (baseline === 0 && sent > target / 10) baseline = gateway.residentOctets();
      // The origin keeps what it received, for other tests.
      if (origin.requests.length > 1000) origin.requests.length = 0;
      if (origin.connections.length > 1000) origin.connections.splice(0, 500);
    }
  };
  const watch = setInterval(() => {
    if (gateway.workers[0] !== worker) note(`the worker died:\n${gateway.stderr.slice(-2000)}`);
    tell(
      `${(sent / MB).toFixed(0)} MB in ${connections} connections, ${(gateway.residentOctets() / MB).toFixed(0)} MB resident, ${gateway.sockets()} sockets`,
    );
  }, 2000);
  const bystander = (async () => {
    while (sent < target && problems.length === 0) {
      const response = await exchange(gateway.port, get("/bystander")).catch((why: Error) =>
        note(`a proper request failed: ${why.message}`),
      );
      if (response?.status !== 200) note(`a proper request got ${response?.status}`);
      await Bun.sleep(100);
    }
  })();
  await Promise.all([...Array.from({ length: LANES }, (_, number) => lane(number)), bystander]);
  clearInterval(watch);
  if (gateway.workers[0] !== worker) note(`the worker died:\n${gateway.stderr.slice(-2000)}`);
  if (/\berror\b/.test(gateway.stderr)) note(`the log has errors:\n${gateway.stderr.slice(-2000)}`);
  // Listener, log, pool: a handful. What is left of the connections goes by the timeouts above.
  await gateway.socketsAtMost(40, 8000).catch((why: Error) => note(why.message.split("\n")[0]!));
  const growth = baseline === 0 ? 0 : gateway.residentOctets() - baseline;
  return { octets: sent, connections, statuses, problems, growth };
}

/** Sends octets in a few pieces and reads what comes until the connection is done with. */
async function throwAt(port: number, octets: Buffer, random: Random, statuses: Record<string, number>): Promise<void> {
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
  // Responses follow each other without a gap, whatever the requests were. Their framing depends on
  // the methods, which only the gateway knows: status lines are what is checked here.
  await client.closed(80).catch(() => "open");
  const text = client.inbox.pending.toString("latin1");
  // Who begins with the preface of HTTP/2 is answered in it: by SETTINGS, on stream 0.
  const isHttp2 = octets.includes("PRI * HTTP/2.0") && /^\0..\x04\0\0{4}/s.test(text);
  if (text !== "" && !isHttp2 && !text.startsWith("HTTP/1.1 "))
    throw new Error(`no response: ${JSON.stringify(text.slice(0, 200))}`);
  for (const [, status] of text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)) statuses[status!] = (statuses[status!] ?? 0) + 1;
  if (statuses["500"] !== undefined)
    throw new Error(`500 Internal Server Error: ${JSON.stringify(text.slice(0, 300))}`);
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
  console.log(
    `${(result.octets / MB).toFixed(0)} MB in ${result.connections} connections; memory grew by ${(result.growth / MB).toFixed(1)} MB; answers: ${JSON.stringify(result.statuses)}`,
  );
  for (const problem of result.problems) console.error(problem);
  process.exit(result.problems.length === 0 ? 0 : 1);
}

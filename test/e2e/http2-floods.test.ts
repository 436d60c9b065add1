/**
 * Floods of HTTP/2 against the whole program. For each: how much of it is worked on before the connection ends, by
 * how much the worker's memory grows at most while ten connections do it one after the other, and that others are
 * served meanwhile. The processor time it took is printed, with what the flood cost the one who made it.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import {
  Code,
  continuation,
  data,
  type FieldLine,
  Flag,
  frame,
  headers,
  headersBlock,
  ping,
  priority,
  rstStream,
  Setting,
  settings,
  settingsAck,
  Type,
  windowUpdate,
} from "../conformance/http2/wire.ts";
import { Gateway, residentOctets, SMALL_HEAP } from "../support/gateway.ts";
import { RawHttp2, requestTo } from "../support/http2-raw.ts";
import { exchange, get } from "../support/raw.ts";
import { until } from "../support/until.ts";

const MIB = 1024 * 1024;
const CONNECTIONS = 10;
/** What each would send if nobody ended it. */
const MOST_SENT_OCTETS = 64 * MIB;
/** What it may have sent by then: most of it lies in the kernel's buffers, on both sides, and is never read. */
const MOST_TAKEN_OCTETS = 24 * MIB;
const MOST_GROWTH_OCTETS = 32 * MIB;
/** Of one request, with `:path` and all. */
const BATCH_OCTETS = 64 * 1024;

const origin = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/large") return new Response("x".repeat(200_000));
    if (pathname !== "/held") return new Response("from origin");
    return new Promise<Response>((resolve) => request.signal.addEventListener("abort", () => resolve(new Response())));
  },
});
/** Clients' budgets are not refilled, so that what they may do can be counted. */
const LIMITS = { resetsPerSecond: 0, framesPerSecond: 0 };
const start = (limits: object, more: object = {}) =>
  Gateway.start(
    { sites: [{ to: `127.0.0.1:${origin.port}` }], limits: { http2: { ...LIMITS, ...limits } }, ...more },
    { env: SMALL_HEAP },
  );
let gateway: Gateway;
let bystander: RawHttp2;
let asked = 1;
const figures: string[] = [];
beforeAll(async () => {
  gateway = await start({});
  bystander = await RawHttp2.connect(gateway.port);
  // Code that is compiled meanwhile is not what a flood costs.
  for (let n = 0; n < 300; n++) await bystanderIsServed();
});
afterAll(async () => {
  console.log(figures.join("\n"));
  bystander[Symbol.dispose]();
  await gateway.stop();
  origin.stop(true);
});

async function bystanderIsServed(): Promise<void> {
  const id = asked;
  asked += 2;
  await bystander.get(id, "/bystander");
  await bystander.until(() => bystander.ended(id), "the answer of a client that does no harm");
  expect([bystander.status(id), bystander.content(id)]).toEqual([200, "from origin"]);
}

/** User and system time of a process in ms. */
function processorMs(pid: number): number {
  // The second field is a name in parentheses, which may hold spaces; these are the fourteenth and the fifteenth.
  const [user, system] = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) * 10;
}

/** The most memory that a process had since `forgetPeak`, in octets. */
const peakOctets = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) * 1024;
const forgetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, "5");

const repeated = (octets: Uint8Array): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(BATCH_OCTETS / octets.length) }, () => octets));

/** Fresh streams, each time: what `make` says of each. */
function streams(make: (id: number) => Uint8Array): () => Buffer {
  let id = 11;
  return () => {
    const frames: Uint8Array[] = [];
    for (let octets = 0; octets < BATCH_OCTETS; id += 2) {
      const one = make(id);
      frames.push(one);
      octets += one.length;
    }
    return Buffer.concat(frames);
  };
}

interface Flood {
  /** Before it: streams that it needs. */
  readonly begin?: (client: RawHttp2) => Promise<void>;
  /** The settings that it begins with. */
  readonly settings?: readonly (readonly [number, number])[];
  /** What comes again and again, made anew for each connection. */
  readonly batches: () => () => Buffer;
  /** Pieces of work that can be counted on the attacker's side, and how many there may be. */
  readonly work?: readonly [count: (client: RawHttp2) => number, most: number];
}

const again = (octets: Uint8Array) => () => {
  const batch = repeated(octets);
  return () => batch;
};
const openPost = (client: RawHttp2) => client.send(headers(1, requestTo("/held", "POST"), Flag.endHeaders));
const answers = (type: number) => (client: RawHttp2) => client.of(type).length;

const bomb = (): Buffer => {
  const text = "x".repeat(900);
  const entry = Buffer.concat([
    Buffer.of(0x40, 6),
    Buffer.from("x-bomb"),
    Buffer.of(0x7f, 0x85, 0x06),
    Buffer.from(text),
  ]);
  return Buffer.concat([entry, Buffer.alloc(15_000, 0x80 | 62)]);
};

const FLOODS: Readonly<Record<string, Flood>> = {
  "rapid reset (CVE-2023-44487)": {
    batches: () => streams((id) => Buffer.concat([headers(id, requestTo("/held")), rstStream(id)])),
  },
  "resets that we are made to send (CVE-2025-8671)": {
    batches: () => streams((id) => Buffer.concat([headers(id, requestTo("/held")), windowUpdate(id, 0)])),
    work: [answers(Type.rstStream), 201],
  },
  "field names of no octets (CVE-2019-9516)": {
    batches: () => streams((id) => headers(id, [...requestTo("/"), ["", "x"] as FieldLine])),
    work: [answers(Type.rstStream), 201],
  },
  "PING (CVE-2019-9512)": { batches: again(ping()), work: [answers(Type.ping), 1000] },
  "SETTINGS (CVE-2019-9515)": {
    begin: openPost,
    batches: again(settings([Setting.initialWindowSize, 0], [Setting.initialWindowSize, 65_535])),
    work: [answers(Type.settings), 102],
  },
  "PRIORITY (CVE-2019-9513)": { batches: again(priority(1)) },
  "empty DATA (CVE-2019-9518)": { begin: openPost, batches: again(data(1, "")) },
  "frames of unknown types": { batches: again(frame(0x77, 0, 0)) },
  "windows of one octet (CVE-2019-9511)": {
    settings: [[Setting.initialWindowSize, 0]],
    begin: async (client) => {
      await client.get(1, "/large");
      await client.until(() => client.status(1) === 200, "the head of what there is to send");
    },
    batches: again(windowUpdate(1, 1)),
    work: [answers(Type.data), 1010],
  },
  "CONTINUATION without end (CVE-2024-27316)": {
    begin: (client) => client.send(headersBlock(1, Buffer.alloc(1000), 0)),
    batches: again(continuation(1, Buffer.alloc(16_384), 0)),
  },
  "empty CONTINUATION": {
    begin: (client) => client.send(headersBlock(1, "", 0)),
    batches: again(continuation(1, "", 0)),
  },
  "header-table bombs": {
    begin: (client) => client.send(headersBlock(1, bomb())),
    batches: () => streams((id) => headersBlock(id, Buffer.alloc(16_000, 0x80 | 62))),
    // Each is refused with 431, and counts as a stream that came to nothing.
    work: [answers(Type.headers), 202],
  },
};

/** One connection that does it until it is ended. @returns octets sent until then */
async function attack({ begin, batches, settings: pairs = [], work }: Flood): Promise<number> {
  using client = await RawHttp2.connect(gateway.port, ...pairs);
  await begin?.(client);
  const next = batches();
  while (client.goAways.length === 0 && !client.isClosed && client.sentOctets < MOST_SENT_OCTETS) {
    await client.send(next());
    // For what comes: the turn of those who read.
    await Bun.sleep(0);
  }
  await client.until(() => client.goAways.length > 0, "GOAWAY");
  expect(client.goAways.at(-1)?.[1]).toBe(Code.calm);
  if (work !== undefined) {
    expect(work[0](client)).toBeGreaterThan(0);
    expect(work[0](client)).toBeLessThanOrEqual(work[1]);
  }
  return client.sentOctets;
}

const requests = async (): Promise<number> =>
  [...(await gateway.metrics())].reduce(
    (sum, [name, n]) => sum + (name.startsWith("lintel_requests_total{") ? n : 0),
    0,
  );

describe("a flood is ended with ENHANCE_YOUR_CALM, and costs little until then", () => {
  test.each(Object.keys(FLOODS))(
    "%s",
    async (name) => {
      const [pid] = gateway.workers;
      const [begunBefore, processorBefore, residentBefore] = [
        await requests(),
        processorMs(pid!),
        residentOctets(pid!),
      ];
      forgetPeak(pid!);
      let octets = 0;
      for (let n = 0; n < CONNECTIONS; n++) {
        octets += await attack(FLOODS[name]!);
        await bystanderIsServed();
      }
      const growth = peakOctets(pid!) - residentBefore;
      const processor = (processorMs(pid!) - processorBefore) / CONNECTIONS;
      figures.push(
        `${name}: per connection ${Math.ceil(octets / CONNECTIONS / 1024)} KiB sent, ${processor.toFixed(1)} ms of the worker; ` +
          `memory +${(growth / MIB).toFixed(1)} MiB`,
      );
      expect(octets / CONNECTIONS).toBeLessThan(MOST_TAKEN_OCTETS);
      expect(growth).toBeLessThan(MOST_GROWTH_OCTETS);
      // No more exchanges than limits.http2.resets allows, and the one that is too many.
      const bystanders = CONNECTIONS;
      expect((await requests()) - begunBefore - bystanders).toBeLessThanOrEqual(CONNECTIONS * 202);
      expect((await exchange(gateway.port, get("/"))).status).toBe(200);
      await until(() => gateway.workers[0] === pid, "the worker is the one that it was");
    },
    60_000,
  );
});

describe("limits.http2 of the config", () => {
  test.each([300, 50])(
    "frames: %i",
    async (frames) => {
      await using limited = await start({ frames });
      using client = await RawHttp2.connect(limited.port);
      await client.send(repeated(ping()));
      await client.until(() => client.goAways.length > 0, "GOAWAY");
      // Its SETTINGS were one of the frames, which counts for ten.
      expect([client.goAways.at(-1)![1], client.of(Type.ping).length]).toEqual([Code.calm, frames - 10]);
    },
    60_000,
  );

  test.each([30, 7])(
    "resets: %i",
    async (resets) => {
      await using limited = await start({ resets });
      using client = await RawHttp2.connect(limited.port);
      for (let n = 0; n <= resets; n++) {
        expect(client.goAways).toEqual([]);
        const id = 2 * n + 1;
        await client.send(headers(id, requestTo("/held")), rstStream(id), ping());
        // Each is done with before the next one, so that the last one that may be is known.
        if (n < resets) await client.until(() => client.of(Type.ping).length === n + 1, `the answer to PING ${n}`);
      }
      await client.until(() => client.goAways.length > 0, "GOAWAY");
      expect([client.goAways.at(-1), client.of(Type.ping).length]).toEqual([[2 * resets + 1, Code.calm], resets]);
    },
    60_000,
  );

  test("framesPerSecond and resetsPerSecond give back with time", async () => {
    await using limited = await start({
      frames: 50,
      framesPerSecond: 1_000_000,
      resets: 5,
      resetsPerSecond: 1_000_000,
    });
    using client = await RawHttp2.connect(limited.port);
    for (let n = 0; n < 100; n++) {
      const id = 2 * n + 1;
      await client.send(headers(id, requestTo("/held")), rstStream(id), ping());
      await client.until(() => client.of(Type.ping).length === n + 1, `the answer to PING ${n}`);
    }
    expect([client.goAways, client.isClosed]).toEqual([[], false]);
  }, 60_000);

  test("streams: one more is refused", async () => {
    await using limited = await start({ streams: 2 });
    using client = await RawHttp2.connect(limited.port);
    await client.send(...[1, 3, 5].map((id) => headers(id, requestTo("/held"))));
    await client.until(() => client.resetCode(5) !== null, "RST_STREAM");
    expect([client.resetCode(5), client.resetCode(1), client.goAways]).toEqual([Code.refused, null, []]);
  }, 60_000);

  test("ten times the frames for an origin server: what waits for it fails, and the next request connects anew", async () => {
    const connections: RawHttp2[] = [];
    const server = net.createServer((socket) => {
      const end = new RawHttp2(socket, true);
      connections.push(end);
      void end.send(settings(), settingsAck());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    await using limited = await start(
      { frames: 30 },
      {
        upstreams: {
          app: { protocol: "http2", endpoints: [`127.0.0.1:${port}`], health: { passive: "off" }, retry: 0 },
        },
        sites: [{ to: "app" }],
      },
    );
    const failed = exchange(limited.port, get("/flooded"));
    await until(() => connections[0]?.of(Type.headers).length === 1, "the request at the origin server");
    const [flooding] = connections;
    await flooding!.send(repeated(ping()));
    const response = await failed;
    expect([response.status, response.field("proxy-status")]).toEqual([
      502,
      expect.stringContaining("upstream-malformed"),
    ]);
    await flooding!.until(() => flooding!.isClosed, "the end of that connection");
    // 300, less ten for its SETTINGS; the stream that was opened makes up for eight of these.
    expect([flooding!.goAways.at(-1)?.[1], flooding!.of(Type.ping).length]).toEqual([Code.calm, 300 - 10]);
    const next = exchange(limited.port, get("/next"));
    await until(() => connections[1]?.of(Type.headers).length === 1, "the next request, on a connection of its own");
    await connections[1]!.send(headers(1, [[":status", "204"]]));
    expect((await next).status).toBe(204);
    server.close();
    for (const connection of connections) connection[Symbol.dispose]();
  }, 60_000);
});

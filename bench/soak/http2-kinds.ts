/** The kinds of exchange over HTTP/2, each once over TLS and once without. */
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { contentOf, pathOf } from "./content.ts";
import { HOST, type Over } from "./http2-sessions.ts";
import type { Bench, Kind } from "./kinds.ts";
import { broken, Check, type Judged, someLength, status, type Verdict, whole, wrong } from "./verdict.ts";

const LARGE = 1_048_576;
const CANCEL = 8;
/** Less than the client lets one exchange take. */
const PATIENCE_MS = 15_000;

interface Received extends Judged {
  readonly trailers: IncomingHttpHeaders | null;
  /** Interim responses before it. */
  readonly interim: readonly number[];
}

interface Asking {
  readonly method?: string;
  readonly fields?: Readonly<Record<string, string>>;
  /** Content of a 200, or of `status`. */
  readonly expected: Buffer;
  readonly status?: number;
  readonly content?: Buffer;
  /** Waited after each read, milliseconds. */
  readonly paceMs?: number;
}

function begin(session: ClientHttp2Session, path: string, asking: Partial<Asking> = {}): ClientHttp2Stream {
  const { method = "GET", fields = {}, content } = asking;
  const stream = session.request(
    { ":method": method, ":path": path, ":authority": HOST, ...fields },
    { endStream: content === undefined && method !== "POST" },
  );
  stream.on("error", () => {});
  return stream;
}

/** @throws {Error} if the stream ends before a response head */
async function ask(session: ClientHttp2Session, path: string, asking: Asking): Promise<Received> {
  const { expected, status: wanted = 200, content, paceMs = 0 } = asking;
  const stream = begin(session, path, asking);
  const interim: number[] = [];
  let fields: IncomingHttpHeaders | null = null;
  let trailers: IncomingHttpHeaders | null = null;
  let ended = false;
  let why = "";
  stream.on("headers", (head) => interim.push(Number(head[":status"])));
  stream.on("continue", () => interim.push(100));
  stream.on("trailers", (section) => {
    trailers = section;
  });
  stream.on("error", (error) => {
    why = error.message;
  });
  stream.on("response", (head) => {
    fields = head;
  });
  // Node.js may tell of content before it tells of the head it came with.
  const check = new Check(expected);
  const over = new Promise<void>((resolve) => {
    stream.on("close", resolve);
    stream.on("end", () => {
      ended = true;
      // Now and then Node.js leaves a stream open whose content the response made needless.
      if (content !== undefined) setTimeout(resolve, 1000);
    });
  });
  stream.on("data", (octets: Buffer) => {
    check.add(octets);
    if (paceMs === 0) return;
    stream.pause();
    setTimeout(() => stream.resume(), paceMs);
  });
  if (content !== undefined) stream.end(content);
  const late = setTimeout(() => {
    why = `not over after ${PATIENCE_MS} ms: head ${fields?.[":status"]}, ${check.length} octets, ended ${ended}, reset ${stream.rstCode}, state ${JSON.stringify(stream.state)}`;
    stream.destroy();
  }, PATIENCE_MS);
  await over;
  clearTimeout(late);
  if (!stream.destroyed) stream.destroy();
  if (why.startsWith("not over")) throw new Error(why);
  if (fields === null) throw new Error(`no response: ${why || `the stream was closed with ${stream.rstCode}`}`);
  const got = Number((fields as IncomingHttpHeaders)[":status"]);
  const complete = ended && !stream.aborted && stream.rstCode === 0;
  const matches = got !== wanted || check.matches;
  return { status: got, trailers, interim, length: check.length, matches, complete };
}

/** GET on a shared connection. */
function shared(
  name: string,
  weight: number,
  path: string,
  lengthOf: (seed: number) => number,
  judge: (received: Received, length: number) => Verdict = whole,
  more: Partial<Asking> = {},
): (over: Over) => Kind {
  return (over) => ({
    name: `HTTP/2 ${over}: ${name}`,
    weight: weight / 2,
    async run({ seed, shareHttp2 }) {
      const length = lengthOf(seed);
      const expected = contentOf(seed, length);
      return judge(await ask(shareHttp2(over), pathOf(path, seed, length), { expected, ...more }), length);
    },
  });
}

function other(name: string, weight: number, run: (bench: Bench, over: Over) => Promise<Verdict>) {
  return (over: Over): Kind => ({
    name: `HTTP/2 ${over}: ${name}`,
    weight: weight / 2,
    run: (bench) => run(bench, over),
  });
}

async function echo(bench: Bench, over: Over, length: number, fields: Asking["fields"] = {}): Promise<Verdict> {
  const { seed, shareHttp2 } = bench;
  const content = contentOf(seed, length);
  const asking = { method: "POST", fields, content, expected: content };
  return whole(await ask(shareHttp2(over), pathOf("echo", seed, length), asking), length);
}

const NOTHING = Buffer.alloc(0);

const makers: readonly ((over: Over) => Kind)[] = [
  shared("small", 30, "length", () => 300),
  shared("length", 10, "length", someLength),
  shared("chunked", 8, "chunked", someLength),
  shared(
    "trailers",
    4,
    "chunked",
    someLength,
    (received, length) => {
      const verdict = whole(received, length);
      if (verdict !== "good") return verdict;
      return received.trailers?.["x-length"] === String(length) ? "good" : wrong("no trailers, or others");
    },
    { fields: { te: "trailers" } },
  ),
  shared("large", 3, "length", () => LARGE),
  shared("large chunked", 1, "chunked", () => LARGE),
  shared("drip", 1, "drip", someLength),
  shared("interim response", 2, "hints", someLength, (received, length) =>
    received.interim.includes(103) ? whole(received, length) : wrong("no 103 (Early Hints)"),
  ),
  shared("failing over", 3, "failover/length", someLength),
  shared("close-delimited", 3, "close", someLength),
  shared(
    "HEAD",
    2,
    "length",
    () => 5000,
    (received) => whole(received, 0),
    { method: "HEAD", expected: NOTHING },
  ),
  shared(
    "204 No Content",
    1,
    "none",
    () => 204,
    (received) => whole(received, 0, 204),
  ),
  shared(
    "304 Not Modified",
    1,
    "none",
    () => 304,
    (received) => whole(received, 0, 304),
  ),

  shared("reset", 1, "reset", () => 60_000, broken),
  shared("reset chunked", 1, "reset-chunked", () => 60_000, broken),
  shared("cut", 1, "cut", () => 60_000, broken),
  shared("cut chunked", 1, "cut-chunked", () => 60_000, broken),
  shared("stall in content", 0.5, "stall-content", () => 60_000, broken),
  shared("reset before the head", 1, "reset-head", () => 100, status(502)),
  shared("not a response", 1, "garbage", () => 100, status(502)),
  shared("dead origin", 1, "dead", () => 100, status(502)),
  shared("stall", 0.5, "stall", () => 100, status(504)),

  other("upload", 8, (bench, over) => echo(bench, over, someLength(bench.seed))),
  other("upload with a length", 4, (bench, over) => {
    const length = someLength(bench.seed);
    return echo(bench, over, length, { "content-length": String(length) });
  }),
  other("large upload", 1, (bench, over) => echo(bench, over, LARGE)),
  other("early response", 1, async ({ seed, shareHttp2 }, over) => {
    const asking = { method: "POST", content: contentOf(seed, 300_000), expected: contentOf(seed, 1000), status: 413 };
    return whole(await ask(shareHttp2(over), pathOf("early", seed, 1000), asking), 1000, 413);
  }),
  other("new connection", 4, async ({ seed, openHttp2 }, over) =>
    whole(await ask(openHttp2(over), pathOf("length", seed, 300), { expected: contentOf(seed, 300) }), 300),
  ),
  other("twenty at once", 1, async ({ seed, openHttp2 }, over) => {
    const session = openHttp2(over);
    const verdicts = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const [each, length] = [seed + index, someLength(seed + index)];
        const path = pathOf(index % 2 === 0 ? "length" : "chunked", each, length);
        return whole(await ask(session, path, { expected: contentOf(each, length) }), length);
      }),
    );
    return verdicts.find((verdict) => verdict !== "good") ?? "good";
  }),
  other("slow reader among others", 0.5, async ({ seed, openHttp2 }, over) => {
    const session = openHttp2(over);
    const slow = ask(session, pathOf("length", seed, LARGE), { expected: contentOf(seed, LARGE), paceMs: 20 });
    for (let i = 1; i <= 10; i++) {
      const length = someLength(seed + i);
      const received = await ask(session, pathOf("length", seed + i, length), {
        expected: contentOf(seed + i, length),
      });
      const verdict = whole(received, length);
      if (typeof verdict === "object") return wrong(`beside a slow reader: ${verdict.wrong}`);
    }
    return whole(await slow, LARGE);
  }),
  other("cancelled download", 1.5, async ({ seed, shareHttp2 }, over) => {
    const stream = begin(shareHttp2(over), pathOf(seed % 2 === 0 ? "length" : "chunked", seed, LARGE));
    stream.resume();
    await sleep(seed % 10);
    stream.close(CANCEL);
    return "expected";
  }),
  other("cancelled upload", 1.5, async ({ seed, shareHttp2 }, over) => {
    const stream = begin(shareHttp2(over), pathOf("echo", seed, LARGE), { method: "POST" });
    stream.resume();
    stream.write(contentOf(seed, 100_000));
    await sleep(seed % 10);
    stream.close(CANCEL);
    return "expected";
  }),
  other("connection lost in the middle", 1, async ({ seed, openHttp2 }, over) => {
    const session = openHttp2(over);
    for (let i = 0; i < 5; i++) begin(session, pathOf("length", seed + i, LARGE)).resume();
    begin(session, pathOf("echo", seed, LARGE), { method: "POST" }).write(contentOf(seed, 50_000));
    await sleep(seed % 30);
    session.destroy();
    return "expected";
  }),
];

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

function frame(type: number, flags: number, stream: number, payload = NOTHING): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** What ends a connection (RFC 9113 §5.4.1), by why. */
const faults: Readonly<Record<string, Buffer>> = {
  "content on stream 0": frame(0, 0, 0, Buffer.from("abc")),
  "a request on an even stream": frame(1, 5, 2, Buffer.from([0x82])),
  "no index of HPACK": frame(1, 5, 1, Buffer.from([0xff, 0xff, 0xff, 0x7f])),
  "settings of five octets": frame(4, 0, 0, Buffer.alloc(5)),
  "a frame larger than agreed": frame(0, 0, 1, Buffer.alloc(16_385)),
  "a window of more than 2^31-1": frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
  "a continuation of nothing": frame(9, 4, 1, Buffer.from([0x82])),
  "push from a client": frame(5, 4, 1, Buffer.alloc(4)),
};

const malformed: Kind = {
  name: "HTTP/2 plain: malformed",
  weight: 2,
  async run({ open, seed }) {
    const names = Object.keys(faults);
    const name = names[seed % names.length]!;
    const wire = open();
    await wire.send(Buffer.concat([PREFACE, frame(4, 0, 0), faults[name]!]));
    const octets = await wire.untilEnd();
    return goesAway(octets) ? "expected" : wrong(`${name}: ended without GOAWAY, after ${octets.length} octets`);
  },
};

/** The last frame is GOAWAY with a code of an error. */
function goesAway(octets: Buffer): boolean {
  for (let at = 0; at + 9 <= octets.length; ) {
    const length = octets.readUIntBE(at, 3);
    const isLast = at + 9 + length === octets.length;
    if (isLast) return octets[at + 3] === 7 && octets.readUInt32BE(at + 13) !== 0;
    at += 9 + length;
  }
  return false;
}

export const http2Kinds: readonly Kind[] = [
  ...(["TLS", "plain"] as const).flatMap((over) => makers.map((make) => make(over))),
  malformed,
];

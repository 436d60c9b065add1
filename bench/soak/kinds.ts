/**
 * The kinds of exchange in the soak. Each makes one (or a few) on a connection and judges what came
 * back: "good", "expected" for a failure that had to be, or a sentence that says what was wrong.
 */
import type { ClientHttp2Session } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { contentOf, pathOf } from "./content.ts";
import { http2Kinds } from "./http2-kinds.ts";
import type { Over } from "./http2-sessions.ts";
import { malformed } from "./malformed.ts";
import { broken, someLength, status, type Verdict, whole, wrong } from "./verdict.ts";
import { Closed, type Reading, type Received, type Wire } from "./wire.ts";

/** What a kind works with. Connections it opens are closed for it in the end. */
export interface Bench {
  readonly port: number;
  /** Octets to begin with: another number at every call. */
  readonly seed: number;
  open(): Wire;
  /** A kept connection, perhaps used before. */
  borrow(): Wire;
  giveBack(wire: Wire): void;
  openHttp2(over: Over): ClientHttp2Session;
  /** One that others use at the same time. It is not closed. */
  shareHttp2(over: Over): ClientHttp2Session;
}

export interface Kind {
  readonly name: string;
  /** How often, against the others. */
  readonly weight: number;
  run(bench: Bench): Promise<Verdict>;
}

const SMALL = 300;
const LARGE = 1_048_576;

function request(path: string, { method = "GET", fields = "", version = "1.1" } = {}): string {
  return `${method} ${path} HTTP/${version}\r\nHost: soak.example\r\n${fields}\r\n`;
}

/** GET on a kept connection. */
function kept(name: string, weight: number, path: string, lengthOf: (seed: number) => number): Kind {
  return {
    name,
    weight,
    async run(bench) {
      const length = lengthOf(bench.seed);
      const wire = bench.borrow();
      await wire.send(request(pathOf(path, bench.seed, length)));
      const received = await wire.response({ expected: contentOf(bench.seed, length) });
      if (!received.closes) bench.giveBack(wire);
      return whole(received, length);
    },
  };
}

/** GET on a connection of its own, `fields` and `version` as given. */
function single(
  name: string,
  weight: number,
  path: string,
  length: number,
  judge: (received: Received, length: number) => Verdict,
  more: Partial<Reading> = {},
): Kind {
  return {
    name,
    weight,
    async run({ open, seed }) {
      const wire = open();
      await wire.send(request(pathOf(path, seed, length), { method: more.method ?? "GET" }));
      return judge(await wire.response({ expected: contentOf(seed, length), ...more }), length);
    },
  };
}

/** POST whose content comes back; `chunked` or with its length. */
async function echo(wire: Wire, seed: number, length: number, chunked: boolean, fields = ""): Promise<Verdict> {
  const content = contentOf(seed, length);
  const framing = chunked ? "Transfer-Encoding: chunked\r\n" : `Content-Length: ${length}\r\n`;
  const sent = (async () => {
    await wire.send(request(pathOf("echo", seed, length), { method: "POST", fields: framing + fields }));
    if (!chunked) return wire.send(content);
    for (let at = 0, size = 1; at < length; at += size, size = Math.min((size * 5) % 30_011, length - at)) {
      await wire.send(`${size.toString(16)};piece=${at}\r\n`);
      await wire.send(content.subarray(at, at + size));
      await wire.send("\r\n");
    }
    return wire.send("0\r\n\r\n");
  })();
  const received = await wire.response({ method: "POST", expected: content });
  const verdict = whole(received, length);
  if (verdict === "good") await sent;
  return verdict;
}

export const kinds: readonly Kind[] = [
  kept("small", 30, "length", () => SMALL),
  kept("length", 12, "length", someLength),
  kept("chunked", 10, "chunked", someLength),
  kept("large", 3, "length", () => LARGE),
  kept("large chunked", 1, "chunked", () => LARGE),
  kept("drip", 1, "drip", someLength),
  kept("interim response", 2, "hints", someLength),
  kept("failing over", 4, "failover/length", someLength),
  kept("close-delimited", 4, "close", someLength),

  single("large close-delimited", 1, "close", LARGE, whole),
  single("new connection", 8, "length", SMALL, whole),
  single("slow reader", 1, "length", LARGE, whole, { paceMs: 40 }),
  single("HEAD", 2, "length", 5000, (received) => whole(received, 0), { method: "HEAD", expected: Buffer.alloc(0) }),
  single("204 No Content", 1, "none", 204, (received) => whole(received, 0, 204)),
  single("304 Not Modified", 1, "none", 304, (received) => whole(received, 0, 304)),

  single("reset", 2, "reset", 60_000, broken),
  single("reset chunked", 2, "reset-chunked", 60_000, broken),
  single("cut", 2, "cut", 60_000, broken),
  single("cut chunked", 2, "cut-chunked", 60_000, broken),
  single("stall in content", 1, "stall-content", 60_000, broken),
  single("reset before the head", 2, "reset-head", 100, status(502)),
  single("not a response", 2, "garbage", 100, status(502)),
  single("dead origin", 2, "dead", 100, status(502)),
  single("stall", 1, "stall", 100, status(504)),

  {
    name: "Connection: close",
    weight: 6,
    async run({ open, seed }) {
      const wire = open();
      await wire.send(request(pathOf("length", seed, SMALL), { fields: "Connection: close\r\n" }));
      const received = await wire.response({ expected: contentOf(seed, SMALL) });
      const verdict = whole(received, SMALL);
      if (verdict !== "good") return verdict;
      if (!received.closes) return wrong("no Connection: close in answer to one");
      return (await wire.endsHere()) ? "good" : wrong("octets after the last response");
    },
  },
  {
    name: "HTTP/1.0",
    weight: 3,
    async run({ open, seed }) {
      const wire = open();
      const length = someLength(seed);
      await wire.send(request(pathOf("chunked", seed, length), { version: "1.0" }));
      const received = await wire.response({ expected: contentOf(seed, length) });
      if (received.fields.has("transfer-encoding")) return wrong("a transfer coding for HTTP/1.0");
      return whole(received, length);
    },
  },
  {
    name: "half-closed client",
    weight: 2,
    async run({ open, seed }) {
      const wire = open();
      const length = someLength(seed);
      await wire.send(request(pathOf("length", seed, length)));
      wire.halfClose();
      return whole(await wire.response({ expected: contentOf(seed, length) }), length);
    },
  },
  {
    name: "pipelined",
    weight: 4,
    async run({ open, seed }) {
      const wire = open();
      const seeds = Array.from({ length: 8 }, (_, index) => seed + index);
      const pathKind = (each: number) => (each % 2 === 0 ? "length" : "chunked");
      await wire.send(seeds.map((each) => request(pathOf(pathKind(each), each, someLength(each)))).join(""));
      for (const [index, each] of seeds.entries()) {
        const length = someLength(each);
        const verdict = whole(await wire.response({ expected: contentOf(each, length) }), length);
        if (typeof verdict === "object") return wrong(`response ${index + 1} of 8: ${verdict.wrong}`);
      }
      return "good";
    },
  },
  {
    name: "request in pieces",
    weight: 2,
    async run({ open, seed }) {
      const wire = open();
      const text = request(pathOf("length", seed, SMALL), { fields: "Accept: */*\r\nX-Piece: by piece\r\n" });
      const piece = 1 + (seed % 40);
      const begun = performance.now();
      for (let at = 0; at < text.length; at += piece) {
        await wire.send(text.slice(at, at + piece));
        await sleep(2);
      }
      // On a machine that had no time for us the head took as long as it may, or nearly.
      const isLate = performance.now() - begun > 4000;
      const received = await wire.response({ expected: contentOf(seed, SMALL) });
      return isLate && received.status === 408 ? "expected" : whole(received, SMALL);
    },
  },
  {
    name: "upload",
    weight: 8,
    async run({ open, seed }) {
      return echo(open(), seed, someLength(seed), false);
    },
  },
  {
    name: "upload chunked",
    weight: 5,
    async run({ open, seed }) {
      return echo(open(), seed, someLength(seed), true);
    },
  },
  {
    name: "large upload",
    weight: 1,
    async run({ open, seed }) {
      return echo(open(), seed, LARGE, seed % 2 === 0);
    },
  },
  {
    name: "Expect: 100-continue",
    weight: 2,
    async run({ open, seed }) {
      const wire = open();
      const content = contentOf(seed, SMALL);
      const fields = `Content-Length: ${SMALL}\r\nExpect: 100-continue\r\n`;
      await wire.send(request(pathOf("echo", seed, SMALL), { method: "POST", fields }));
      const asked = await wire.arrives(2000);
      await wire.send(content);
      const received = await wire.response({ method: "POST", expected: content });
      if (!asked || !received.interim.includes(100)) return wrong("no 100 (Continue) within 2 s");
      return whole(received, SMALL);
    },
  },
  {
    name: "early response",
    weight: 2,
    async run({ open, seed }) {
      const wire = open();
      const upload = 300_000;
      await wire.send(
        request(pathOf("early", seed, 1000), { method: "POST", fields: `Content-Length: ${upload}\r\n` }),
      );
      void wire.send(contentOf(seed, upload));
      const received = await wire.response({ method: "POST", expected: contentOf(seed, 1000), status: 413 });
      return whole(received, 1000, 413);
    },
  },
  {
    name: "stalled reader",
    weight: 0.3,
    async run({ open, seed }) {
      const wire = open();
      await wire.send(request(pathOf("length", seed, LARGE)));
      await sleep(3000);
      return whole(await wire.response({ expected: contentOf(seed, LARGE) }), LARGE);
    },
  },
  {
    name: "aborted download",
    weight: 3,
    async run({ open, seed }) {
      const wire = open();
      await wire.send(request(pathOf(seed % 2 === 0 ? "length" : "chunked", seed, LARGE)));
      await sleep(seed % 10);
      if (seed % 3 === 0) wire.close();
      else wire.reset();
      return "expected";
    },
  },
  {
    name: "aborted upload",
    weight: 3,
    async run({ open, seed }) {
      const wire = open();
      await wire.send(request(pathOf("echo", seed, LARGE), { method: "POST", fields: `Content-Length: ${LARGE}\r\n` }));
      await wire.send(contentOf(seed, 100_000));
      await sleep(seed % 10);
      if (seed % 3 === 0) wire.close();
      else wire.reset();
      return "expected";
    },
  },
  {
    name: "aborted while waiting",
    weight: 1,
    async run({ open, seed }) {
      const wire = open();
      await wire.send(request(pathOf("stall", seed, 100)));
      await sleep(50);
      wire.reset();
      return "expected";
    },
  },
  {
    name: "unfinished head",
    weight: 0.3,
    async run({ open }) {
      const wire = open();
      await wire.send("GET /length/1/1 HTTP/1.1\r\nHost: soak.example\r\nX-Half");
      const verdict = await refused(wire);
      return typeof verdict === "number" && verdict !== 408 ? wrong(`status ${verdict}, not 408`) : "expected";
    },
  },
  {
    name: "malformed",
    weight: 6,
    async run({ open, seed }) {
      const names = Object.keys(malformed);
      const name = names[seed % names.length]!;
      const wire = open();
      await wire.send(malformed[name]!);
      const verdict = await refused(wire);
      if (verdict === null || (verdict >= 400 && verdict < 600)) return "expected";
      return wrong(`${name}: answered ${verdict}`);
    },
  },
  { name: "WebSocket", weight: 3, run: webSocket },
  ...http2Kinds,
];

/** The status of an answer after which the connection ends; null if it ended without one. */
async function refused(wire: Wire): Promise<number | null> {
  try {
    const { status: got } = await wire.response({ expected: Buffer.alloc(0) });
    await wire.endsHere();
    return got;
  } catch (error) {
    if (error instanceof Closed) return null;
    throw error;
  }
}

function webSocket({ port, seed }: Bench): Promise<Verdict> {
  const messages = [3, 100, 70_000, 1000].map((length, index) => contentOf(seed + index, length));
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/${seed}/0`, { perMessageDeflate: false });
    // Past the deadline of an exchange nobody waits for it.
    const timer = setTimeout(() => socket.terminate(), 15_000);
    let at = 0;
    socket.on("open", () => socket.send(messages[0]!));
    socket.on("message", (data: Buffer) => {
      if (!data.equals(messages[at]!)) {
        resolve(wrong(`message ${at + 1} came back changed`));
        socket.terminate();
        return;
      }
      at++;
      if (at < messages.length) socket.send(messages[at]!);
      else if (seed % 4 === 0) {
        resolve("expected");
        socket.terminate();
      } else socket.close(1000, "done");
    });
    socket.on("close", (code) => {
      clearTimeout(timer);
      resolve(code === 1000 && at === messages.length ? "good" : wrong(`closed with ${code} after ${at} messages`));
    });
    socket.on("error", (error) => resolve(wrong(error.message)));
  });
}

/**
 * What one HTTP/2 request costs in the server engine alone: frames, HPACK, streams and the writing of
 * a fixed response of 100 octets or more, over connections that are not there. Requests come as a client that
 * keeps 32 streams open on each of 8 connections sends them: a batch of heads per read.
 *
 *   bun bench/http2.ts [--rounds 15] [--fields browser] [--handler fixed|later] [--octets 65536]
 */
import { timerList } from "../src/base/timer.ts";
import { MemoryBody } from "../src/http/body.ts";
import type { ClientInfo, Exchange } from "../src/http/exchange.ts";
import { fieldId } from "../src/http/field-name.ts";
import { FieldSection } from "../src/http/field-section.ts";
import { HttpResponse } from "../src/http/message.ts";
import { PendingResponse } from "../src/http/pending-response.ts";
import type { Connection, ConnectionHandler } from "../src/net/connection.ts";
import type { ExchangeHooks } from "../src/protocol/exchange-hooks.ts";
import { DEFAULT_FLOOD_LIMITS } from "../src/protocol/http2/floods.ts";
import { CLIENT_PREFACE, Setting } from "../src/protocol/http2/frame.ts";
import { FrameOutput, flushFrames } from "../src/protocol/http2/frame-output.ts";
import { HpackEncoder } from "../src/protocol/http2/hpack/encoder.ts";
import { Http2ServerConnection } from "../src/protocol/http2/server.ts";
import type { Http2ServerSettings } from "../src/protocol/http2/server-settings.ts";

const CONNECTIONS = 8;
const STREAMS = 32;
const nobody: ConnectionHandler = { onOctets() {}, onRoom() {}, onPeerEnd() {}, onLost() {}, onFault() {} };

/** Writes as a real one does up to the system call. */
class NoConnection implements Connection {
  handler: ConnectionHandler = nobody;
  readonly full = false;
  readonly open = true;
  readonly unsent = 0;
  octetsIn = 0;
  octetsOut = 0;
  readonly #out = Buffer.allocUnsafeSlow(256 * 1024);

  write(octets: Uint8Array): void {
    if (octets.length <= 8192) this.#out.set(octets, 0);
    this.octetsOut += octets.length;
  }
  writeText(): void {}
  writeUnseen(): void {}
  flush(): void {}
  isQuiet(): boolean {
    return true;
  }
  pause(): void {}
  resume(): void {}
  endWriting(): void {}
  close(): void {}
  destroy(): void {}
}

const argument = (name: string, fallback: string) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : process.argv[at + 1]!;
};

const settings: Http2ServerSettings = {
  scheme: "http",
  head: { requestLineOctets: 8192, fieldLineOctets: 8192, fieldSectionOctets: 32_768, fieldCount: 100 },
  trailerOctets: 8192,
  maxStreams: 128,
  streamWindowOctets: 256 * 1024,
  connectionWindowOctets: 1024 * 1024,
  floods: DEFAULT_FLOOD_LIMITS,
  headTime: timerList(30_000),
  keepAliveTime: timerList(75_000),
  contentIdleTime: timerList(30_000),
  sendTime: timerList(60_000),
  continueTime: timerList(1000),
  tunnelIdleTime: timerList(3_600_000),
  settingsTime: timerList(10_000),
  maxAgeTimes: [],
  contentRate: 0,
};

const info: ClientInfo = {
  listener: "http",
  peer: "127.0.0.1",
  peerPort: 1,
  localAddress: "",
  localPort: 80,
  tls: null,
};

const content = new MemoryBody(Buffer.alloc(Number(argument("--octets", "100")), "x"));
const fieldsOfAnswer = FieldSection.of({ server: "nginx/1.22.1", "content-type": "text/plain" }).seal();
const answer = (): HttpResponse => new HttpResponse(200, fieldsOfAnswer.clone(), content);
const isLater = argument("--handler", "fixed") === "later";
const waiting: Later[] = [];

/** Answered after the read that brought it, as an origin server's response is. */
class Later extends PendingResponse {
  answer(): void {
    this.resolve(answer());
  }
}

let finished = 0;
const hooks: ExchangeHooks = {
  handle() {
    if (!isLater) return answer();
    const later = new Later();
    waiting.push(later);
    return later;
  },
  draining: false,
  finish(_exchange: Exchange) {
    finished++;
  },
  malformed(_client, failure) {
    throw failure;
  },
  closed() {},
  fault(thrown) {
    throw thrown;
  },
};

const FEW: [string, string][] = [["user-agent", "h2load nghttp2/1.52.0"]];
const BROWSER: [string, string][] = [
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"],
  ["accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
  ["accept-language", "en-US,en;q=0.5"],
  ["accept-encoding", "gzip, deflate, br, zstd"],
  ["referer", "http://127.0.0.1/catalogue/chairs?page=2"],
  ["cookie", "session=0123456789abcdef0123456789abcdef; theme=dark; consent=1"],
  ["upgrade-insecure-requests", "1"],
  ["sec-fetch-dest", "document"],
  ["sec-fetch-mode", "navigate"],
  ["sec-fetch-site", "same-origin"],
  ["priority", "u=0, i"],
];
const fields = argument("--fields", "few") === "browser" ? BROWSER : FEW;

/** One client: its server, and the octets of its next batch of requests. */
class Client {
  readonly connection = new NoConnection();
  readonly server = new Http2ServerConnection(this.connection, info, settings, hooks);
  readonly #encoder = new HpackEncoder();
  readonly #out = new FrameOutput();
  readonly #batch: Buffer;
  readonly #ids: number[] = [];
  #nextId = 1;
  /** Octets that windows were updated for. */
  #granted = 0;

  constructor() {
    this.#out.use(this.connection);
    this.#out.text(CLIENT_PREFACE);
    this.#out.settings([Setting.initialWindowSize, 2 ** 30]);
    this.#out.windowUpdate(0, 2 ** 30);
    this.#feed(this.#take());
    // Once, so that the table is as it stays.
    this.#head();
    this.#feed(this.#take());
    this.#batch = this.#batchOf(STREAMS);
  }

  #take(): Buffer {
    const octets = Buffer.from(this.#out.buffer.subarray(0, this.#out.length));
    this.#out.length = 0;
    return octets;
  }

  #feed(octets: Buffer): void {
    this.server.onOctets(octets, octets.length);
  }

  #head(): void {
    const at = this.#out.beginHeaders(this.#nextId);
    this.#encoder.begin(this.#out);
    this.#encoder.pseudo(":method", "GET");
    this.#encoder.pseudo(":scheme", "http");
    this.#encoder.pseudo(":authority", "127.0.0.1:8080");
    this.#encoder.pseudo(":path", "/some/path");
    for (const [name, value] of fields) this.#encoder.onLine(fieldId(name), name, value);
    this.#out.endHeaders(at, this.#nextId, true, 16_384);
    this.#nextId += 2;
  }

  #batchOf(streams: number): Buffer {
    for (let i = 0; i < streams; i++) {
      this.#ids.push(this.#out.length + 5);
      this.#head();
    }
    return this.#take();
  }

  /** A batch of requests, the same but for the numbers of their streams. */
  ask(): void {
    const { octetsOut } = this.connection;
    if (octetsOut - this.#granted > 2 ** 28) {
      this.#out.windowUpdate(0, octetsOut - this.#granted);
      this.#feed(this.#take());
      this.#granted = octetsOut;
    }
    for (const at of this.#ids) {
      this.#batch.writeUInt32BE(this.#nextId, at);
      this.#nextId += 2;
    }
    this.#feed(this.#batch);
  }
}

const clients = Array.from({ length: CONNECTIONS }, () => new Client());

function requests(count: number): void {
  for (let i = 0; i < count; i += CONNECTIONS * STREAMS) {
    for (const client of clients) {
      client.ask();
      for (const later of waiting) later.answer();
      waiting.length = 0;
    }
    flushFrames();
  }
}

const ROUND = CONNECTIONS * STREAMS * 400;
requests(ROUND * 3);
const rounds = Number(argument("--rounds", "15"));
const figures: number[] = [];
for (let round = 0; round < rounds; round++) {
  const start = Bun.nanoseconds();
  requests(ROUND);
  figures.push((Bun.nanoseconds() - start) / ROUND);
}
figures.sort((a, b) => a - b);
console.log(
  `${figures[0]!.toFixed(0)} ns per request at best, ${figures[rounds >> 1]!.toFixed(0)} in the median of ${rounds} rounds; ${(clients[0]!.connection.octetsOut / (finished / CONNECTIONS)).toFixed(0)} octets per response`,
);
process.exit(0);

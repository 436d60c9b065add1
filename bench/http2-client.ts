/**
 * What one HTTP/2 request costs in the client engine alone: its head, the stream, and the reading of
 * a response of 100 octets, over connections that are not there. 32 streams at once on each of 8
 * connections; their responses come in one read each.
 *
 *   bun bench/http2-client.ts [--rounds 15] [--fields browser] [--octets 100]
 */
import type { Failure } from "../src/base/failure.ts";
import { timerList } from "../src/base/timer.ts";
import { type BodySink, NO_BODY } from "../src/http/body.ts";
import { fieldId } from "../src/http/field-name.ts";
import { FieldSection } from "../src/http/field-section.ts";
import { HttpRequest, type HttpResponse } from "../src/http/message.ts";
import type { Connection, ConnectionHandler } from "../src/net/connection.ts";
import type { ResponseTaker } from "../src/protocol/client-connection.ts";
import { Http2ClientConnection, type Http2ClientOwner } from "../src/protocol/http2/client.ts";
import type { Http2ClientSettings } from "../src/protocol/http2/client-settings.ts";
import { DEFAULT_FLOOD_LIMITS, originLimits } from "../src/protocol/http2/floods.ts";
import { FrameOutput, flushFrames } from "../src/protocol/http2/frame-output.ts";
import { HpackEncoder } from "../src/protocol/http2/hpack/encoder.ts";

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
  destroy(): void {
    throw new Error("the client gave up");
  }
}

const argument = (name: string, fallback: string) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? fallback : process.argv[at + 1]!;
};

const settings: Http2ClientSettings = {
  head: { requestLineOctets: 8192, fieldLineOctets: 8192, fieldSectionOctets: 32_768, fieldCount: 100 },
  maxStreams: 100,
  streamWindowOctets: 256 * 1024,
  connectionWindowOctets: 1024 * 1024,
  floods: originLimits(DEFAULT_FLOOD_LIMITS),
  pingTime: timerList(30_000),
  pingAnswerTime: timerList(10_000),
};

const owner: Http2ClientOwner = {
  ready() {},
  hasRoom() {},
  leaving() {},
  gone() {},
  fault(thrown) {
    throw thrown;
  },
};

let completed = 0;

/** What an attempt and a server engine do with a response, without them. */
class Taker implements ResponseTaker, BodySink {
  onInterim(): void {}
  onResponse(response: HttpResponse): void {
    response.body.sendTo(this);
  }
  onFailed(failure: Failure): void {
    throw failure;
  }
  onComplete(): void {
    completed++;
  }
  begin(): void {}
  write(): void {}
  end(): void {}
  abort(why: Failure): void {
    throw why;
  }
}

const FEW: Record<string, string> = { "user-agent": "h2load nghttp2/1.52.0" };
const BROWSER: Record<string, string> = {
  "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  "accept-language": "en-US,en;q=0.5",
  "accept-encoding": "gzip, deflate, br, zstd",
  referer: "http://127.0.0.1/catalogue/chairs?page=2",
  cookie: "session=0123456789abcdef0123456789abcdef; theme=dark; consent=1",
  "upgrade-insecure-requests": "1",
  "sec-fetch-dest": "document",
  "sec-fetch-mode": "navigate",
  "sec-fetch-site": "same-origin",
  priority: "u=0, i",
};
const fields = FieldSection.of(argument("--fields", "few") === "browser" ? BROWSER : FEW);
const gatewayFields = FieldSection.of({
  "x-forwarded-for": "127.0.0.1",
  "x-forwarded-proto": "http",
  "x-forwarded-host": "127.0.0.1:8080",
  via: "1.1 lintel",
}).seal();
const content = Buffer.alloc(Number(argument("--octets", "100")), "x");
const firstOctetTime = timerList(60_000);
const idleTime = timerList(30_000);
const taker = new Taker();

/** One connection, and the octets of its server's next batch of responses. */
class Server {
  readonly connection = new NoConnection();
  readonly client = new Http2ClientConnection(this.connection, settings, owner);
  readonly #encoder = new HpackEncoder();
  readonly #out = new FrameOutput();
  readonly #batch: Buffer;
  /** Where the numbers of streams stand in the batch. */
  readonly #ids: number[] = [];
  #nextId = 1;

  constructor() {
    this.#out.use(this.connection);
    this.#out.settings([]);
    this.#out.windowUpdate(0, 2 ** 30);
    this.#feed(this.#take());
    // Once, so that the table is as it stays.
    this.#ask();
    this.#answer();
    this.#ids.length = 0;
    this.#feed(this.#take());
    const pieces: Buffer[] = [];
    for (let n = 0; n < STREAMS; n++) {
      this.#answer(pieces.reduce((octets, piece) => octets + piece.length, 0));
      pieces.push(this.#take());
    }
    this.#nextId -= STREAMS * 2;
    this.#batch = Buffer.concat(pieces);
  }

  #take(): Buffer {
    const octets = Buffer.from(this.#out.buffer.subarray(0, this.#out.length));
    this.#out.length = 0;
    return octets;
  }

  #feed(octets: Buffer): void {
    this.client.onOctets(octets, octets.length);
  }

  #ask(): void {
    const request = new HttpRequest("GET", "http", "127.0.0.1:8080", "/some/path", fields, NO_BODY);
    request.gatewayFields = gatewayFields;
    this.client.send(request, "127.0.0.1:8080", firstOctetTime, idleTime, taker);
  }

  /** @param before octets of the batch so far */
  #answer(before = 0): void {
    const at = this.#out.beginHeaders(this.#nextId);
    this.#encoder.begin(this.#out);
    this.#encoder.status(200);
    for (const [name, value] of [
      ["server", "nginx/1.22.1"],
      ["date", "Sat, 21 Nov 2026 16:00:00 GMT"],
      ["content-type", "text/plain"],
      ["content-length", String(content.length)],
    ] as const)
      this.#encoder.onLine(fieldId(name), name, value);
    this.#ids.push(before + this.#out.endHeaders(at, this.#nextId, false, 16_384) + 5);
    for (let from = 0; from < content.length; from += 16_384) {
      const length = Math.min(16_384, content.length - from);
      this.#ids.push(
        before + this.#out.data(this.#nextId, content, from, length, from + length === content.length) + 5,
      );
    }
    this.#nextId += 2;
  }

  /** A batch of requests, and then of their responses, the same but for the numbers of their streams. */
  exchange(): void {
    for (let n = 0; n < STREAMS; n++) this.#ask();
    const perStream = this.#ids.length / STREAMS;
    for (let n = 0; n < this.#ids.length; n++)
      this.#batch.writeUInt32BE(this.#nextId + 2 * Math.floor(n / perStream), this.#ids[n]!);
    this.#nextId += STREAMS * 2;
    this.#feed(this.#batch);
  }
}

const servers = Array.from({ length: CONNECTIONS }, () => new Server());

function requests(count: number): void {
  for (let n = 0; n < count; n += CONNECTIONS * STREAMS) {
    for (const server of servers) server.exchange();
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
if (completed < ROUND * (rounds + 3)) throw new Error("not every request was answered");
const octets = servers[0]!.connection.octetsOut / servers[0]!.client.requests;
console.log(
  `${figures[0]!.toFixed(0)} ns per request at best, ${figures[rounds >> 1]!.toFixed(0)} in the median of ${rounds} rounds; ${octets.toFixed(0)} octets per request`,
);
process.exit(0);

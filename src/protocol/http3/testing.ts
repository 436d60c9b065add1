/** For the tests of this room: a session and streams worked by hand, in place of the runtime's. */
import { readdirSync, readlinkSync } from "node:fs";
import type { Failure } from "../../base/failure.ts";
import { timerList } from "../../base/timer.ts";
import type { Handler } from "../../http/define.ts";
import type { ClientInfo, Exchange } from "../../http/exchange.ts";
import { HttpResponse } from "../../http/message.ts";
import type { QuicFields, QuicStreamTaker, RequestStream, Session } from "../../net/quic-runtime.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { HEAD_LIMITS } from "../http1/testing.ts";
import { DEFAULT_FLOOD_LIMITS } from "../http2/floods.ts";
import { HoldBudget } from "./held-octets.ts";
import { Http3ServerConnection } from "./server.ts";
import type { Http3ServerSettings } from "./server-settings.ts";

export const CLIENT: ClientInfo = {
  listener: "web",
  peer: "192.0.2.1",
  peerPort: 50_000,
  localAddress: "192.0.2.2",
  localPort: 443,
  tls: null,
};

/** Files that hold content in this process. */
export const filesHeld = (): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return /lintel-.*deleted/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;

export const settings = (): Http3ServerSettings => ({
  head: HEAD_LIMITS,
  trailerOctets: 8192,
  floods: DEFAULT_FLOOD_LIMITS,
  held: new HoldBudget(16 * 1024 * 1024),
  listenerFields: null,
  headTime: timerList(30_000),
  keepAliveTime: timerList(75_000),
  contentIdleTime: timerList(31_000),
  sendTime: timerList(60_000),
  continueTime: timerList(1000),
  tunnelIdleTime: timerList(3_600_000),
  contentRate: 0,
});

/** The end that the client has of a stream. */
export class FakeStream implements RequestStream {
  taker!: QuicStreamTaker;
  isEarly = false;
  /** Octets that the stream takes until it is full. */
  room = 65_536;
  heads: Record<string, string | string[]>[] = [];
  content = "";
  trailers: Record<string, string | string[]> | null = null;
  isComplete = false;
  isAwaited = false;
  stopped: number | null = null;
  reset: number | null = null;
  /** Names that the head may hold once only, as the runtime wants it. */
  single = new Set<string>();

  get fields(): Record<string, string | string[]> {
    return this.heads.at(-1) ?? {};
  }

  get status(): string {
    return String(this.fields[":status"] ?? "");
  }

  sendHead(fields: Record<string, string | string[]>, end: boolean): void {
    for (const name of this.single) if (Array.isArray(fields[name])) throw new TypeError(name);
    this.heads.push({ ...fields });
    this.isComplete = end;
  }

  sendInterim(fields: Record<string, string | string[]>): void {
    this.heads.push({ ...fields });
  }

  write(octets: Uint8Array): boolean {
    if (this.isAwaited) throw new Error("written while room is awaited");
    if (this.room <= 0) return false;
    this.room -= octets.length;
    this.content += Buffer.from(octets).toString("latin1");
    return true;
  }

  get hasRoom(): boolean {
    return this.room > 0;
  }

  awaitRoom(): void {
    this.isAwaited = true;
  }

  end(trailers: Record<string, string | string[]> | null): void {
    if (this.isAwaited) throw new Error("ended while room is awaited");
    this.trailers = trailers === null ? null : { ...trailers };
    this.isComplete = true;
  }

  stopReading(code: number): void {
    this.stopped = code;
  }

  cut(code: number): void {
    this.reset = code;
  }

  // ── the client ──────────────────────────────────────────────────────────────────────────────

  /** The client takes so much more. */
  take(octets: number): void {
    this.room += octets;
    if (!this.isAwaited || this.room <= 0) return;
    this.isAwaited = false;
    this.taker.onRoom();
  }

  send(text: string | Uint8Array): this {
    const octets = typeof text === "string" ? Buffer.from(text, "latin1") : Buffer.from(text);
    this.taker.onOctets(octets);
    octets.fill(0xee);
    return this;
  }
}

export class FakeSession implements Session {
  hasSaidGoodbye = false;
  /** Code it was ended with. */
  ended: number | null = null;

  goAway(): void {
    this.hasSaidGoodbye = true;
  }

  end(code: number): void {
    this.ended = code;
  }
}

export class TestHooks implements ExchangeHooks {
  draining = false;
  handle: Handler = () => new HttpResponse(204);
  readonly exchanges: Exchange[] = [];
  readonly finished: Exchange[] = [];
  readonly malformedHeads: Failure[] = [];
  readonly faults: unknown[] = [];
  isClosed = false;

  finish(exchange: Exchange): void {
    this.finished.push(exchange);
  }
  malformed(_client: ClientInfo, failure: Failure): void {
    this.malformedHeads.push(failure);
  }
  closed(): void {
    this.isClosed = true;
  }
  fault(thrown: unknown): void {
    this.faults.push(thrown);
  }
}

export const REQUEST: QuicFields = {
  ":method": "GET",
  ":scheme": "https",
  ":authority": "shop.example",
  ":path": "/x?y=1",
};

/** A session with its hooks; requests are made by hand. */
export class TestSession {
  readonly session = new FakeSession();
  readonly hooks = new TestHooks();
  readonly server: Http3ServerConnection;

  constructor(handle?: Handler, more: Partial<Http3ServerSettings> = {}) {
    const answer = handle ?? this.hooks.handle;
    this.hooks.handle = (exchange) => {
      this.hooks.exchanges.push(exchange);
      return answer(exchange);
    };
    this.server = new Http3ServerConnection(this.session, CLIENT, { ...settings(), ...more }, this.hooks);
  }

  get exchange(): Exchange {
    return this.hooks.exchanges.at(-1)!;
  }

  open(): FakeStream {
    const stream = new FakeStream();
    stream.taker = this.server.onStream(stream);
    return stream;
  }

  /** A request without content. */
  get(fields: QuicFields = {}): FakeStream {
    const stream = this.open();
    stream.taker.onHead(present({ ...REQUEST, ...fields }));
    stream.taker.onEnd(null);
    return stream;
  }

  /** A request whose content follows. */
  post(fields: QuicFields = {}): FakeStream {
    const stream = this.open();
    stream.taker.onHead(present({ ...REQUEST, ":method": "POST", ...fields }));
    stream.taker.onContentBegins();
    return stream;
  }
}

/** Without what the test takes out of a usual request. */
const present = (fields: QuicFields): QuicFields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

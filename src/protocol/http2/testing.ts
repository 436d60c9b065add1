/** For the tests of this room: a client that sends what it is told, frame by frame, and reads what comes. */

import type { Failure } from "../../base/failure.ts";
import { timerList } from "../../base/timer.ts";
import type { Handler } from "../../http/define.ts";
import type { ClientInfo, Exchange } from "../../http/exchange.ts";
import { fieldId } from "../../http/field-name.ts";
import type { HttpResponse } from "../../http/message.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { FakeConnection, HEAD_LIMITS, latin1, settle } from "../http1/testing.ts";
import { DEFAULT_FLOOD_LIMITS } from "./floods.ts";
import { CLIENT_PREFACE, Flag, FrameType, LEAST_MAX_FRAME_OCTETS } from "./frame.ts";
import { FrameOutput, flushFrames } from "./frame-output.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { Http2ServerConnection } from "./server.ts";
import type { Http2ServerSettings } from "./server-settings.ts";

export const CLIENT: ClientInfo = {
  listener: "http",
  peer: "192.0.2.1",
  peerPort: 50_000,
  localAddress: "192.0.2.2",
  localPort: 80,
  tls: null,
};

export const SETTINGS: Http2ServerSettings = {
  scheme: "http",
  head: HEAD_LIMITS,
  trailerOctets: 8192,
  maxStreams: 128,
  streamWindowOctets: 65_535,
  connectionWindowOctets: 200_000,
  floods: DEFAULT_FLOOD_LIMITS,
  headTime: timerList(30_000),
  keepAliveTime: timerList(75_000),
  contentIdleTime: timerList(31_000),
  sendTime: timerList(60_000),
  continueTime: timerList(1000),
  tunnelIdleTime: timerList(3_600_000),
  settingsTime: timerList(10_000),
  maxAgeTimes: [],
  contentRate: 0,
};

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** What came on one stream. */
export interface Received {
  /** Heads in order: interim ones, the final one, trailers. */
  heads: Record<string, string>[];
  content: string;
  ended: boolean;
  /** Code of a RST_STREAM; null: none came. */
  reset: number | null;
}

const nothing = (): Received => ({ heads: [], content: "", ended: false, reset: null });

const frameOf = (type: number, flags: number, streamId: number, payload: Uint8Array): Buffer => {
  const frame = Buffer.alloc(9 + payload.length);
  frame.writeUIntBE(payload.length, 0, 3);
  frame[3] = type;
  frame[4] = flags;
  frame.writeUInt32BE(streamId, 5);
  frame.set(payload, 9);
  return frame;
};

export const word = (value: number): Buffer => {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value);
  return octets;
};

export const pairs = (...values: readonly number[]): Buffer => {
  const octets = Buffer.alloc(values.length * 3);
  for (let i = 0; i < values.length; i += 2) {
    octets.writeUInt16BE(values[i]!, i * 3);
    octets.writeUInt32BE(values[i + 1]!, i * 3 + 2);
  }
  return octets;
};

const GET = { ":method": "GET", ":scheme": "http", ":authority": "a.test", ":path": "/" };

/** One client, its server, and what the server told about it. */
export class TestClient implements ExchangeHooks {
  readonly connection = new FakeConnection();
  readonly server: Http2ServerConnection;
  readonly exchanges: Exchange[] = [];
  readonly finished: Exchange[] = [];
  readonly refused: Failure[] = [];
  readonly faults: unknown[] = [];
  draining = false;
  closedCalls = 0;
  readonly #handle: Handler;
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder();
  readonly #out = new FrameOutput();
  #octets = Buffer.alloc(0);
  readonly frames: Frame[] = [];
  readonly streams = new Map<number, Received>();

  /** @param greeted false: not even the preface is sent */
  constructor(handle: Handler, settings: Partial<Http2ServerSettings> = {}, greeted = true) {
    this.#handle = handle;
    this.server = new Http2ServerConnection(this.connection, CLIENT, { ...SETTINGS, ...settings }, this);
    this.connection.handler = this.server;
    if (greeted) this.send(Buffer.from(CLIENT_PREFACE), this.frame(FrameType.settings, 0, 0)).ack();
  }

  // ── what the server tells ──────────────────────────────────────────────────────────────────

  readonly handle = (exchange: Exchange): HttpResponse | PromiseLike<HttpResponse> => {
    this.exchanges.push(exchange);
    return this.#handle(exchange);
  };

  finish(exchange: Exchange): void {
    if (this.finished.includes(exchange)) throw new Error("finished twice");
    this.finished.push(exchange);
  }

  malformed(_client: ClientInfo, failure: Failure): void {
    this.refused.push(failure);
  }

  closed(): void {
    this.closedCalls++;
  }

  fault(thrown: unknown): void {
    this.faults.push(thrown);
  }

  // ── sending ────────────────────────────────────────────────────────────────────────────────

  frame(type: number, flags: number, streamId: number, payload: Uint8Array | string = ""): Buffer {
    return frameOf(type, flags, streamId, typeof payload === "string" ? latin1(payload) : payload);
  }

  /** Sends octets, each piece by itself. */
  send(...pieces: Uint8Array[]): this {
    this.connection.arrive(...pieces);
    flushFrames();
    settle();
    return this;
  }

  ack(): this {
    return this.send(this.frame(FrameType.settings, Flag.ack, 0));
  }

  settings(...values: number[]): this {
    return this.send(this.frame(FrameType.settings, 0, 0, pairs(...values)));
  }

  window(streamId: number, octets: number): this {
    return this.send(this.frame(FrameType.windowUpdate, 0, streamId, word(octets)));
  }

  reset(streamId: number, code = 8): this {
    return this.send(this.frame(FrameType.resetStream, 0, streamId, word(code)));
  }

  ping(text = "12345678"): this {
    return this.send(this.frame(FrameType.ping, 0, 0, text));
  }

  data(streamId: number, content: string, endStream = false): this {
    return this.send(this.frame(FrameType.data, endStream ? Flag.endStream : 0, streamId, content));
  }

  /** A block of fields as this client encodes it. */
  block(fields: Iterable<readonly [string, string]>): Buffer {
    const out = this.#out;
    out.length = 0;
    this.#encoder.begin(out);
    for (const [name, value] of fields) this.#encoder.onLine(fieldId(name), name, value);
    const block = Buffer.from(out.buffer.subarray(0, out.length));
    out.length = 0;
    return block;
  }

  /** HEADERS, in as many frames as it takes. */
  headers(streamId: number, fields: Readonly<Record<string, string>>, endStream: boolean): Buffer {
    const block = this.block(Object.entries(fields));
    const frames: Buffer[] = [];
    for (let at = 0; at === 0 || at < block.length; at += LEAST_MAX_FRAME_OCTETS) {
      const isLast = at + LEAST_MAX_FRAME_OCTETS >= block.length;
      const flags = (isLast ? Flag.endHeaders : 0) | (endStream && at === 0 ? Flag.endStream : 0);
      const type = at === 0 ? FrameType.headers : FrameType.continuation;
      frames.push(frameOf(type, flags, streamId, block.subarray(at, at + LEAST_MAX_FRAME_OCTETS)));
    }
    return Buffer.concat(frames);
  }

  get(streamId: number, fields: Readonly<Record<string, string>> = {}): this {
    return this.send(this.headers(streamId, { ...GET, ...fields }, true));
  }

  /** A request whose content follows. */
  post(streamId: number, fields: Readonly<Record<string, string>> = {}): this {
    return this.send(this.headers(streamId, { ...GET, ":method": "POST", ...fields }, false));
  }

  // ── what it has received ───────────────────────────────────────────────────────────────────

  /** Reads what has come. */
  read(): this {
    flushFrames();
    settle();
    flushFrames();
    this.#octets = Buffer.concat([this.#octets, latin1(this.connection.taken())]);
    while (this.#octets.length >= 9) {
      const length = this.#octets.readUIntBE(0, 3);
      if (this.#octets.length < 9 + length) break;
      const frame: Frame = {
        type: this.#octets[3]!,
        flags: this.#octets[4]!,
        streamId: this.#octets.readUInt32BE(5),
        payload: this.#octets.subarray(9, 9 + length),
      };
      this.#octets = this.#octets.subarray(9 + length);
      this.frames.push(frame);
      this.#note(frame);
    }
    return this;
  }

  #note({ type, flags, streamId, payload }: Frame): void {
    if (streamId === 0) return;
    let stream = this.streams.get(streamId);
    if (stream === undefined) {
      stream = nothing();
      this.streams.set(streamId, stream);
    }
    if (type === FrameType.headers) {
      if ((flags & Flag.endHeaders) === 0) throw new Error("a head in several frames: not read here");
      if (stream.ended) throw new Error("HEADERS after the end of the stream");
      const head: Record<string, string> = {};
      this.#decoder.decode(payload, 0, payload.length, {
        onField: ({ name, value }) => {
          head[name] = name in head ? `${head[name]}, ${value}` : value;
        },
      });
      stream.heads.push(head);
    } else if (type === FrameType.data) {
      if (stream.ended || stream.reset !== null) throw new Error("DATA after the end of the stream");
      stream.content += payload.toString("latin1");
    } else if (type === FrameType.resetStream) stream.reset = payload.readUInt32BE(0);
    if ((type === FrameType.headers || type === FrameType.data) && (flags & Flag.endStream) !== 0) stream.ended = true;
  }

  /** What came on a stream so far. */
  stream(streamId: number): Received {
    this.read();
    return this.streams.get(streamId) ?? nothing();
  }

  /** The final status, or 0. */
  status(streamId: number): number {
    const final = this.stream(streamId).heads.find((head) => Number(head[":status"]) >= 200);
    return final === undefined ? 0 : Number(final[":status"]);
  }

  framesOf(type: number): Frame[] {
    return this.read().frames.filter((frame) => frame.type === type);
  }

  /** Each GOAWAY: last stream and code. */
  get goAways(): [number, number][] {
    return this.framesOf(FrameType.goAway).map(({ payload }) => [payload.readUInt32BE(0), payload.readUInt32BE(4)]);
  }

  /** The code of the last GOAWAY; null: none came. */
  get goneWith(): number | null {
    return this.goAways.at(-1)?.[1] ?? null;
  }
}

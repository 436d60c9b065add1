/**
 * A client that sends the server under test whatever it is told to, and keeps what it gets back.
 * There is no socket in between: a case sees exactly what the server wrote, and when.
 */
import { FakeConnection } from "../../../src/protocol/http1/testing.ts";
import { Application } from "./application.ts";
import { Decoder } from "./hpack.ts";
import { flush, type ServerUnderTest, serve } from "./server-under-test.ts";
import {
  DEFAULT_WINDOW,
  data,
  type FieldLine,
  Flag,
  FrameReader,
  headers,
  PREFACE,
  type ReadFrame,
  Setting,
  settings,
  settingsAck,
  Type,
} from "./wire.ts";

export const GET: readonly FieldLine[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a.test"],
];

/** The usual head for a path. @param more field lines after it */
export const get = (path: string, ...more: FieldLine[]): FieldLine[] => [...GET.with(2, [":path", path]), ...more];
export const post = (path: string, ...more: FieldLine[]): FieldLine[] =>
  get(path, ...more).with(0, [":method", "POST"]);

/** What came back on one stream. */
export interface Answer {
  readonly interim: readonly (readonly FieldLine[])[];
  readonly head: readonly FieldLine[] | null;
  readonly status: number;
  readonly content: string;
  readonly trailers: readonly FieldLine[] | null;
  /** END_STREAM was there. */
  readonly ended: boolean;
  /** Code of a RST_STREAM; null if there was none. */
  readonly reset: number | null;
}

export class HostileClient {
  readonly connection = new FakeConnection();
  readonly application: Application;
  readonly server: ServerUnderTest;
  readonly frames: ReadFrame[] = [];
  readonly decoder = new Decoder();
  readonly #reader = new FrameReader();
  /** Field sections by the index of the HEADERS frame they begin with. */
  readonly #sections = new Map<number, FieldLine[]>();
  #read = 0;

  constructor(application = new Application()) {
    this.application = application;
    this.server = serve(this.connection, application);
  }

  /** After the exchange of prefaces. */
  static connected(...pairs: readonly (readonly [id: number, value: number])[]): HostileClient {
    const client = new HostileClient();
    client.send(PREFACE, settings(...pairs), settingsAck());
    return client;
  }

  /** Each piece arrives by itself. */
  send(...pieces: readonly (string | Uint8Array)[]): this {
    for (const piece of pieces) {
      if (this.connection.fate === "open") this.connection.arrive(piece);
      flush();
    }
    this.#receive();
    return this;
  }

  /** All in one read. */
  sendTogether(...pieces: readonly (string | Uint8Array)[]): this {
    return this.send(
      Buffer.concat(pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece))),
    );
  }

  /** A whole request without content. */
  request(stream: number, path = "/", ...more: FieldLine[]): this {
    return this.send(headers(stream, get(path, ...more)));
  }

  /** A whole request with content. */
  upload(stream: number, content: string, path = "/echo", ...more: FieldLine[]): this {
    return this.send(headers(stream, post(path, ...more), Flag.endHeaders), data(stream, content, Flag.endStream));
  }

  /** Takes what the server has sent. */
  receive(): this {
    flush();
    this.#receive();
    return this;
  }

  #receive(): void {
    this.frames.push(...this.#reader.read(this.connection.taken()));
    for (; this.#read < this.frames.length; this.#read++) {
      const { type, payload, flags } = this.frames[this.#read]!;
      if (type !== Type.headers) continue;
      if ((flags & (Flag.padded | Flag.priority)) !== 0) throw new Error("HEADERS with padding or priority");
      const block = [payload];
      let last = flags;
      let next = this.#read;
      while ((last & Flag.endHeaders) === 0) {
        const frame = this.frames[++next];
        if (frame?.type !== Type.continuation) throw new Error("a field block that is not continued");
        block.push(frame.payload);
        last = frame.flags;
      }
      this.#sections.set(this.#read, this.decoder.decode(Buffer.concat(block)));
    }
  }

  /** Frames of a type, of one stream or all. */
  of(type: number, stream?: number): ReadFrame[] {
    return this.frames.filter((frame) => frame.type === type && (stream === undefined || frame.stream === stream));
  }

  /** Code of the GOAWAY that ended the connection; null if there was none. */
  get goawayCode(): number | null {
    return this.of(Type.goaway).at(-1)?.payload.readUInt32BE(4) ?? null;
  }

  answer(stream: number): Answer {
    const sections = [...this.#sections].filter(([at]) => this.frames[at]!.stream === stream);
    const statusOf = (fields: readonly FieldLine[]) => Number(fields.find(([name]) => name === ":status")?.[1] ?? 0);
    const heads = sections.map(([, fields]) => fields);
    const final = heads.findIndex((fields) => statusOf(fields) >= 200);
    const frames = this.frames.filter((frame) => frame.stream === stream);
    return {
      interim: heads.slice(0, final < 0 ? heads.length : final),
      head: heads[final] ?? null,
      status: final < 0 ? 0 : statusOf(heads[final]!),
      content: this.of(Type.data, stream)
        .map(({ payload }) => payload.toString("latin1"))
        .join(""),
      trailers: heads[final + 1] ?? null,
      ended: frames.some(
        ({ type, flags }) => (type === Type.data || type === Type.headers) && (flags & Flag.endStream) !== 0,
      ),
      reset: this.of(Type.rstStream, stream)[0]?.payload.readUInt32BE(0) ?? null,
    };
  }

  /** A setting that the server announced. */
  announced(setting: number, otherwise: number): number {
    let value = otherwise;
    for (const { payload, flags } of this.of(Type.settings)) {
      if ((flags & Flag.ack) !== 0) continue;
      for (let at = 0; at < payload.length; at += 6)
        if (payload.readUInt16BE(at) === setting) value = payload.readUInt32BE(at + 2);
    }
    return value;
  }

  /** Sum of the increments that the server gave for a stream, or for the connection (0). */
  increments(stream: number): number {
    return this.of(Type.windowUpdate, stream).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  }

  /** Octets of content that a new stream may send. */
  get streamWindow(): number {
    return this.announced(Setting.initialWindowSize, DEFAULT_WINDOW);
  }

  /** Octets of content that the connection may send, as long as none has been. */
  get connectionWindow(): number {
    return DEFAULT_WINDOW + this.increments(0);
  }
}

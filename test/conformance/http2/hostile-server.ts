/**
 * A server that sends the client under test whatever it is told to, and keeps what the client
 * wrote and what became of its requests. There is no socket in between.
 */
import { Failure, type FailureCode } from "../../../src/base/failure.ts";
import type { BodySource, Flow } from "../../../src/http/body.ts";
import { MemoryBody, NO_BODY } from "../../../src/http/body.ts";
import { FieldSection } from "../../../src/http/field-section.ts";
import { HttpRequest, type HttpResponse } from "../../../src/http/message.ts";
import type { ResponseTaker } from "../../../src/protocol/client-connection.ts";
import { FakeConnection, settle } from "../../../src/protocol/http1/testing.ts";
import type { Http2ClientSettings } from "../../../src/protocol/http2/client-settings.ts";
import { type ClientUnderTest, connect, flush, type Limits, type StreamUnderTest } from "./client-under-test.ts";
import { Decoder } from "./hpack.ts";
import {
  data,
  type FieldLine,
  Flag,
  FrameReader,
  headers,
  type ReadFrame,
  settings,
  settingsAck,
  Type,
} from "./wire.ts";

/** What became of one request. */
export class Asked implements ResponseTaker {
  readonly interim: { status: number; fields: FieldLine[] }[] = [];
  response: HttpResponse | null = null;
  fields: FieldLine[] = [];
  content = "";
  trailers: FieldLine[] | null = null;
  /** "end", or the code of the failure that cut the content; "" while it flows. */
  ended = "";
  /** Code of the failure instead of a response; "" if there was none. */
  failed = "";
  failure: Failure | null = null;
  completed = "";
  flow: Flow | null = null;
  stream!: StreamUnderTest;
  /** False: the content is left where it is. */
  takes = true;
  /** What the one who asked does when he hears something. */
  whenTold: () => void = () => {};

  onInterim(status: number, fields: FieldSection): void {
    this.whenTold();
    this.interim.push({ status, fields: [...fields] });
  }

  onResponse(response: HttpResponse): void {
    this.whenTold();
    this.response = response;
    this.fields = [...response.fields];
    if (this.takes) this.take();
  }

  take(): void {
    this.response!.body.sendTo({
      begin: (flow) => {
        this.flow = flow;
      },
      write: (octets) => {
        this.content += Buffer.from(octets).toString("latin1");
      },
      end: (trailers) => {
        this.ended = "end";
        this.trailers = trailers === null ? null : [...trailers];
      },
      abort: (why) => {
        this.ended = why.code;
      },
    });
  }

  onFailed(failure: Failure): void {
    this.failed = failure.code;
    this.failure = failure;
  }

  onComplete(failure: Failure | null): void {
    this.completed = failure === null ? "end" : failure.code;
  }

  get status(): number {
    return this.response?.status ?? 0;
  }
}

export const OK: readonly FieldLine[] = [[":status", "200"]];
export const ok = (...more: FieldLine[]): FieldLine[] => [...OK, ...more];

export class HostileServer {
  readonly connection = new FakeConnection();
  readonly client: ClientUnderTest;
  readonly events: string[] = [];
  readonly frames: ReadFrame[] = [];
  readonly #decoder = new Decoder();
  readonly #reader = new FrameReader();
  #prefaced = false;
  /** Field sections of each stream, in order. */
  readonly #sections = new Map<number, FieldLine[][]>();
  #block: { stream: number; pieces: Buffer[] } | null = null;

  constructor(options: Partial<Http2ClientSettings> = {}) {
    this.client = connect(this.connection, this.events, options);
    this.receive();
  }

  /** After the exchange of prefaces. */
  static connected(...pairs: readonly (readonly [id: number, value: number])[]): HostileServer {
    return new HostileServer().send(settings(...pairs), settingsAck());
  }

  /** Each piece arrives by itself. */
  send(...pieces: readonly (string | Uint8Array)[]): this {
    for (const piece of pieces) {
      if (this.connection.fate === "open") this.connection.arrive(piece);
      flush();
    }
    return this.receive();
  }

  sendTogether(...pieces: readonly Uint8Array[]): this {
    return this.send(Buffer.concat(pieces));
  }

  /** As `connected`, with a client that has other settings. */
  static with(options: Partial<Http2ClientSettings>): HostileServer {
    return new HostileServer(options).send(settings(), settingsAck());
  }

  /** The client asks for something. */
  ask(
    path = "/",
    {
      method = "GET",
      body = NO_BODY as BodySource,
      fields = {},
      upgrade = null as string | null,
      limits = {} as Limits,
    } = {},
  ): Asked {
    const request = new HttpRequest(method, "http", "a.test", path, FieldSection.of(fields), body);
    request.upgrade = upgrade;
    const asked = new Asked();
    asked.stream = this.client.ask(request, asked, limits);
    settle();
    this.receive();
    return asked;
  }

  post(content: string | BodySource, path = "/"): Asked {
    return this.ask(path, { method: "POST", body: typeof content === "string" ? MemoryBody.text(content) : content });
  }

  /** Answers a stream with a head and content. */
  answer(stream: number, content = "", ...fields: FieldLine[]): this {
    if (content === "") return this.send(headers(stream, ok(...fields)));
    return this.send(headers(stream, ok(...fields), Flag.endHeaders), data(stream, content, Flag.endStream));
  }

  receive(): this {
    flush();
    let octets = this.connection.taken();
    if (!this.#prefaced && octets !== "") {
      octets = this.#reader.takePreface(octets);
      this.#prefaced = true;
    }
    for (const frame of this.#reader.read(octets)) {
      this.frames.push(frame);
      this.#readBlock(frame);
    }
    return this;
  }

  #readBlock({ type, flags, stream, payload }: ReadFrame): void {
    if (this.#block !== null && (type !== Type.continuation || this.#block.stream !== stream))
      throw new Error("a field block was interrupted");
    if (type === Type.headers) this.#block = { stream, pieces: [] };
    if (this.#block === null) return;
    this.#block.pieces.push(payload);
    if ((flags & Flag.endHeaders) === 0) return;
    const fields = this.#decoder.decode(Buffer.concat(this.#block.pieces));
    this.#sections.set(stream, [...(this.#sections.get(stream) ?? []), fields]);
    this.#block = null;
  }

  of(type: number, stream?: number): ReadFrame[] {
    return this.frames.filter((frame) => frame.type === type && (stream === undefined || frame.stream === stream));
  }

  get goawayCode(): number | null {
    return this.of(Type.goaway).at(-1)?.payload.readUInt32BE(4) ?? null;
  }

  resetCode(stream: number): number | null {
    return this.of(Type.rstStream, stream)[0]?.payload.readUInt32BE(0) ?? null;
  }

  /** The request's head. */
  head(stream: number): FieldLine[] {
    return this.#sections.get(stream)?.[0] ?? [];
  }

  requestTrailers(stream: number): FieldLine[] | null {
    return this.#sections.get(stream)?.[1] ?? null;
  }

  content(stream: number): string {
    return this.of(Type.data, stream)
      .map(({ payload }) => payload.toString("latin1"))
      .join("");
  }

  failure(code: FailureCode): Failure {
    return new Failure(code, "for a test");
  }

  /** The client has ended the stream. */
  ended(stream: number): boolean {
    return this.frames.some(
      (frame) =>
        frame.stream === stream &&
        (frame.type === Type.data || frame.type === Type.headers) &&
        (frame.flags & Flag.endStream) !== 0,
    );
  }

  increments(stream: number): number {
    return this.of(Type.windowUpdate, stream).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
  }

  announced(setting: number, otherwise: number): number {
    let value = otherwise;
    for (const { payload, flags } of this.of(Type.settings)) {
      if ((flags & Flag.ack) !== 0) continue;
      for (let at = 0; at < payload.length; at += 6)
        if (payload.readUInt16BE(at) === setting) value = payload.readUInt32BE(at + 2);
    }
    return value;
  }
}

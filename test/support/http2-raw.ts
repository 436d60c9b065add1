/** One end of a connection of HTTP/2 that sends what it is told, frame by frame, and keeps what comes. */
import net from "node:net";
import { Decoder } from "../conformance/http2/hpack.ts";
import {
  type FieldLine,
  Flag,
  FrameReader,
  headers,
  PREFACE,
  type ReadFrame,
  settings,
  settingsAck,
  Type,
} from "../conformance/http2/wire.ts";
import { until } from "./until.ts";

const PATIENCE_MS = 20_000;

export class RawHttp2 {
  readonly frames: ReadFrame[] = [];
  /** Octets that were handed to the kernel. */
  sentOctets = 0;
  /** The other end has closed the connection, or it was lost. */
  isClosed = false;
  readonly #socket: net.Socket;
  readonly #reader = new FrameReader();
  readonly #decoder = new Decoder();
  readonly #heads = new Map<number, FieldLine[][]>();
  readonly #sending = new Set<() => void>();
  #preface: string | null;

  /** @param isServer what comes begins with the preface */
  constructor(socket: net.Socket, isServer = false) {
    this.#socket = socket;
    this.#preface = isServer ? "" : null;
    socket.setNoDelay(true);
    socket.on("data", (octets: Buffer) => this.#read(octets.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      for (const resolve of this.#sending) resolve();
    });
  }

  /** A client without TLS, its preface sent and the server's settings acknowledged. */
  static async connect(port: number, ...pairs: readonly (readonly [number, number])[]): Promise<RawHttp2> {
    const socket = net.connect({ host: "127.0.0.1", port });
    const client = new RawHttp2(socket);
    await client.send(Buffer.from(PREFACE, "latin1"), settings(...pairs), settingsAck());
    await client.until(() => client.of(Type.settings).length > 0, "SETTINGS");
    return client;
  }

  #read(octets: string): void {
    if (this.#preface !== null) {
      this.#preface += octets;
      if (this.#preface.length < PREFACE.length) return;
      octets = this.#reader.takePreface(this.#preface);
      this.#preface = null;
    }
    for (const frame of this.#reader.read(octets)) {
      this.frames.push(frame);
      if (frame.type !== Type.headers) continue;
      const fields = this.#decoder.decode(frame.payload);
      this.#heads.set(frame.stream, [...(this.#heads.get(frame.stream) ?? []), fields]);
    }
  }

  /** Resolves when the kernel has them, or the connection is gone. */
  send(...frames: readonly Uint8Array[]): Promise<void> {
    const octets = Buffer.concat(frames);
    return new Promise((resolve) => {
      if (this.isClosed || this.#socket.destroyed) return resolve();
      this.#sending.add(resolve);
      this.#socket.write(octets, () => {
        this.#sending.delete(resolve);
        this.sentOctets += octets.length;
        resolve();
      });
    });
  }

  get(stream: number, path: string): Promise<void> {
    return this.send(headers(stream, requestTo(path)));
  }

  of(type: number, stream?: number): ReadFrame[] {
    return this.frames.filter((frame) => frame.type === type && (stream === undefined || frame.stream === stream));
  }

  until(holds: () => boolean, what: string): Promise<void> {
    const said = () => `${what}; frames: ${this.frames.map(({ type, stream }) => `${type} on ${stream}`).join(", ")}`;
    return until(() => holds() || this.isClosed, said, PATIENCE_MS);
  }

  /** Status of the response; 0: none came. */
  status(stream: number): number {
    return Number(this.#heads.get(stream)?.[0]?.find(([name]) => name === ":status")?.[1] ?? 0);
  }

  /** Heads that came on a stream. */
  heads(stream: number): readonly FieldLine[][] {
    return this.#heads.get(stream) ?? [];
  }

  content(stream: number): string {
    return this.of(Type.data, stream)
      .map(({ payload }) => payload.toString("latin1"))
      .join("");
  }

  ended(stream: number): boolean {
    const isLast = ({ type, flags }: ReadFrame) =>
      (type === Type.data || type === Type.headers) && (flags & Flag.endStream) !== 0;
    return this.frames.some((frame) => frame.stream === stream && isLast(frame));
  }

  resetCode(stream: number): number | null {
    return this.of(Type.rstStream, stream)[0]?.payload.readUInt32BE(0) ?? null;
  }

  /** Each GOAWAY: last stream and code. */
  get goAways(): [last: number, code: number][] {
    return this.of(Type.goaway).map(({ payload }) => [payload.readUInt32BE(0), payload.readUInt32BE(4)]);
  }

  /** Reads nothing any more. */
  stall(): void {
    this.#socket.pause();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

export const requestTo = (path: string, method = "GET"): FieldLine[] => [
  [":method", method],
  [":scheme", "http"],
  [":authority", "a.test"],
  [":path", path],
];

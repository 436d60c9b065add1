/**
 * HTTP/2 frames, written and read the plain way. Shares nothing with the engines, so that a mistake
 * of theirs cannot hide behind the same mistake here.
 *
 * RFC 9113 §4.1, §6, §7.
 */
import { literals } from "./hpack.ts";

export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export const Type = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const Code = {
  noError: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  connect: 10,
  calm: 11,
  security: 12,
  http11: 13,
} as const;

export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
  enableConnectProtocol: 8,
} as const;

export const MAX_WINDOW = 0x7fff_ffff;
export const DEFAULT_WINDOW = 65_535;
export const DEFAULT_FRAME = 16_384;

export type FieldLine = readonly [name: string, value: string];

const octets = (content: string | Uint8Array): Buffer =>
  typeof content === "string" ? Buffer.from(content, "latin1") : Buffer.from(content);

/** One 32-bit number. */
export function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value >>> 0);
  return buffer;
}

/** Any frame, also one that no rule allows. @param stream with the reserved bit, if it is to be set */
export function frame(type: number, flags: number, stream: number, payload: string | Uint8Array = ""): Buffer {
  const content = octets(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(content.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, content]);
}

export const data = (stream: number, content: string | Uint8Array, flags = 0): Buffer =>
  frame(Type.data, flags, stream, content);

/** @param padding octets of padding; the field that tells their number comes on top */
export const paddedData = (stream: number, content: string, padding: number, flags = 0): Buffer =>
  data(stream, Buffer.concat([Buffer.of(padding), octets(content), Buffer.alloc(padding)]), flags | Flag.padded);

/** HEADERS with a whole field section, as literals without indexing; it ends the stream unless told otherwise. */
export const headers = (
  stream: number,
  fields: readonly FieldLine[],
  flags: number = Flag.endHeaders | Flag.endStream,
): Buffer => headersBlock(stream, literals(fields), flags);

export const headersBlock = (
  stream: number,
  block: string | Uint8Array,
  flags: number = Flag.endHeaders | Flag.endStream,
): Buffer => frame(Type.headers, flags, stream, block);

export const continuation = (stream: number, block: string | Uint8Array, flags: number = Flag.endHeaders): Buffer =>
  frame(Type.continuation, flags, stream, block);

export const priority = (stream: number, dependsOn = 0, weight = 15): Buffer =>
  frame(Type.priority, 0, stream, Buffer.concat([u32(dependsOn), Buffer.of(weight)]));

export const rstStream = (stream: number, code: number = Code.cancel): Buffer =>
  frame(Type.rstStream, 0, stream, u32(code));

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  return frame(
    Type.settings,
    0,
    0,
    Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.of(0, id), u32(value)]))),
  );
}

export const settingsAck = (): Buffer => frame(Type.settings, Flag.ack, 0);

export const ping = (content = "12345678", flags = 0): Buffer => frame(Type.ping, flags, 0, content);

export const goaway = (lastStream: number, code: number = Code.noError, debug = ""): Buffer =>
  frame(Type.goaway, 0, 0, Buffer.concat([u32(lastStream), u32(code), octets(debug)]));

export const windowUpdate = (stream: number, increment: number): Buffer =>
  frame(Type.windowUpdate, 0, stream, u32(increment));

export interface ReadFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Splits octets into frames. */
export class FrameReader {
  #rest = Buffer.alloc(0);

  /** @returns the frames that are complete now */
  read(more: string): ReadFrame[] {
    this.#rest = Buffer.concat([this.#rest, Buffer.from(more, "latin1")]);
    const frames: ReadFrame[] = [];
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + length) break;
      frames.push({
        type: this.#rest[3]!,
        flags: this.#rest[4]!,
        stream: this.#rest.readUInt32BE(5),
        payload: this.#rest.subarray(9, 9 + length),
      });
      this.#rest = this.#rest.subarray(9 + length);
    }
    return frames;
  }

  /** Takes the client's connection preface off. @throws if it is another one */
  takePreface(octets: string): string {
    if (!octets.startsWith(PREFACE))
      throw new Error(`not the connection preface: ${JSON.stringify(octets.slice(0, 24))}`);
    return octets.slice(PREFACE.length);
  }
}

/**
 * What an engine writes, gathered: frames of one turn leave in one write. Frames are written here
 * in place, so that neither a head nor a frame costs an allocation, and the last frame of a stream
 * can still be made its end (`endStream`) as long as it has not left.
 *
 * Each engine module has one for all its connections, as they share the buffers of net/tcp.ts: whose
 * octets these are changes with `use`. They leave when another connection writes, when there are
 * enough of them, and when the turn ends.
 */
import "../../base/buffer.ts";
import type { Connection } from "../../net/connection.ts";
import { onTurnEnd } from "../../net/loop.ts";
import { Flag, FRAME_HEADER_OCTETS, FrameType } from "./frame.ts";

const CAPACITY = 96 * 1024;
/** Above this a head begins in an empty buffer. */
const ENOUGH = 72 * 1024;

const outputs: FrameOutput[] = [];

onTurnEnd(flushFrames);

/** Writes what all engines have gathered. The loop does it after each turn; tests without one do it themselves. */
export function flushFrames(): void {
  for (let i = 0; i < outputs.length; i++) outputs[i]!.leave();
}

export class FrameOutput {
  buffer = Buffer.allocUnsafeSlow(CAPACITY);
  /** Octets gathered. */
  length = 0;
  /** Changes with every write to a connection: tells whether a frame is still here. */
  generation = 0;
  #connection: Connection | null = null;

  constructor() {
    outputs.push(this);
  }

  /** What follows is for this connection. */
  use(connection: Connection): void {
    if (this.#connection === connection) return;
    this.flush();
    this.#connection = connection;
  }

  /** Hands what is gathered to the connection, which may gather further. */
  flush(): void {
    if (this.length === 0) return;
    const octets = this.buffer.subarray(0, this.length);
    this.length = 0;
    this.generation++;
    this.#connection!.write(octets);
  }

  /** The turn is over: everything leaves. */
  leave(): void {
    if (this.length === 0) return;
    this.flush();
    this.#connection!.flush();
  }

  /** Makes room for so many octets more. @param sealed all that is gathered is complete frames, and may leave */
  reserve(octets: number, sealed: boolean): void {
    if (this.length + octets <= this.buffer.length) return;
    if (sealed) this.flush();
    if (this.length + octets <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.length + octets, this.buffer.length * 2));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }

  /** Begins a frame. There must be room. @returns where it begins */
  frame(length: number, type: number, flags: number, streamId: number): number {
    const { buffer } = this;
    const at = this.length;
    buffer[at] = length >>> 16;
    buffer[at + 1] = length >>> 8;
    buffer[at + 2] = length;
    buffer[at + 3] = type;
    buffer[at + 4] = flags;
    this.#word(at + 5, streamId);
    this.length = at + FRAME_HEADER_OCTETS;
    return at;
  }

  #word(at: number, value: number): void {
    const { buffer } = this;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
  }

  /** A frame whose payload is one 32-bit number. */
  #wordFrame(type: number, streamId: number, value: number): void {
    this.reserve(13, true);
    this.frame(4, type, 0, streamId);
    this.#word(this.length, value);
    this.length += 4;
  }

  resetStream(streamId: number, code: number): void {
    this.#wordFrame(FrameType.resetStream, streamId, code);
  }

  /** @param streamId 0 for the connection */
  windowUpdate(streamId: number, octets: number): void {
    this.#wordFrame(FrameType.windowUpdate, streamId, octets);
  }

  /** @param pairs identifier, value, identifier, value, … */
  settings(pairs: readonly number[]): void {
    this.reserve(9 + pairs.length * 3, true);
    this.frame(pairs.length * 3, FrameType.settings, 0, 0);
    for (let i = 0; i < pairs.length; i += 2) {
      const at = this.length;
      this.buffer[at] = pairs[i]! >>> 8;
      this.buffer[at + 1] = pairs[i]!;
      this.#word(at + 2, pairs[i + 1]!);
      this.length = at + 6;
    }
  }

  settingsAck(): void {
    this.reserve(9, true);
    this.frame(0, FrameType.settings, Flag.ack, 0);
  }

  /** @param octets 8 of them, from `at` on */
  ping(ack: boolean, octets: Uint8Array, at = 0): void {
    this.reserve(17, true);
    this.frame(8, FrameType.ping, ack ? Flag.ack : 0, 0);
    for (let i = 0; i < 8; i++) this.buffer[this.length++] = octets[at + i]!;
  }

  goAway(lastStreamId: number, code: number, why = ""): void {
    const debug = why.slice(0, 200);
    this.reserve(17 + debug.length, true);
    this.frame(8 + debug.length, FrameType.goAway, 0, 0);
    this.#word(this.length, lastStreamId);
    this.#word(this.length + 4, code);
    this.buffer.latin1Write(debug, this.length + 8);
    this.length += 8 + debug.length;
  }

  /** Text whose characters are octets; for the client's preface. */
  text(text: string): void {
    this.reserve(text.length, true);
    this.length += this.buffer.latin1Write(text, this.length);
  }

  /** Begins a HEADERS frame; the field block follows, then `endHeaders`. @returns where it begins */
  beginHeaders(streamId: number): number {
    if (this.length > ENOUGH) this.flush();
    this.reserve(FRAME_HEADER_OCTETS, true);
    return this.frame(0, FrameType.headers, Flag.endHeaders, streamId);
  }

  /**
   * Ends a head; one longer than a frame may be is cut into CONTINUATION frames.
   * @param start what `beginHeaders` returned
   * @returns where the HEADERS frame begins now
   */
  endHeaders(start: number, streamId: number, endStream: boolean, maxFrameOctets: number): number {
    const length = this.length - start - FRAME_HEADER_OCTETS;
    const { buffer } = this;
    if (endStream) buffer[start + 4]! |= Flag.endStream;
    if (length <= maxFrameOctets) {
      buffer[start] = length >>> 16;
      buffer[start + 1] = length >>> 8;
      buffer[start + 2] = length;
      return start;
    }
    const block = Buffer.from(buffer.subarray(start + FRAME_HEADER_OCTETS, this.length));
    this.length = start;
    this.reserve(length + Math.ceil(length / maxFrameOctets) * FRAME_HEADER_OCTETS, true);
    const first = this.length;
    for (let at = 0; at < length; at += maxFrameOctets) {
      const part = Math.min(maxFrameOctets, length - at);
      let flags = at + part === length ? Flag.endHeaders : 0;
      if (at === 0 && endStream) flags |= Flag.endStream;
      this.frame(part, at === 0 ? FrameType.headers : FrameType.continuation, flags, streamId);
      block.copy(this.buffer, this.length, at, at + part);
      this.length += part;
    }
    return first;
  }

  /** A DATA frame with octets of a piece of content. @returns where it begins */
  data(streamId: number, octets: Uint8Array, from: number, length: number, endStream: boolean): number {
    this.reserve(FRAME_HEADER_OCTETS + length, true);
    const start = this.frame(length, FrameType.data, endStream ? Flag.endStream : 0, streamId);
    if (length > 0) {
      this.buffer.set(
        from === 0 && length === octets.length ? octets : octets.subarray(from, from + length),
        this.length,
      );
      this.length += length;
    }
    return start;
  }

  /** Makes a frame that is still here the last of its stream. */
  endStream(start: number): void {
    this.buffer[start + 4]! |= Flag.endStream;
  }
}

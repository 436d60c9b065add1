/**
 * Takes octets in any pieces and hands on frames (RFC 9113 §4, §6), checked as far as a frame says
 * by itself: its size, whether it is about a stream or the connection, the order of HEADERS and
 * CONTINUATION. What depends on the state of a stream is the engine's.
 *
 * Content is handed on as it comes, borrowed. Other frames are handed on when they are complete,
 * mostly from where they were read to; only a frame that comes in pieces is copied. Field blocks are
 * put together here, within `blockOctets`.
 */
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { Flag, FRAME_HEADER_OCTETS, FrameType, MAX_STREAM_ID } from "./frame.ts";

/** What an engine is told. Octets are valid until the call returns. */
export interface FrameTaker {
  /** A DATA frame begins. @param octets of its payload with padding: what flow control counts */
  onDataBegin(streamId: number, octets: number): void;
  /** A piece of its content; never empty. */
  onData(streamId: number, octets: Uint8Array): void;
  /** It is complete. */
  onDataEnd(streamId: number, endStream: boolean): void;
  /**
   * A complete field block: HEADERS and what CONTINUATION added.
   * @param dependsOn stream of its priority (RFC 9113 §5.3.2); -1 if it has none
   */
  onFieldBlock(
    streamId: number,
    endStream: boolean,
    octets: Buffer,
    start: number,
    end: number,
    dependsOn: number,
  ): void;
  /** A HEADERS frame that is not the end of its head came: from here to `onFieldBlock` time may be limited. */
  onFieldBlockBegin(): void;
  onPriority(streamId: number, dependsOn: number): void;
  onResetStream(streamId: number, code: number): void;
  /** @param start its pairs lie from there on, six octets each */
  onSettings(octets: Buffer, start: number, end: number): void;
  onSettingsAck(): void;
  /** @param at its eight octets begin there */
  onPing(ack: boolean, octets: Buffer, at: number): void;
  onGoAway(lastStreamId: number, code: number, debug: string): void;
  /** @param streamId 0 for the connection */
  onWindowUpdate(streamId: number, octets: number): void;
  /** PUSH_PROMISE, which nobody here may send: a server never, a client's server was told not to. */
  onPushPromise(): void;
  /** RFC 9218 §7.1. @param value as in the Priority field */
  onPriorityUpdate(streamId: number, value: string): void;
  /** A frame of an unknown type, which is ignored (RFC 9113 §4.1). */
  onUnknown(): void;
  /** True: the engine is through with this connection, nothing more is handed on. */
  readonly stopped: boolean;
}

export interface FrameLimits {
  /** Payload of one frame: SETTINGS_MAX_FRAME_SIZE as we told it. */
  readonly frameOctets: number;
  /** A field block as it stands on the wire. */
  readonly blockOctets: number;
  /** CONTINUATION frames of one block. */
  readonly continuations: number;
}

export class FrameDecoder {
  readonly #limits: FrameLimits;
  readonly #taker: FrameTaker;
  /** The beginning of a frame whose rest is still to come. */
  #held: Buffer | null = null;
  #heldLength = 0;
  /** Octets of a frame to skip. */
  #skip = 0;

  // The DATA frame that is being handed on.
  #inData = false;
  #dataStream = 0;
  #dataLeft = 0;
  #dataEndsStream = false;
  #padding = 0;

  // The field block that waits for CONTINUATION; 0 = none does.
  #blockStream = 0;
  #blockEndsStream = false;
  #blockDependsOn = -1;
  #block: Buffer | null = null;
  #blockLength = 0;
  #continuations = 0;

  constructor(limits: FrameLimits, taker: FrameTaker) {
    this.#limits = limits;
    this.#taker = taker;
  }

  /** A field block has begun and waits for its rest. */
  get inFieldBlock(): boolean {
    return this.#blockStream !== 0;
  }

  /** In the middle of a frame. */
  get inFrame(): boolean {
    return this.#heldLength > 0 || this.#inData || this.#skip > 0;
  }

  /**
   * Takes octets.
   * @throws {ConnectionError} also what the taker throws
   */
  decode(room: Buffer, start: number, end: number): void {
    let at = start;
    const taker = this.#taker;
    while (at < end && !taker.stopped) {
      if (this.#inData) at = this.#content(room, at, end);
      else if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, end - at);
        this.#skip -= skipped;
        at += skipped;
      } else if (this.#heldLength > 0) at = this.#complete(room, at, end);
      else {
        if (end - at < FRAME_HEADER_OCTETS) return this.#hold(room, at, end);
        const length = this.#checkHeader(room, at);
        const type = room[at + 3]!;
        if (type === FrameType.data) at = this.#beginData(room, at, end);
        else if (!isKnown(type)) {
          taker.onUnknown();
          this.#skip = length;
          at += FRAME_HEADER_OCTETS;
        } else if (end - at < FRAME_HEADER_OCTETS + length) return this.#hold(room, at, end);
        else {
          this.#frame(room, at, length);
          at += FRAME_HEADER_OCTETS + length;
        }
      }
    }
  }

  // ── frames in pieces ───────────────────────────────────────────────────────────────────────

  #hold(room: Buffer, start: number, end: number): void {
    this.#held ??= Buffer.allocUnsafeSlow(256);
    this.#growHeld(end - start);
    room.copy(this.#held, 0, start, end);
    this.#heldLength = end - start;
  }

  #growHeld(octets: number): void {
    if (octets <= this.#held!.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(octets, this.#held!.length * 2));
    this.#held!.copy(larger, 0, 0, this.#heldLength);
    this.#held = larger;
  }

  /** Adds to the frame that is held what is there of it. @returns index after what was used */
  #complete(room: Buffer, at: number, end: number): number {
    let held = this.#held!;
    while (this.#heldLength < FRAME_HEADER_OCTETS && at < end) {
      held[this.#heldLength++] = room[at++]!;
      if (this.#heldLength < FRAME_HEADER_OCTETS) continue;
      // Only now its size is known, and may be refused.
      this.#checkHeader(held, 0);
      const type = held[3]!;
      if (type === FrameType.data) {
        this.#heldLength = 0;
        // At least its header is used; a length of padding may have to be waited for.
        this.#beginData(held, 0, FRAME_HEADER_OCTETS);
        return at;
      }
      if (!isKnown(type)) {
        this.#taker.onUnknown();
        this.#skip = length24(held, 0);
        this.#heldLength = 0;
        return at;
      }
    }
    if (this.#heldLength < FRAME_HEADER_OCTETS) return at;
    const length = length24(held, 0);
    const wanted = FRAME_HEADER_OCTETS + length - this.#heldLength;
    const taken = Math.min(wanted, end - at);
    this.#growHeld(this.#heldLength + taken);
    held = this.#held!;
    room.copy(held, this.#heldLength, at, at + taken);
    this.#heldLength += taken;
    if (taken < wanted) return end;
    this.#heldLength = 0;
    // A connection that rests keeps no large buffer.
    if (held.length > 1024) this.#held = null;
    this.#frame(held, 0, length);
    return at + taken;
  }

  /** What can be said of a frame by its header. @returns the length of its payload */
  #checkHeader(octets: Buffer, at: number): number {
    const length = length24(octets, at);
    const type = octets[at + 3]!;
    const streamId = word31(octets, at + 5);
    if (length > this.#limits.frameOctets)
      throw new ConnectionError(ErrorCode.frameSize, `a frame of ${length} octets (RFC 9113 §4.2)`);
    if (this.#blockStream !== 0) {
      if (type !== FrameType.continuation || streamId !== this.#blockStream)
        throw protocolError("a frame between HEADERS and its CONTINUATION (RFC 9113 §6.2)");
    } else if (type === FrameType.continuation)
      throw protocolError("CONTINUATION without HEADERS before it (RFC 9113 §6.10)");
    switch (type) {
      case FrameType.data:
      case FrameType.headers:
      case FrameType.pushPromise:
        if (streamId === 0) throw onStreamZero(type);
        if ((octets[at + 4]! & Flag.padded) !== 0 && length === 0) throw badSize(type, length);
        break;
      case FrameType.priority:
        // RFC 9113 §6.3 would have the stream end; a size that is wrong is rarely the last thing wrong.
        if (streamId === 0) throw onStreamZero(type);
        if (length !== 5) throw badSize(type, length);
        break;
      case FrameType.resetStream:
        if (streamId === 0) throw onStreamZero(type);
        if (length !== 4) throw badSize(type, length);
        break;
      case FrameType.windowUpdate:
        if (length !== 4) throw badSize(type, length);
        break;
      case FrameType.settings:
        if (streamId !== 0) throw onStream(type);
        if (length % 6 !== 0 || ((octets[at + 4]! & Flag.ack) !== 0 && length !== 0)) throw badSize(type, length);
        break;
      case FrameType.ping:
        if (streamId !== 0) throw onStream(type);
        if (length !== 8) throw badSize(type, length);
        break;
      case FrameType.goAway:
        if (streamId !== 0) throw onStream(type);
        if (length < 8) throw badSize(type, length);
        break;
      case FrameType.priorityUpdate:
        if (streamId !== 0) throw onStream(type);
        if (length < 4) throw badSize(type, length);
        break;
    }
    return length;
  }

  // ── content ────────────────────────────────────────────────────────────────────────────────

  /** @returns index after its header, and after the length of its padding if that is there */
  #beginData(octets: Buffer, at: number, end: number): number {
    const length = length24(octets, at);
    const flags = octets[at + 4]!;
    this.#inData = true;
    this.#dataStream = word31(octets, at + 5);
    this.#dataEndsStream = (flags & Flag.endStream) !== 0;
    this.#dataLeft = length;
    this.#padding = (flags & Flag.padded) !== 0 ? UNKNOWN_PADDING : 0;
    this.#taker.onDataBegin(this.#dataStream, length);
    at += FRAME_HEADER_OCTETS;
    // A frame of no octets ends here: nothing may follow that would end it.
    if (length === 0) this.#endData();
    return at < end ? this.#content(octets, at, end) : at;
  }

  #content(room: Buffer, at: number, end: number): number {
    if (!this.#inData) return at;
    if (this.#padding === UNKNOWN_PADDING) {
      this.#padding = room[at++]!;
      this.#dataLeft--;
      if (this.#padding > this.#dataLeft) throw protocolError("more padding than payload (RFC 9113 §6.1)");
      this.#dataLeft -= this.#padding;
    }
    const length = Math.min(this.#dataLeft, end - at);
    if (length > 0) {
      this.#dataLeft -= length;
      this.#taker.onData(this.#dataStream, room.subarray(at, at + length));
      at += length;
    }
    if (this.#dataLeft === 0) this.#endData();
    return at;
  }

  #endData(): void {
    this.#inData = false;
    this.#skip = this.#padding;
    this.#taker.onDataEnd(this.#dataStream, this.#dataEndsStream);
  }

  // ── other frames ───────────────────────────────────────────────────────────────────────────

  #frame(octets: Buffer, at: number, length: number): void {
    const type = octets[at + 3]!;
    const flags = octets[at + 4]!;
    const streamId = word31(octets, at + 5);
    const start = at + FRAME_HEADER_OCTETS;
    const taker = this.#taker;
    switch (type) {
      case FrameType.headers:
        return this.#headers(octets, start, start + length, flags, streamId);
      case FrameType.continuation:
        return this.#continuation(octets, start, start + length, flags);
      case FrameType.priority:
        return taker.onPriority(streamId, word31(octets, start));
      case FrameType.resetStream:
        return taker.onResetStream(streamId, word32(octets, start));
      case FrameType.settings:
        if ((flags & Flag.ack) !== 0) return taker.onSettingsAck();
        return taker.onSettings(octets, start, start + length);
      case FrameType.pushPromise:
        return taker.onPushPromise();
      case FrameType.ping:
        return taker.onPing((flags & Flag.ack) !== 0, octets, start);
      case FrameType.goAway:
        return taker.onGoAway(
          word31(octets, start),
          word32(octets, start + 4),
          octets.latin1Slice(start + 8, Math.min(start + length, start + 208)),
        );
      case FrameType.windowUpdate:
        return taker.onWindowUpdate(streamId, word31(octets, start));
      case FrameType.priorityUpdate:
        return taker.onPriorityUpdate(word31(octets, start), octets.latin1Slice(start + 4, start + length));
    }
  }

  #headers(octets: Buffer, start: number, end: number, flags: number, streamId: number): void {
    let dependsOn = -1;
    const padding = (flags & Flag.padded) !== 0 ? octets[start++]! : 0;
    if ((flags & Flag.priority) !== 0) {
      if (end - start < 5) throw badSize(FrameType.headers, end - start);
      dependsOn = word31(octets, start);
      start += 5;
    }
    end -= padding;
    if (end < start) throw protocolError("more padding than payload (RFC 9113 §6.2)");
    const endStream = (flags & Flag.endStream) !== 0;
    this.#checkBlock(end - start);
    if ((flags & Flag.endHeaders) !== 0)
      return this.#taker.onFieldBlock(streamId, endStream, octets, start, end, dependsOn);
    this.#blockStream = streamId;
    this.#blockEndsStream = endStream;
    this.#blockDependsOn = dependsOn;
    this.#blockLength = 0;
    this.#continuations = 0;
    this.#addToBlock(octets, start, end);
    this.#taker.onFieldBlockBegin();
  }

  #continuation(octets: Buffer, start: number, end: number, flags: number): void {
    if (++this.#continuations > this.#limits.continuations)
      throw calmDown(`a head of more than ${this.#limits.continuations} CONTINUATION frames`);
    this.#checkBlock(this.#blockLength + end - start);
    this.#addToBlock(octets, start, end);
    if ((flags & Flag.endHeaders) === 0) return;
    const block = this.#block!;
    const streamId = this.#blockStream;
    this.#block = null;
    this.#blockStream = 0;
    this.#taker.onFieldBlock(streamId, this.#blockEndsStream, block, 0, this.#blockLength, this.#blockDependsOn);
  }

  #checkBlock(octets: number): void {
    if (octets <= this.#limits.blockOctets) return;
    throw calmDown(`a field block of more than ${this.#limits.blockOctets} octets`);
  }

  #addToBlock(octets: Buffer, start: number, end: number): void {
    const needed = this.#blockLength + end - start;
    if (this.#block === null || needed > this.#block.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(needed * 2, 1024), this.#limits.blockOctets));
      this.#block?.copy(larger, 0, 0, this.#blockLength);
      this.#block = larger;
    }
    octets.copy(this.#block, this.#blockLength, start, end);
    this.#blockLength = needed;
  }
}

/** The octet that says how much there is has not come. */
const UNKNOWN_PADDING = -1;

const isKnown = (type: number): boolean => type <= FrameType.continuation || type === FrameType.priorityUpdate;

const length24 = (octets: Uint8Array, at: number): number =>
  (octets[at]! << 16) | (octets[at + 1]! << 8) | octets[at + 2]!;

/** The reserved bit is ignored (RFC 9113 §4.1). */
const word31 = (octets: Uint8Array, at: number): number =>
  ((octets[at]! << 24) | (octets[at + 1]! << 16) | (octets[at + 2]! << 8) | octets[at + 3]!) & MAX_STREAM_ID;

const word32 = (octets: Uint8Array, at: number): number =>
  ((octets[at]! << 24) | (octets[at + 1]! << 16) | (octets[at + 2]! << 8) | octets[at + 3]!) >>> 0;

const protocolError = (message: string): ConnectionError => new ConnectionError(ErrorCode.protocol, message);
const calmDown = (message: string): ConnectionError => new ConnectionError(ErrorCode.enhanceYourCalm, message);

const frameName = (type: number): string =>
  Object.entries(FrameType).find(([, number]) => number === type)?.[0] ?? `type ${type}`;

const onStreamZero = (type: number): ConnectionError => protocolError(`${frameName(type)} on stream 0 (RFC 9113 §6)`);
const onStream = (type: number): ConnectionError => protocolError(`${frameName(type)} on a stream (RFC 9113 §6)`);
const badSize = (type: number, length: number): ConnectionError =>
  new ConnectionError(ErrorCode.frameSize, `${frameName(type)} of ${length} octets (RFC 9113 §6)`);

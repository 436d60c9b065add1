/**
 * The content of a message on its way out: a sink that writes DATA frames as the windows of the
 * stream and of the connection allow (RFC 9113 §6.1, §6.9). What does not fit is kept, its source is
 * paused, and resumed when all of it has left. So a stream keeps one piece at most: what its source
 * had already read.
 */
import { Failure } from "../../base/failure.ts";
import { Timer, type TimerList } from "../../base/timer.ts";
import type { BodySink, Flow } from "../../http/body.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { OutgoingOwner } from "../outgoing-owner.ts";
import { NOT_RELAYED } from "./fields.ts";
import type { Link } from "./link.ts";
import { OctetQueue } from "./octet-queue.ts";
import { NO_PRIORITY, type Priority } from "./priority.ts";
import type { InLine } from "./send-line.ts";

/** Frames larger than this would let one stream hold up the others. */
const MOST_FRAME_OCTETS = 16_384;

/** The end of a message (RFC 9113 §8.1). */
export function writeTrailers(link: Link, streamId: number, trailers: FieldSection): void {
  const { out, encoder, connection, peer } = link;
  out.use(connection);
  const at = out.beginHeaders(streamId);
  encoder.begin(out);
  trailers.eachLine(encoder, NOT_RELAYED);
  out.endHeaders(at, streamId, true, peer.maxFrameOctets);
}

export class OutgoingContent implements BodySink, InLine {
  isInLine = false;
  readonly streamId: number;
  readonly #link: Link;
  #priority = NO_PRIORITY;
  readonly #owner: OutgoingOwner;
  readonly #stallTime: TimerList | null;
  /** What we may still send on this stream; below 0 after the peer made its windows smaller (RFC 9113 §6.9.2). */
  #window: number;
  #queue: OctetQueue | null = null;
  #flow: Flow | null = null;
  #isPaused = false;
  #isOver = false;
  /** The source is through: what is queued is the rest. */
  #hasEnded = false;
  #trailers: FieldSection | null = null;
  /** Octets still to come of a declared length; -1: nobody knows. */
  #left = -1;
  /** Where the last frame of this stream begins in the output, and whether it is still there. */
  #frameAt = -1;
  #frameGeneration = -1;
  #stall: Timer | null = null;
  /** Octets that the client had taken of the connection when the wait began. */
  #takenBefore = 0;

  constructor(link: Link, streamId: number, stallTime: TimerList | null, owner: OutgoingOwner) {
    this.#link = link;
    this.streamId = streamId;
    this.#stallTime = stallTime;
    this.#owner = owner;
    this.#window = link.peer.initialWindowOctets;
  }

  /** Octets kept since the windows are full. */
  get queued(): number {
    return this.#queue === null ? 0 : this.#queue.length;
  }

  get priority(): Priority {
    return this.#priority;
  }

  set priority(priority: Priority) {
    if (priority === this.#priority) return;
    const { line } = this.#link;
    const { isInLine } = this;
    line.remove(this);
    this.#priority = priority;
    if (isInLine) line.add(this);
  }

  /** The head is written: content follows. @param frameAt where it begins in the output */
  follow(frameAt: number, length: number | null): void {
    this.#frameAt = frameAt;
    this.#frameGeneration = this.#link.out.generation;
    this.#left = length ?? -1;
  }

  /** The stream is gone, or nobody wants the rest. */
  stop(why: Failure | null): void {
    if (this.#isOver) return;
    this.#close();
    const flow = this.#flow;
    this.#flow = null;
    if (why !== null) flow?.cancel(why);
  }

  #close(): void {
    this.#isOver = true;
    this.#link.line.remove(this);
    this.#stall?.cancel();
    this.#queue?.clear();
    this.#queue = null;
  }

  // ── what the source does ───────────────────────────────────────────────────────────────────

  begin(flow: Flow): void {
    this.#flow = flow;
    // Before anything is read: a client without a window costs nothing.
    if (this.#window <= 0 || this.#link.isBusy) this.#wait();
  }

  write(octets: Uint8Array): void {
    const { length } = octets;
    if (this.#isOver || length === 0) return;
    this.#owner.onContentPassing(length);
    if (this.#left >= 0) {
      if (length > this.#left) return this.#overrun(length);
      this.#left -= length;
    }
    let at = 0;
    if (this.#queue === null && !this.#link.isBusy) {
      while (at < length) {
        const sent = this.#send(octets, at, length - at);
        if (sent === 0) break;
        at += sent;
      }
    }
    if (at < length) {
      this.#queue ??= new OctetQueue();
      this.#queue.push(octets, at);
    }
    if (at < length || this.#window <= 0 || this.#link.isBusy) this.#wait();
  }

  end(trailers: FieldSection | null): void {
    this.#flow = null;
    if (this.#isOver) return;
    if (this.#left > 0) {
      this.abort(new Failure("internal", `content ended ${this.#left} octets before its declared length`));
      return;
    }
    this.#hasEnded = true;
    this.#trailers = trailers;
    if (this.#queue === null) this.#finish();
  }

  abort(why: Failure): void {
    this.#flow = null;
    if (this.#isOver) return;
    this.#close();
    this.#owner.onContentCut(why);
  }

  #overrun(octets: number): void {
    const failure = new Failure("internal", `content is ${octets} octets or more longer than its declared length`);
    this.#flow?.cancel(failure);
    this.abort(failure);
  }

  // ── frames ─────────────────────────────────────────────────────────────────────────────────

  /** Writes one frame. @returns octets sent, 0 if a window is used up or the kernel takes no more */
  #send(octets: Uint8Array, from: number, length: number): number {
    const link = this.#link;
    const most = Math.min(length, this.#window, link.sendWindow, MOST_FRAME_OCTETS);
    if (most <= 0 || link.connection.full) return 0;
    const { out } = link;
    out.use(link.connection);
    this.#frameAt = out.data(this.streamId, octets, from, most, false);
    this.#frameGeneration = out.generation;
    this.#window -= most;
    link.sendWindow -= most;
    link.contentOctets += most;
    if (most === length) link.contentMessages++;
    return most;
  }

  /** Everything has left but the end of the stream. */
  #finish(): void {
    const link = this.#link;
    const { out } = link;
    const trailers = this.#trailers;
    this.#close();
    out.use(link.connection);
    if (trailers !== null && trailers.size > 0) writeTrailers(link, this.streamId, trailers);
    else if (this.#frameGeneration === out.generation) out.endStream(this.#frameAt);
    else out.data(this.streamId, EMPTY, 0, 0, true);
    this.#owner.onContentSent(trailers);
  }

  /** Pauses the source until it is this stream's turn. */
  #wait(): void {
    if (!this.#isPaused) {
      this.#isPaused = true;
      this.#flow?.pause();
    }
    if (this.#window > 0) this.#link.line.add(this);
    if (this.#stallTime === null) return;
    this.#stall ??= new Timer(() => this.#stalled());
    if (!this.#stall.armed) this.#armStall();
  }

  #armStall(): void {
    this.#takenBefore = this.#taken;
    this.#stall!.arm(this.#stallTime!);
  }

  /** Octets of the connection that the kernel has taken. */
  get #taken(): number {
    const { octetsOut, unsent } = this.#link.connection;
    return octetsOut - unsent;
  }

  #stalled(): void {
    // It waits for its turn, and those before it get on.
    if (this.isInLine && this.#taken > this.#takenBefore) this.#armStall();
    else this.#owner.onSendStalled();
  }

  takeTurn(): boolean {
    if (this.#isOver) return false;
    const queue = this.#queue;
    if (queue !== null) {
      const octets = queue.first(MOST_FRAME_OCTETS);
      const sent = this.#send(octets, 0, octets.length);
      if (sent > 0 && this.#stall?.armed) this.#armStall();
      queue.shift(sent);
      if (queue.length > 0) return this.#window > 0;
      this.#queue = null;
      if (this.#hasEnded) {
        this.#finish();
        return false;
      }
    }
    if (this.#window <= 0) return false;
    this.#stall?.cancel();
    this.#isPaused = false;
    this.#flow?.resume();
    return false;
  }

  /** The peer gives room on this stream, or takes it back. @returns false if its window would be too large (RFC 9113 §6.9.1) */
  addWindow(octets: number): boolean {
    const before = this.#window;
    this.#window += octets;
    if (this.#window > 2 ** 31 - 1) return false;
    if (before <= 0 && this.#window > 0 && this.#isPaused && !this.#isOver) this.#link.line.add(this);
    return true;
  }
}

const EMPTY = new Uint8Array(0);

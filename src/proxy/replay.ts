/**
 * Request content that can be sent again: what passes is kept while it fits, so that another attempt
 * gets the same octets. Nothing waits for it: the first attempt streams as if it were not there.
 *
 * While no attempt takes the content, or one is still being given what was kept, the source is
 * paused. What it had read already is kept whatever the bound: at most one read. Beyond the bound
 * the rest only passes, and the content cannot be sent again.
 */
import type { Failure } from "../base/failure.ts";
import type { BodySink, BodySource, Flow } from "../http/body.ts";
import type { FieldSection } from "../http/field-section.ts";

/** What is sent again goes in pieces, so that a full endpoint can say so in between. */
const PIECE_OCTETS = 64 * 1024;
const FIRST_ROOM_OCTETS = 2048;
const NOTHING = Buffer.alloc(0);

export class ReplayBody implements BodySource, BodySink, Flow {
  readonly length: number | null;
  readonly #source: BodySource;
  readonly #maxOctets: number;

  /** False once something is gone for good, or nobody will ask for it again. */
  #keeping = true;
  #room: Buffer = NOTHING;
  #kept = 0;
  /** Of what is kept, the sink has so much. */
  #sent = 0;

  #sink: BodySink | null = null;
  #sinkIsFull = false;

  /** Octets went to the sink since somebody asked. */
  #moved = false;
  /** Called when the sink has it all. */
  whenDelivered: (() => void) | null = null;

  #flow: Flow | null = null;
  #sourceIsPaused = false;
  #ended = false;
  #trailers: FieldSection | null = null;
  #failure: Failure | null = null;

  /** @param maxOctets kept at most */
  constructor(source: BodySource, maxOctets: number) {
    this.length = source.length;
    this.#source = source;
    this.#maxOctets = maxOctets;
  }

  get canBeSentAgain(): boolean {
    return this.#keeping;
  }

  /** All of it, and its end, was given to the sink. */
  get isDelivered(): boolean {
    return this.#ended && this.#sink === null;
  }

  /** Is it not the sink that the content waits for? It is if it took nothing since this was asked last, and is full. */
  isMoving(): boolean {
    const moved = this.#moved;
    this.#moved = false;
    if (this.#sink === null || this.isDelivered) return false;
    return moved || (!this.#sinkIsFull && this.#sent === this.#kept);
  }

  // ── the source of an attempt ───────────────────────────────────────────────────────────────

  /** May be called again after `detach`, while `canBeSentAgain`. */
  sendTo(sink: BodySink): void {
    this.#sink = sink;
    this.#sinkIsFull = false;
    this.#sent = 0;
    sink.begin(this);
    if (this.#sink !== sink) return;
    if (this.#flow === null) this.#source.sendTo(this);
    else this.#deliver();
  }

  pause(): void {
    this.#sinkIsFull = true;
    this.#pauseSource();
  }

  resume(): void {
    this.#sinkIsFull = false;
    if (this.#sink !== null) this.#deliver();
  }

  /** The attempt is over; there may be another. */
  cancel(why: Failure): void {
    this.detach();
    if (!this.#keeping) this.release(why);
  }

  // ── for whoever makes the attempts ─────────────────────────────────────────────────────────

  /** The attempt that took the content does not any more. The source waits for the next. */
  detach(): void {
    this.#sink = null;
    this.whenDelivered = null;
    this.#pauseSource();
  }

  /** The attempt that has it is the last: nothing is kept from now on. */
  commit(): void {
    this.#keeping = false;
    this.whenDelivered = null;
    if (this.#sent === this.#kept) this.#forget();
  }

  /** There is no further attempt: the rest is not wanted. */
  release(why: Failure): void {
    this.#keeping = false;
    this.#sink = null;
    this.whenDelivered = null;
    this.#forget();
    const flow = this.#flow;
    if (flow === null || this.#ended || this.#failure !== null) return;
    this.#ended = true;
    flow.cancel(why);
  }

  // ── the sink of the source ─────────────────────────────────────────────────────────────────

  begin(flow: Flow): void {
    this.#flow = flow;
    if (this.#sinkIsFull) this.#pauseSource();
  }

  write(octets: Uint8Array): void {
    const sink = this.#sink;
    if (sink === null || this.#sent < this.#kept) return this.#keep(octets);
    if (this.#keeping) {
      if (this.#kept + octets.length <= this.#maxOctets) {
        this.#keep(octets);
        this.#sent = this.#kept;
      } else {
        this.#keeping = false;
        this.#forget();
      }
    }
    this.#moved = true;
    sink.write(octets);
  }

  end(trailers: FieldSection | null): void {
    this.#ended = true;
    this.#trailers = trailers;
    if (this.#sink !== null && this.#sent === this.#kept) this.#finish(this.#sink);
  }

  /** Cut: what was kept is of no use to anybody. */
  abort(why: Failure): void {
    this.#failure = why;
    const sink = this.#sink;
    this.#sink = null;
    sink?.abort(why);
  }

  #deliver(): void {
    const sink = this.#sink!;
    while (this.#sent < this.#kept) {
      if (this.#sinkIsFull) return;
      const from = this.#sent;
      this.#sent = Math.min(this.#kept, from + PIECE_OCTETS);
      this.#moved = true;
      sink.write(this.#room.subarray(from, this.#sent));
      if (this.#sink !== sink) return;
    }
    if (this.#kept > this.#maxOctets) this.#keeping = false;
    if (!this.#keeping) this.#forget();
    if (this.#ended || this.#failure !== null) this.#finish(sink);
    else if (!this.#sinkIsFull) this.#resumeSource();
  }

  #finish(sink: BodySink): void {
    this.#sink = null;
    if (this.#failure !== null) return sink.abort(this.#failure);
    sink.end(this.#trailers);
    this.whenDelivered?.();
  }

  #keep(octets: Uint8Array): void {
    const needed = this.#kept + octets.length;
    if (needed > this.#room.length) {
      const guess = this.length ?? Math.min(Math.max(FIRST_ROOM_OCTETS, this.#room.length * 2), this.#maxOctets);
      const room = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(guess, this.#maxOctets)));
      room.set(this.#room.subarray(0, this.#kept));
      this.#room = room;
    }
    this.#room.set(octets, this.#kept);
    this.#kept = needed;
  }

  #forget(): void {
    this.#room = NOTHING;
    this.#kept = 0;
    this.#sent = 0;
  }

  #pauseSource(): void {
    if (this.#sourceIsPaused || this.#flow === null || this.#ended) return;
    this.#sourceIsPaused = true;
    this.#flow.pause();
  }

  #resumeSource(): void {
    if (!this.#sourceIsPaused) return;
    this.#sourceIsPaused = false;
    this.#flow!.resume();
  }
}

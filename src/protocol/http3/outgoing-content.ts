/**
 * The content of a response on its way out: a sink that gives the runtime what it takes, which is what the
 * client's windows and the network allow. What does not fit is kept, its source is paused, and resumed
 * when all of it has left. So a stream keeps one piece at most: what its source had already read.
 */
import { Failure } from "../../base/failure.ts";
import { Timer, type TimerList } from "../../base/timer.ts";
import type { BodySink, Flow } from "../../http/body.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { RequestStream } from "../../net/quic-runtime.ts";
import { OctetQueue } from "../http2/octet-queue.ts";
import type { OutgoingOwner } from "../outgoing-owner.ts";
import { trailerFields } from "./response-fields.ts";

const PIECE_OCTETS = 65_536;

export class OutgoingStreamContent implements BodySink {
  readonly #stream: RequestStream;
  readonly #owner: OutgoingOwner;
  readonly #stallTime: TimerList | null;
  #queue: OctetQueue | null = null;
  #flow: Flow | null = null;
  /** The stream is full: it is written to again when it says that it has room. */
  #isWaiting = false;
  #isOver = false;
  #hasEnded = false;
  #trailers: FieldSection | null = null;
  /** Octets still to come of a declared length; -1: nobody knows. */
  #left = -1;
  #stall: Timer | null = null;

  constructor(stream: RequestStream, stallTime: TimerList | null, owner: OutgoingOwner) {
    this.#stream = stream;
    this.#stallTime = stallTime;
    this.#owner = owner;
  }

  /** The head is written: content follows. */
  follow(length: number | null): void {
    this.#left = length ?? -1;
  }

  /** The stream is gone, or nobody wants the rest. */
  stop(why: Failure): void {
    if (this.#isOver) return;
    this.#close();
    const flow = this.#flow;
    this.#flow = null;
    flow?.cancel(why);
  }

  #close(): void {
    this.#isOver = true;
    this.#stall?.cancel();
    this.#queue?.clear();
    this.#queue = null;
  }

  begin(flow: Flow): void {
    this.#flow = flow;
  }

  write(octets: Uint8Array): void {
    const { length } = octets;
    if (this.#isOver || length === 0) return;
    this.#owner.onContentPassing(length);
    if (this.#left >= 0) {
      if (length > this.#left) return this.#overrun(length);
      this.#left -= length;
    }
    if (this.#isWaiting || !this.#stream.write(octets)) {
      this.#queue ??= new OctetQueue();
      this.#queue.push(octets);
    }
    if (!this.#isWaiting && !this.#stream.hasRoom) this.#wait();
  }

  end(trailers: FieldSection | null): void {
    this.#flow = null;
    if (this.#isOver) return;
    if (this.#left > 0) {
      // The client would take the whole session for broken (RFC 9114 §4.1.2).
      this.abort(new Failure("internal", `content ended ${this.#left} octets before its declared length`));
      return;
    }
    this.#hasEnded = true;
    this.#trailers = trailers;
    if (!this.#isWaiting) this.#finish();
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

  #finish(): void {
    this.#close();
    const trailers = this.#trailers;
    this.#stream.end(trailers === null || trailers.size === 0 ? null : trailerFields(trailers));
    this.#owner.onContentSent(trailers);
  }

  #wait(): void {
    this.#isWaiting = true;
    this.#flow?.pause();
    if (this.#isOver) return;
    if (this.#stallTime !== null) {
      this.#stall ??= new Timer(() => this.#owner.onSendStalled());
      this.#stall.arm(this.#stallTime);
    }
    this.#stream.awaitRoom();
  }

  /** The stream takes something again. */
  onRoom(): void {
    if (this.#isOver || !this.#isWaiting) return;
    this.#stall?.cancel();
    const queue = this.#queue;
    while (queue !== null && queue.length > 0 && this.#stream.hasRoom) {
      const octets = queue.first(PIECE_OCTETS);
      if (!this.#stream.write(octets)) break;
      queue.shift(octets.length);
    }
    if (queue !== null && queue.length > 0) return this.#wait();
    this.#queue = null;
    if (this.#hasEnded && this.#stream.hasRoom) {
      this.#isWaiting = false;
      return this.#finish();
    }
    if (!this.#stream.hasRoom) return this.#wait();
    this.#isWaiting = false;
    this.#flow?.resume();
  }
}

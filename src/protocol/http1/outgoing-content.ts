/**
 * The content of a response on its way out: a sink that frames what it is given. It pauses its source while the
 * client is full, says when a client has taken nothing for too long, and sees to it that a message has the length
 * that its head declared, or looks cut. There is one per connection, for one response after the other.
 */
import { Failure } from "../../base/failure.ts";
import { Timer, type TimerList } from "../../base/timer.ts";
import type { BodySink, Flow, UnseenOctets } from "../../http/body.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { Connection } from "../../net/connection.ts";
import type { OutgoingOwner } from "../outgoing-owner.ts";
import type { ResponseEncoder } from "./response-encoder.ts";

export class OutgoingContent implements BodySink {
  readonly #connection: Connection;
  readonly #encoder: ResponseEncoder;
  readonly #stallTime: TimerList | null;
  readonly #owner: OutgoingOwner;
  #flow: Flow | null = null;
  #isOver = true;
  #takesTrailers = false;
  #stall: Timer | null = null;
  /** Octets that the client had not taken when the wait for it began. */
  #unsent = 0;

  /** @param stallTime how long a client may take nothing; null: as long as it likes */
  constructor(connection: Connection, encoder: ResponseEncoder, stallTime: TimerList | null, owner: OutgoingOwner) {
    this.#connection = connection;
    this.#encoder = encoder;
    this.#stallTime = stallTime;
    this.#owner = owner;
  }

  /** The encoder has written a head: content follows. */
  follow(takesTrailers: boolean): void {
    this.#isOver = false;
    this.#takesTrailers = takesTrailers;
  }

  /** Takes nothing more, whatever the source does. */
  close(): void {
    this.#isOver = true;
    this.#stall?.cancel();
  }

  /** Tells the source that nobody wants the rest. */
  stop(why: Failure): void {
    this.close();
    const flow = this.#flow;
    this.#flow = null;
    flow?.cancel(why);
  }

  begin(flow: Flow): void {
    this.#flow = flow;
    if (this.#connection.full) this.#wait();
  }

  write(octets: Uint8Array): void {
    const { length } = octets;
    if (this.#isOver || length === 0) return;
    this.#owner.onContentPassing(length);
    if (!this.#encoder.write(octets)) return this.#overrun(length);
    if (this.#connection.full) this.#wait();
  }

  get takesUnseen(): boolean {
    return this.#connection.takesUnseen !== false;
  }

  writeUnseen(octets: UnseenOctets): void {
    if (this.#isOver) return;
    this.#owner.onContentPassing(octets.length);
    if (!this.#encoder.writeUnseen(octets)) return this.#overrun(octets.length);
    if (this.#connection.full) this.#wait();
  }

  end(trailers: FieldSection | null): void {
    this.#flow = null;
    if (this.#isOver) return;
    const { missing } = this.#encoder;
    if (missing > 0) {
      this.abort(new Failure("internal", `content ended ${missing} octets before its declared length`));
      return;
    }
    this.#encoder.end(this.#takesTrailers ? trailers : null);
    this.close();
    this.#owner.onContentSent(trailers);
  }

  abort(why: Failure): void {
    this.#flow = null;
    if (this.#isOver) return;
    this.close();
    this.#owner.onContentCut(why);
  }

  #overrun(octets: number): void {
    const failure = new Failure("internal", `content is ${octets} octets or more longer than its declared length`);
    this.#flow?.cancel(failure);
    this.abort(failure);
  }

  // ── a client that is full ──────────────────────────────────────────────────────────────────

  #wait(): void {
    this.#flow?.pause();
    if (this.#stallTime === null) return;
    this.#stall ??= new Timer(() => this.#stalled());
    this.#unsent = this.#connection.unsent;
    this.#stall.arm(this.#stallTime);
  }

  /** The client takes something again. */
  onRoom(): void {
    this.#stall?.cancel();
    this.#flow?.resume();
  }

  #stalled(): void {
    if (this.#connection.unsent < this.#unsent) this.#wait();
    else this.#owner.onSendStalled();
  }
}

/**
 * The content of a message on its way in: DATA of one stream, its window, and what waits while
 * nobody takes it. A taker that pauses withholds the stream's window, so that no more than a window
 * of octets is ever kept for it (RFC 9113 §5.2).
 */
import type { Failure } from "../../base/failure.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { type ContentOwner, IncomingContent } from "../incoming-content.ts";
import type { Link } from "./link.ts";
import { OctetQueue } from "./octet-queue.ts";
import type { ReceiveWindow } from "./receive-window.ts";

export class IncomingData implements ContentOwner {
  readonly content: IncomingContent;
  readonly window: ReceiveWindow;
  readonly #link: Link;
  readonly #streamId: number;
  /** Hears what becomes of the content; for its time limits. */
  readonly #owner: ContentOwner;
  #queue: OctetQueue | null = null;
  #isDropped = false;
  /** The last frame is here: no more window is needed. */
  #hasEnded = false;
  #trailers: FieldSection | null = null;
  #isDelivering = false;

  /** @param length octets if declared, else null */
  constructor(link: Link, streamId: number, window: ReceiveWindow, length: number | null, owner: ContentOwner) {
    this.#link = link;
    this.#streamId = streamId;
    this.window = window;
    this.#owner = owner;
    this.content = new IncomingContent(this, length);
  }

  /** Nothing of it is still to come, or to be taken. */
  get isDelivered(): boolean {
    return this.#hasEnded && this.#queue === null;
  }

  /** Octets arrived; they are borrowed. */
  arrive(octets: Uint8Array): void {
    if (this.#isDropped) this.#link.took(octets.length);
    else if (this.#queue !== null || this.content.stopped) {
      this.#queue ??= new OctetQueue();
      this.#queue.push(octets);
    } else this.#deliver(octets);
  }

  /** Octets of padding: nobody takes them. */
  arrivePadding(octets: number): void {
    this.#link.took(octets);
    this.#update(octets);
  }

  /** The last frame was there. */
  end(trailers: FieldSection | null): void {
    this.#hasEnded = true;
    this.#trailers = trailers;
    if (this.#queue === null) this.content.complete(trailers);
  }

  /** The stream ends before its content does. */
  stop(why: Failure): void {
    this.#drop();
    this.content.stop(why);
  }

  #drop(): void {
    this.#isDropped = true;
    const queue = this.#queue;
    this.#queue = null;
    if (queue === null) return;
    this.#link.took(queue.length);
    queue.clear();
  }

  #deliver(octets: Uint8Array): void {
    const { length } = octets;
    this.content.onContent(octets);
    this.#link.took(length);
    this.#update(length);
  }

  /** Gives the stream's window back, as long as somebody takes what comes. */
  #update(octets: number): void {
    const update = this.window.take(
      octets,
      !this.#hasEnded && !this.#isDropped && !this.content.stopped,
      this.#link.roundTripMs,
    );
    if (update === 0) return;
    const { out, connection } = this.#link;
    out.use(connection);
    out.windowUpdate(this.#streamId, update);
  }

  // ── what the taker does ────────────────────────────────────────────────────────────────────

  contentWanted(): void {
    this.#owner.contentWanted();
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    while (this.#queue !== null && !this.content.stopped) {
      const octets = this.#queue.first(65_536);
      this.#queue.shift(octets.length);
      if (this.#queue.length === 0) this.#queue = null;
      this.#deliver(octets);
    }
    this.#isDelivering = false;
    if (this.#queue !== null || this.#isDropped) return;
    if (this.#hasEnded) this.content.complete(this.#trailers);
    else this.#update(0);
  }

  contentPaused(): void {
    this.#owner.contentPaused();
  }

  contentCancelled(why: Failure): void {
    this.#drop();
    this.#owner.contentCancelled(why);
  }
}

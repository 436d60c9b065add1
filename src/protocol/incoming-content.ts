/** Content that a connection decodes, on its way to whoever takes it: a request's, a response's or a tunnel's. */
import type { Failure } from "../base/failure.ts";
import type { BodySink, BodySource, Flow, UnseenOctets } from "../http/body.ts";
import type { FieldSection } from "../http/field-section.ts";
import type { ContentReceiver } from "./http1/content-decoder.ts";

/** What the connection does for its content. */
export interface ContentOwner {
  /** Somebody takes the content from now on, or again after a pause. */
  contentWanted(): void;
  contentPaused(): void;
  /** Nobody wants the rest. */
  contentCancelled(why: Failure): void;
}

export class IncomingContent implements BodySource, Flow, ContentReceiver {
  readonly length: number | null;
  readonly #owner: ContentOwner;
  #sink: BodySink | null = null;
  #paused = false;
  #cancelled = false;
  #ended = false;
  /** How it ended; for a taker that comes after that. */
  #trailers: FieldSection | null = null;
  #failure: Failure | null = null;
  /** Octets decoded so far. */
  octets = 0;

  /** @param length octets if declared, else null */
  constructor(owner: ContentOwner, length: number | null) {
    this.#owner = owner;
    this.length = length;
  }

  /** True while nobody takes the content, or the taker is full. */
  get stopped(): boolean {
    return !this.#cancelled && (this.#sink === null || this.#paused);
  }

  get taken(): boolean {
    return this.#sink !== null;
  }

  sendTo(sink: BodySink): void {
    this.#sink = sink;
    sink.begin(this);
    if (this.#cancelled) return;
    if (!this.#ended) {
      if (!this.#paused) this.#owner.contentWanted();
    } else if (this.#failure !== null) sink.abort(this.#failure);
    else sink.end(this.#trailers);
  }

  /** True if whoever takes the content can take it unseen. */
  get passesUnseen(): boolean {
    const sink = this.#sink;
    return !this.#cancelled && !this.#paused && sink?.writeUnseen !== undefined && sink.takesUnseen !== false;
  }

  onUnseen(octets: UnseenOctets): void {
    this.octets += octets.length;
    if (!this.#cancelled) this.#sink!.writeUnseen!(octets);
  }

  onContent(octets: Uint8Array): void {
    this.octets += octets.length;
    if (!this.#cancelled) this.#sink!.write(octets);
  }

  complete(trailers: FieldSection | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#trailers = trailers;
    if (!this.#cancelled) this.#sink?.end(trailers);
  }

  /** The content ends before it is complete. */
  stop(why: Failure): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = why;
    if (!this.#cancelled) this.#sink?.abort(why);
  }

  pause(): void {
    if (this.#paused || this.#ended) return;
    this.#paused = true;
    this.#owner.contentPaused();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.#ended) this.#owner.contentWanted();
  }

  cancel(why: Failure): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    if (!this.#ended) this.#owner.contentCancelled(why);
  }
}

/**
 * The content of a request on its way in: to its taker at once, or held until there is one, or until it is
 * no longer full.
 */
import type { Failure } from "../../base/failure.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { type ContentOwner, IncomingContent } from "../incoming-content.ts";
import { HeldOctets, type HoldBudget } from "./held-octets.ts";

export class IncomingHeldContent implements ContentOwner {
  readonly content: IncomingContent;
  /** Hears what becomes of the content; for its time limits. */
  readonly #owner: ContentOwner;
  readonly #held: HeldOctets;
  #isDropped = false;
  #hasEnded = false;
  #trailers: FieldSection | null = null;
  #isDelivering = false;

  /** @param length octets if declared, else null */
  constructor(budget: HoldBudget, length: number | null, owner: ContentOwner) {
    this.#held = new HeldOctets(budget);
    this.#owner = owner;
    this.content = new IncomingContent(this, length);
  }

  /** Nothing of it is still to come, or to be taken. */
  get isDelivered(): boolean {
    return this.#hasEnded && this.#held.length === 0;
  }

  /** Octets arrived; they are borrowed. @returns false if there is no room for them */
  arrive(octets: Uint8Array): boolean {
    if (this.#isDropped) return true;
    if (this.#held.length > 0 || this.content.stopped) return this.#held.push(octets);
    this.content.onContent(octets);
    return true;
  }

  /** The last of it has arrived. */
  end(trailers: FieldSection | null): void {
    this.#hasEnded = true;
    this.#trailers = trailers;
    if (this.#held.length > 0) return;
    // There may be a file, for what was held before.
    this.#held.clear();
    this.content.complete(trailers);
  }

  /** The stream ends before its content does. */
  stop(why: Failure): void {
    this.#drop();
    this.content.stop(why);
  }

  #drop(): void {
    this.#isDropped = true;
    this.#held.clear();
  }

  // ── what the taker does ────────────────────────────────────────────────────────────────────

  contentWanted(): void {
    this.#owner.contentWanted();
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    while (this.#held.length > 0 && !this.content.stopped) this.content.onContent(this.#held.take());
    this.#isDelivering = false;
    if (this.#held.length > 0 || this.#isDropped || !this.#hasEnded) return;
    this.#held.clear();
    this.content.complete(this.#trailers);
  }

  contentPaused(): void {
    this.#owner.contentPaused();
  }

  contentCancelled(why: Failure): void {
    this.#drop();
    this.#owner.contentCancelled(why);
  }
}

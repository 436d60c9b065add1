/**
 * What PRIORITY_UPDATE says (RFC 9218 §7.1): of streams that are there at once, of those still to
 * come when they come. Of the latter the last few are kept.
 */
import { NO_PRIORITY, type Priority, readPriority } from "./priority.ts";

/** A client says it of a request that it is just about to send. */
const MOST_KEPT = 64;

interface Prioritized {
  readonly id: number;
  priority: Priority;
}

export class Reprioritized {
  readonly #early = new Map<number, Priority>();

  /** @param stream null: it is still to come */
  update(id: number, stream: Prioritized | null, value: string): void {
    // It takes the place of all that was said (RFC 9218 §7).
    const priority = readPriority(value);
    if (stream !== null) stream.priority = priority;
    else {
      this.#early.delete(id);
      this.#early.set(id, priority);
      if (this.#early.size > MOST_KEPT) this.#early.delete(this.#early.keys().next().value!);
    }
  }

  /** A stream begins. @param value of its Priority field; null: there is none */
  begin(stream: Prioritized, value: string | null): void {
    if (this.#early.size > 0) {
      const early = this.#early.get(stream.id);
      this.#early.delete(stream.id);
      if (early !== undefined) {
        stream.priority = early;
        return;
      }
    }
    if (value !== null) stream.priority = readPriority(value, NO_PRIORITY);
  }
}

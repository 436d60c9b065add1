/**
 * Exchanges that wait for an endpoint with room: first come, first served, bounded in number and time.
 *
 * Room appears when an exchange of this worker ends, which calls `wake`. It also appears when one of
 * another worker ends or a check says that an endpoint is up again, and of that nobody tells us: a
 * queue that is not empty looks by itself every few milliseconds.
 */
import { Chain, Member } from "../base/chain.ts";
import { Timer, type TimerList, timerList } from "../base/timer.ts";
import type { QueueConfig } from "../config/gateway-config.ts";

export interface QueueWaiter {
  /** There may be room: try to pick again. @returns false if there was none after all; it keeps its place */
  onRoom(): boolean;
  /** It has waited as long as it may. */
  onQueueTimeout(): void;
}

const LOOK_EVERY_MS = 5;

export class Queue {
  readonly #capacity: number;
  readonly #timeout: TimerList | null;
  readonly #lookEvery = timerList(LOOK_EVERY_MS)!;
  readonly #look = new Timer(() => this.#lookAgain());
  /** In the order they came. */
  readonly #places = new Chain<Place>();
  #waking = false;

  /** @param workers that share the size; each has room for one at least */
  constructor(config: QueueConfig, workers: number) {
    this.#capacity = config.size === 0 ? 0 : Math.max(1, Math.floor(config.size / workers));
    this.#timeout = timerList(config.timeout);
  }

  /** Exchanges waiting here, in this worker. */
  get waiting(): number {
    return this.#places.size;
  }

  /** @returns what takes the waiter out again, or null if the queue is full */
  add(waiter: QueueWaiter): { cancel(): void } | null {
    if (this.#places.size >= this.#capacity) return null;
    const place = new Place(waiter, this.#places, this.#timeout);
    if (!this.#look.armed) this.#look.arm(this.#lookEvery);
    return place;
  }

  /**
   * An exchange has ended or the endpoints have changed: serves the first as long as there is room.
   * May be called from within `onRoom`; the call on top of the stack goes on then.
   */
  wake(): void {
    if (this.#places.size === 0 || this.#waking) return;
    this.#waking = true;
    try {
      for (let place = this.#places.first; place !== null; place = this.#places.first) {
        if (place.waiter.onRoom()) place.cancel();
        else if (this.#places.has(place)) return;
      }
    } finally {
      this.#waking = false;
    }
  }

  #lookAgain(): void {
    this.wake();
    if (this.#places.size > 0) this.#look.arm(this.#lookEvery);
  }
}

class Place extends Member {
  readonly waiter: QueueWaiter;
  readonly #places: Chain<Place>;
  readonly #deadline: Timer;

  constructor(waiter: QueueWaiter, places: Chain<Place>, timeout: TimerList | null) {
    super();
    this.waiter = waiter;
    this.#places = places;
    this.#deadline = new Timer(() => this.#expire());
    places.add(this);
    if (timeout !== null) this.#deadline.arm(timeout);
  }

  cancel(): void {
    this.#places.delete(this);
    this.#deadline.cancel();
  }

  #expire(): void {
    this.#places.delete(this);
    this.waiter.onQueueTimeout();
  }
}

/**
 * By how much the receive windows of all connections may have grown, taken together. Each could have to be
 * kept whole, should whoever takes the content stop at once: so this is memory, and bounded.
 */
import { queuesAreFull } from "../../net/tcp.ts";

export class GrowthBudget {
  #most: number;
  #used = 0;

  constructor(most: number) {
    this.#most = most;
  }

  set most(octets: number) {
    this.#most = octets;
  }

  get used(): number {
    return this.#used;
  }

  /** Slow peers have more queued than they may: windows had better become smaller. */
  get isTight(): boolean {
    return this.#used > this.#most || queuesAreFull();
  }

  /** @returns false if there is no room for it */
  take(octets: number): boolean {
    if (this.#used + octets > this.#most || queuesAreFull()) return false;
    this.#used += octets;
    return true;
  }

  give(octets: number): void {
    this.#used -= octets;
  }
}

/** Of all connections of the process, whichever side they are. */
export const windowGrowth = new GrowthBudget(64 * 1024 * 1024);

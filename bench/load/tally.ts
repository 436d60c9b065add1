/** What a load generator of ours counts: how many, how long each took, what failed. */
import type { Load } from "./wrk.ts";

/** Microseconds of a bucket; what takes longer than all of them is in the last one. */
const BUCKET = 10;
const BUCKETS = 100_000;

export class Tally {
  requests = 0;
  socketErrors = 0;
  badResponses = 0;
  readonly #startedAt = performance.now();
  readonly #buckets = new Uint32Array(BUCKETS);
  #timed = 0;
  #max = 0;

  /** @param startedAt of `performance.now()` */
  count(startedAt: number): void {
    const ms = performance.now() - startedAt;
    this.requests++;
    this.#timed++;
    this.#max = Math.max(this.#max, ms);
    this.#buckets[Math.min(BUCKETS - 1, Math.floor((ms * 1000) / BUCKET))]!++;
  }

  /** Prints the result and ends the program. */
  report(): never {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const { requests, socketErrors, badResponses } = this;
    const load: Omit<Load, "cpuMicroseconds"> = {
      requests,
      seconds,
      p50: this.#percentile(0.5),
      p99: this.#percentile(0.99),
      max: this.#max,
      socketErrors,
      badResponses,
    };
    process.stdout.write(`${JSON.stringify(load)}\n`);
    process.exit(0);
  }

  /** In ms; 0 where nothing was timed. */
  #percentile(part: number): number {
    let left = Math.ceil(this.#timed * part);
    for (let i = 0; i < BUCKETS && left > 0; i++) {
      left -= this.#buckets[i]!;
      if (left <= 0) return ((i + 1) * BUCKET) / 1000;
    }
    return 0;
  }
}

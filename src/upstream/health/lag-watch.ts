/**
 * Notices that this process was busy or stopped for so long that a check may have failed for that
 * alone: a deadline that passed meanwhile expires before the answer that lies in the kernel is read.
 */
export class LagWatch {
  readonly #beatMs: number;
  readonly #toleratedMs: number;
  readonly #now: () => number;
  #timer: ReturnType<typeof setInterval> | null = null;
  #beatAt = 0;
  #lagEndedAt = Number.NEGATIVE_INFINITY;

  /** @param timeoutMs of the checks: a quarter of it is tolerated */
  constructor(timeoutMs: number, now: () => number) {
    this.#beatMs = Math.min(250, Math.max(10, timeoutMs / 8));
    this.#toleratedMs = timeoutMs / 4;
    this.#now = now;
  }

  start(): void {
    if (this.#timer !== null) return;
    this.#beatAt = this.#now();
    this.#timer = setInterval(() => {
      this.#look();
      this.#beatAt = this.#now();
    }, this.#beatMs);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Was there a lag that had not ended at that time? */
  lagged(since: number): boolean {
    // The timer of a check may expire before the beat that is due: look here too.
    this.#look();
    return this.#lagEndedAt >= since;
  }

  #look(): void {
    const now = this.#now();
    if (this.#timer !== null && now - this.#beatAt > this.#beatMs + this.#toleratedMs) this.#lagEndedAt = now;
  }
}

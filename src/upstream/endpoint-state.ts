/**
 * What all processes of a machine know of one endpoint, in shared memory: whether it may be used,
 * how many exchanges it has, how it has been doing. Anybody may write; everything that more than
 * one process changes goes through `Atomics`.
 */

/** Why an endpoint gets no new exchanges; 0 is usable. */
export const Status = {
  /** Drained by an operator or gone from its provider: bound (sticky) exchanges still reach it. */
  draining: 1,
  /** Disabled by an operator: nothing reaches it. */
  disabled: 2,
  /** Down by its active check. */
  down: 4,
  /** Ejected for a while by what traffic showed. */
  ejected: 8,
  /** Has an active check that has not said anything yet and is to be believed down until then. */
  unchecked: 16,
} as const;

/** Places in the Int32 record. */
const STATUS = 0;
const CONSECUTIVE = 1;
const EJECTIONS = 2;
const WINDOW_REQUESTS = 3;
const WINDOW_FAILURES = 4;
const HEADS_SINCE_CUT = 5;
const WINDOW_ANSWERS = 6;
const ON_TRIAL = 7;
const IN_FLIGHT = 8;

/** Places in the Float64 record; all times are of `machineNow`. */
const EJECTED_UNTIL = 0;
const RAMP_SINCE = 1;
const WINDOW_START = 2;
const LATENCY = 3;
const LATENCY_AT = 4;
const LAST_FAILURE = 5;
const PEAK = 6;
const WINDOW_LOGARITHMS = 7;

/** Time after which what was measured before counts for a third. */
const LATENCY_MEMORY_MS = 10_000;
/** Within one turn of the loop no time passes, and 0 means that nothing is known. */
const LEAST_LATENCY_MS = 0.01;

/** Shorter times count as this. */
const LEAST_TYPICAL_MS = 0.01;

/** Cells of one endpoint: Int32 (with one for each slot) and Float64. */
export const sharedCells = (slots: number): number => IN_FLIGHT + slots;
export const TIME_CELLS = 8;

/** The part of the zone an endpoint needs. */
export interface StateMemory {
  readonly shared: Int32Array;
  readonly times: Float64Array;
  readonly slots: number;
}

/** Memory of one process alone, for tests and benches. */
export const privateMemory = (endpoints = 1, slots = 1): StateMemory => ({
  shared: new Int32Array(endpoints * sharedCells(slots)),
  times: new Float64Array(endpoints * TIME_CELLS),
  slots,
});

export class EndpointState {
  readonly #shared: Int32Array;
  readonly #times: Float64Array;
  readonly #at: number;
  readonly #timesAt: number;
  readonly #slots: number;
  /** This process's cell of exchanges in flight. */
  readonly #own: number;

  /** @param slot of this process */
  constructor(memory: StateMemory, cells: { readonly shared: number; readonly times: number }, slot: number) {
    this.#shared = memory.shared;
    this.#times = memory.times;
    this.#at = cells.shared;
    this.#timesAt = cells.times;
    this.#slots = memory.slots;
    this.#own = cells.shared + IN_FLIGHT + slot;
  }

  /** Bits of `Status`. */
  get status(): number {
    return this.#shared[this.#at + STATUS]!;
  }

  /** @returns true if it was not marked */
  mark(bit: number): boolean {
    return (Atomics.or(this.#shared, this.#at + STATUS, bit) & bit) === 0;
  }

  /** @returns true if it was marked */
  unmark(bit: number): boolean {
    return (Atomics.and(this.#shared, this.#at + STATUS, ~bit) & bit) !== 0;
  }

  /** Exchanges in flight over all workers. */
  get inFlight(): number {
    let sum = 0;
    for (let i = this.#at + IN_FLIGHT, end = i + this.#slots; i < end; i++) sum += this.#shared[i]!;
    return sum;
  }

  /** One more exchange of this process. */
  begin(): void {
    this.#shared[this.#own]!++;
  }

  end(): void {
    this.#shared[this.#own]!--;
  }

  /**
   * One more exchange, if all workers together stay within the limit. Counts first and looks then, so
   * that two at the same time may both step back but never both pass.
   */
  tryBegin(limit: number): boolean {
    Atomics.add(this.#shared, this.#own, 1);
    if (this.inFlight <= limit) return true;
    Atomics.sub(this.#shared, this.#own, 1);
    return false;
  }

  /** What a worker that has died held. */
  clearSlot(slot: number): void {
    Atomics.store(this.#shared, this.#at + IN_FLIGHT + slot, 0);
  }

  /** Everything as for an endpoint never seen before. */
  reset(): void {
    this.#shared.fill(0, this.#at, this.#at + sharedCells(this.#slots));
    this.#times.fill(0, this.#timesAt, this.#timesAt + TIME_CELLS);
  }

  // Failures that traffic showed: written by workers, read by the passive policy.

  get consecutiveFailures(): number {
    return this.#shared[this.#at + CONSECUTIVE]!;
  }

  set consecutiveFailures(inARow: number) {
    this.#shared[this.#at + CONSECUTIVE] = inARow;
  }

  /** @returns how many in a row there are now */
  addFailure(): number {
    return Atomics.add(this.#shared, this.#at + CONSECUTIVE, 1) + 1;
  }

  /** Those in a row; what it was on trial for is over too. */
  clearFailures(): void {
    this.#shared[this.#at + CONSECUTIVE] = 0;
    this.#shared[this.#at + HEADS_SINCE_CUT] = 0;
    this.#shared[this.#at + ON_TRIAL] = 0;
  }

  /** It is back from an ejection and has not answered since, however long that is ago. */
  get isOnTrial(): boolean {
    return this.#shared[this.#at + ON_TRIAL] !== 0;
  }

  putOnTrial(): void {
    this.#shared[this.#at + ON_TRIAL] = 1;
  }

  /**
   * 0: none of the failures in a row is a response that was cut off after its head. Else 1 + the heads
   * that came since: a head proves nothing then, until more have come than can still be cut off.
   */
  get headsSinceCut(): number {
    return this.#shared[this.#at + HEADS_SINCE_CUT]!;
  }

  /** The head of the response that was cut off does not count. */
  addCut(): void {
    const { headsSinceCut } = this;
    this.#shared[this.#at + HEADS_SINCE_CUT] = headsSinceCut > 1 ? headsSinceCut - 1 : 1;
  }

  /** @returns `headsSinceCut` */
  addHeadSinceCut(): number {
    return Atomics.add(this.#shared, this.#at + HEADS_SINCE_CUT, 1) + 1;
  }

  get lastFailureAt(): number {
    return this.#times[this.#timesAt + LAST_FAILURE]!;
  }

  set lastFailureAt(now: number) {
    this.#times[this.#timesAt + LAST_FAILURE] = now;
  }

  get windowStart(): number {
    return this.#times[this.#timesAt + WINDOW_START]!;
  }

  get windowRequests(): number {
    return this.#shared[this.#at + WINDOW_REQUESTS]!;
  }

  get windowFailures(): number {
    return this.#shared[this.#at + WINDOW_FAILURES]!;
  }

  countInWindow(failed: boolean): void {
    Atomics.add(this.#shared, this.#at + WINDOW_REQUESTS, 1);
    if (failed) Atomics.add(this.#shared, this.#at + WINDOW_FAILURES, 1);
  }

  /** One that is counted already has failed after all. */
  addWindowFailure(): void {
    Atomics.add(this.#shared, this.#at + WINDOW_FAILURES, 1);
  }

  startWindow(now: number): void {
    this.#times[this.#timesAt + WINDOW_START] = now;
    Atomics.store(this.#shared, this.#at + WINDOW_REQUESTS, 0);
    Atomics.store(this.#shared, this.#at + WINDOW_FAILURES, 0);
    Atomics.store(this.#shared, this.#at + WINDOW_ANSWERS, 0);
    this.#times[this.#timesAt + WINDOW_LOGARITHMS] = 0;
  }

  /** Times it was ejected, less what it was forgiven since. */
  get ejections(): number {
    return this.#shared[this.#at + EJECTIONS]!;
  }

  set ejections(times: number) {
    this.#shared[this.#at + EJECTIONS] = times;
  }

  /** When its last ejection was over, or when it answered for the first time after that. */
  get ejectedUntil(): number {
    return this.#times[this.#timesAt + EJECTED_UNTIL]!;
  }

  set ejectedUntil(time: number) {
    this.#times[this.#timesAt + EJECTED_UNTIL] = time;
  }

  /** Since when its share grows (slow start); 0: it has its whole share. */
  get rampSince(): number {
    return this.#times[this.#timesAt + RAMP_SINCE]!;
  }

  set rampSince(now: number) {
    this.#times[this.#timesAt + RAMP_SINCE] = now;
  }

  /** Moving average of the time to the first octet of a response, in ms; 0: not known. Last writer wins. */
  get latencyMs(): number {
    return this.#times[this.#timesAt + LATENCY]!;
  }

  get latencyAt(): number {
    return this.#times[this.#timesAt + LATENCY_AT]!;
  }

  /** As `latencyMs`, but up at once when one is slower and down slowly: what `least-time` weighs. */
  get peakMs(): number {
    return this.#times[this.#timesAt + PEAK]!;
  }

  /** Takes one more measurement into both averages. A measurement counts the more the longer the last one is ago. */
  observeLatency(measuredMs: number, now: number): void {
    const ms = Math.max(measuredMs, LEAST_LATENCY_MS);
    const kept = Math.exp(-Math.max(0, now - this.latencyAt) / LATENCY_MEMORY_MS);
    const { latencyMs, peakMs } = this;
    const isFirst = latencyMs === 0;
    this.setLatency(isFirst ? ms : latencyMs * kept + ms * (1 - kept), now);
    this.#times[this.#timesAt + PEAK] = ms > peakMs ? ms : peakMs * kept + ms * (1 - kept);
  }

  /** Answers whose time is in `typicalMs`. */
  get windowAnswers(): number {
    return this.#shared[this.#at + WINDOW_ANSWERS]!;
  }

  /**
   * Geometric mean of the window: a few requests that take a minute do not make an endpoint slow.
   * 0: not known. Kept only where `countTypical` is called.
   */
  get typicalMs(): number {
    const { windowAnswers } = this;
    return windowAnswers === 0 ? 0 : Math.exp(this.#times[this.#timesAt + WINDOW_LOGARITHMS]! / windowAnswers);
  }

  /** Two at the same time may count as one here: a mean of many bears it. */
  countTypical(ms: number): void {
    this.#times[this.#timesAt + WINDOW_LOGARITHMS]! += Math.log(Math.max(ms, LEAST_TYPICAL_MS));
    Atomics.add(this.#shared, this.#at + WINDOW_ANSWERS, 1);
  }

  setLatency(ms: number, now: number): void {
    this.#times[this.#timesAt + LATENCY] = ms;
    this.#times[this.#timesAt + LATENCY_AT] = now;
  }
}

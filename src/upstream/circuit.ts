/**
 * Stops sending to an upstream that fails most of the time, and tries again after a while. Its state
 * is in the zone, so all workers agree.
 *
 * Closed: exchanges pass and their outcomes are counted. Open: none passes. Half open: a few pass as
 * probes; if all succeed it closes, if one fails it opens for twice as long.
 *
 * Each state has a number, its phase, which grows with every change: phase modulo 3 says which state
 * it is, and one compare-exchange both changes the state and proves that nobody else did. An exchange
 * carries the phase it was admitted in, so that one from before tells nothing about now.
 */
import { type Log, SILENT } from "../base/log.ts";
import type { CircuitConfig } from "../config/gateway-config.ts";
import { machineNow } from "../net/machine-clock.ts";
import type { StateMemory } from "./endpoint-state.ts";
import { spanText } from "./health/span-text.ts";

const CLOSED = 0;
const OPEN = 1;
const HALF_OPEN = 2;
const STATES = 3;

/** Places in the Int32 record. The counts of the present window, and of the one before, which counts in part. */
const PHASE = 0;
const WINDOW = 1;
const EXCHANGES = 2;
const FAILURES = 3;
const EXCHANGES_BEFORE = 4;
const FAILURES_BEFORE = 5;
const PROBES = 6;
const PROBES_PASSED = 7;

/** Place in the Float64 record: when it opened, or when probes were let through; of `machineNow`. */
const CHANGED_AT = 0;
/** The same: how many times it has opened since it was closed last. */
const OPENINGS = 1;

export const CIRCUIT_SHARED_CELLS = 8;
export const CIRCUIT_TIME_CELLS = 4;

/** A worker whose turn takes long may be windows behind the others: it counts in theirs then. */
const FARTHEST_BEHIND = 100_000;

/** It is never open for longer without a probe, unless the config says so. */
const MAX_OPEN_MS = 300_000;

export type CircuitState = "closed" | "open" | "half-open";

export class Circuit {
  readonly #config: CircuitConfig;
  readonly #shared: Int32Array;
  readonly #times: Float64Array;
  readonly #at: number;
  readonly #timesAt: number;
  readonly #log: Log;

  /** @param log told by the one worker that makes a change */
  constructor(
    config: CircuitConfig,
    memory: StateMemory,
    cells: { readonly shared: number; readonly times: number },
    log: Log = SILENT,
  ) {
    this.#config = config;
    this.#shared = memory.shared;
    this.#times = memory.times;
    this.#at = cells.shared;
    this.#timesAt = cells.times;
    this.#log = log;
  }

  get state(): CircuitState {
    return (["closed", "open", "half-open"] as const)[this.#phase % STATES]!;
  }

  /**
   * May an exchange go to the upstream? A probe is counted here.
   * @returns 0: no. Else a pass: one of `succeeded`, `failed` and `abandoned` wants it back
   */
  admit(): number {
    const phase = this.#phase;
    if (phase % STATES === CLOSED) return phase + 1;
    return this.#admitProbe(phase);
  }

  /** Whole seconds until it is worth trying again, at least 1. */
  get retryAfterSeconds(): number {
    const isOpen = this.#phase % STATES === OPEN;
    return isOpen ? Math.max(1, Math.ceil((this.#openUntil - machineNow()) / 1000)) : 1;
  }

  succeeded(pass: number): void {
    const phase = this.#phase;
    if (pass !== phase + 1) return;
    if (phase % STATES === CLOSED) return void this.#count(EXCHANGES);
    if (this.#add(PROBES_PASSED, 1) < this.#config.probes || !this.#change(phase, CLOSED)) return;
    this.#times[this.#timesAt + OPENINGS] = 0;
    for (const cell of [EXCHANGES, FAILURES, EXCHANGES_BEFORE, FAILURES_BEFORE]) this.#set(cell, 0);
    this.#log.info("the circuit is closed");
  }

  failed(pass: number): void {
    const phase = this.#phase;
    if (pass !== phase + 1) return;
    if (phase % STATES === HALF_OPEN) return this.#open(phase, "a probe failed");
    const now = this.#count(EXCHANGES);
    this.#add(FAILURES, 1);
    const { failures, requests, window } = this.#config;
    // What is left of the window before, as if its exchanges had come evenly.
    const left = 1 - (now % window) / window;
    const exchanges = this.#get(EXCHANGES) + left * this.#get(EXCHANGES_BEFORE);
    const failed = this.#get(FAILURES) + left * this.#get(FAILURES_BEFORE);
    if (exchanges < requests || failed < failures * exchanges) return;
    this.#open(phase, `${Math.round(failed)} of ${Math.round(exchanges)} exchanges failed`);
  }

  /** The exchange ended without a word of the upstream, such as by its client: another may probe instead. */
  abandoned(pass: number): void {
    const phase = this.#phase;
    if (pass !== phase + 1 || phase % STATES !== HALF_OPEN) return;
    // None is counted any more if it took so long that it was given up.
    if (this.#get(PROBES) > 0) this.#add(PROBES, -1);
  }

  #admitProbe(phase: number): number {
    const now = machineNow();
    if (phase % STATES === OPEN) {
      if (now < this.#openUntil) return 0;
      this.#change(phase, HALF_OPEN);
      phase = this.#phase;
      if (phase % STATES !== HALF_OPEN) return phase % STATES === CLOSED ? phase + 1 : 0;
    } else if (now >= this.#openUntil) this.#probeAnew(now);
    if (this.#add(PROBES, 1) <= this.#config.probes) return phase + 1;
    this.#add(PROBES, -1);
    return 0;
  }

  /** Some probes were never heard of again, such as those of a worker that died: as many may follow. */
  #probeAnew(now: number): void {
    const probes = this.#get(PROBES);
    const isOurs = Atomics.compareExchange(this.#shared, this.#at + PROBES, probes, 0) === probes;
    if (isOurs) this.#times[this.#timesAt + CHANGED_AT] = now;
  }

  #open(phase: number, why: string): void {
    if (!this.#change(phase, OPEN)) return;
    this.#set(PROBES, 0);
    this.#set(PROBES_PASSED, 0);
    this.#times[this.#timesAt + OPENINGS]!++;
    this.#log.warn("the circuit is open", { for: spanText(this.#openMs), reason: why });
  }

  /** To the next phase of that state. @returns false if the phase was not this any more */
  #change(from: number, to: number): boolean {
    const step = (to - (from % STATES) + STATES) % STATES;
    // Before the phase, so that nobody sees a new phase with an old time.
    this.#times[this.#timesAt + CHANGED_AT] = machineNow();
    return Atomics.compareExchange(this.#shared, this.#at + PHASE, from, from + step) === from;
  }

  /** Counts in the present window. @returns now */
  #count(cell: number): number {
    const now = machineNow();
    const window = Math.floor(now / this.#config.window) | 0;
    const before = this.#get(WINDOW);
    const step = (window - before) | 0;
    const isBehind = step < 0 && step > -FARTHEST_BEHIND;
    if (
      step !== 0 &&
      !isBehind &&
      Atomics.compareExchange(this.#shared, this.#at + WINDOW, before, window) === before
    ) {
      const exchanges = Atomics.exchange(this.#shared, this.#at + EXCHANGES, 0);
      const failures = Atomics.exchange(this.#shared, this.#at + FAILURES, 0);
      this.#set(EXCHANGES_BEFORE, step === 1 ? exchanges : 0);
      this.#set(FAILURES_BEFORE, step === 1 ? failures : 0);
    }
    this.#add(cell, 1);
    return now;
  }

  get #phase(): number {
    return Atomics.load(this.#shared, this.#at + PHASE);
  }

  get #changedAt(): number {
    return this.#times[this.#timesAt + CHANGED_AT]!;
  }

  /** Doubled for each time it has opened without having been closed. */
  get #openMs(): number {
    const { openFor } = this.#config;
    const again = Math.max(0, this.#times[this.#timesAt + OPENINGS]! - 1);
    return Math.min(openFor * 2 ** again, Math.max(openFor, MAX_OPEN_MS));
  }

  get #openUntil(): number {
    return this.#changedAt + this.#openMs;
  }

  #get(cell: number): number {
    return this.#shared[this.#at + cell]!;
  }

  #set(cell: number, value: number): void {
    Atomics.store(this.#shared, this.#at + cell, value);
  }

  /** @returns what it is then */
  #add(cell: number, value: number): number {
    return Atomics.add(this.#shared, this.#at + cell, value) + value;
  }
}

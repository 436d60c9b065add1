/**
 * What traffic says of endpoints: ejects those that fail, for a while that grows, never too many of
 * them. Runs in every worker; what it counts is in the endpoints' shared state, so that three failures
 * are three failures whichever workers saw them.
 */
import type { Failure } from "../../base/failure.ts";
import type { Log } from "../../base/log.ts";
import type { PassiveHealthConfig } from "../../config/gateway-config.ts";
import { machineNow } from "../../net/machine-clock.ts";
import type { Endpoint } from "../endpoint.ts";
import { type EndpointState, Status } from "../endpoint-state.ts";
import { slowerThanOthers } from "./slow-endpoints.ts";
import { spanText } from "./span-text.ts";

export interface PassiveHealthOptions {
  /** As the upstream's: an endpoint that is back starts slowly; 0: at once. */
  readonly slowStartMs: number;
  readonly log: Log;
  /** For metrics; called in the worker that ejects, once for each ejection. */
  readonly onEjected?: (endpoint: Endpoint, forMs: number, reason: string) => void;
}

/** Between two comparisons of latencies. */
const COMPARE_EVERY_MS = 1000;
/** How long "no more may be ejected" is believed: when all fail, counting thousands per failure would be the bigger harm. */
const FULL_FOR_MS = 50;
/** A worker's clock stands still within a turn, so that of another may be behind by a turn. */
const CLOCKS_APART_MS = 10;
const SWITCHED_OFF = Status.draining | Status.disabled;

export class PassiveHealth {
  readonly #config: PassiveHealthConfig;
  readonly #options: PassiveHealthOptions;
  /** 1 for statuses that are failures. */
  readonly #failing = new Uint8Array(1000);
  readonly #countsWindow: boolean;
  #endpoints: readonly Endpoint[] = [];
  #compareAt = 0;
  #fullUntil = 0;

  constructor(config: PassiveHealthConfig, options: PassiveHealthOptions) {
    this.#config = config;
    this.#options = options;
    for (const status of config.statuses) this.#failing[status] = 1;
    this.#countsWindow = config.rate !== null || config.latency !== null;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    this.#fullUntil = 0;
  }

  /** A response head has come. On the way of every exchange. */
  answered(endpoint: Endpoint, status: number, latencyMs: number): void {
    const { state } = endpoint;
    const now = machineNow();
    const failed = this.#failing[status] === 1;
    if (this.#countsWindow) this.#count(state, failed, now);
    if (failed) this.#fail(endpoint, `answered ${status}`, now, latencyMs);
    else if (state.consecutiveFailures !== 0) succeed(state, now);
    if (this.#config.latency === null) return;
    state.countTypical(latencyMs);
    if (now >= this.#compareAt) this.#compare(this.#config.latency, now);
  }

  /**
   * An attempt has failed. Only failures of the upstream's side count.
   * @param afterHead its response has been `answered`, and was cut off then
   * @param ageMs since it began
   */
  failed(endpoint: Endpoint, failure: Failure, afterHead = false, ageMs = 0): void {
    if (failure.side !== "upstream") return;
    const now = machineNow();
    if (this.#countsWindow) {
      if (afterHead) endpoint.state.addWindowFailure();
      else this.#count(endpoint.state, true, now);
    }
    this.#fail(endpoint, failure.code, now, ageMs);
    if (afterHead) endpoint.state.addCut();
  }

  /**
   * Ends an ejection whose time is over. Of all workers one does; the next failure ejects again at once.
   * @returns true if the endpoint is usable now
   */
  readmit(endpoint: Endpoint): boolean {
    const { state } = endpoint;
    const now = machineNow();
    if (now < state.ejectedUntil) return false;
    if (state.unmark(Status.ejected)) {
      const { failures } = this.#config;
      state.clearFailures();
      // Never 0, or its first success would not be noticed.
      state.consecutiveFailures = failures === Infinity ? 1 : Math.max(1, failures - 1);
      state.putOnTrial();
      state.lastFailureAt = now;
      state.startWindow(now);
      if (this.#options.slowStartMs > 0) state.rampSince = now;
      this.#options.log.info("an ejected endpoint is back", { endpoint: endpoint.address });
    }
    return state.status === 0;
  }

  #count(state: EndpointState, failed: boolean, now: number): void {
    if (now - state.windowStart > this.#config.window) state.startWindow(now);
    state.countInWindow(failed);
  }

  #fail(endpoint: Endpoint, what: string, now: number, ageMs: number): void {
    const { state } = endpoint;
    // What began before its return, and timed out only now, is no part of the trial.
    if (state.isOnTrial && now - ageMs < state.lastFailureAt - CLOCKS_APART_MS) return;
    const { failures, window, rate, rateRequests } = this.#config;
    if (failures !== Infinity) {
      // One on trial that takes longer than the window to fail has not become better by that.
      if (now - state.lastFailureAt > window && !state.isOnTrial) state.clearFailures();
      state.lastFailureAt = now;
      const inARow = state.addFailure();
      if (inARow >= failures) return this.#eject(endpoint, `failed ${inARow} times in a row: ${what}`, now);
    }
    if (rate === null) return;
    const { windowRequests, windowFailures } = state;
    if (windowRequests < rateRequests || windowFailures < rate * windowRequests) return;
    this.#eject(endpoint, `failed ${windowFailures} of ${windowRequests} times: ${what}`, now);
  }

  #compare(factor: number, now: number): void {
    this.#compareAt = now + COMPARE_EVERY_MS;
    const { rateRequests, window } = this.#config;
    const busy = this.#endpoints.filter(
      ({ state }) => state.status === 0 && now - state.windowStart <= window && state.windowAnswers >= rateRequests,
    );
    for (const { endpoint, ms, othersMs } of slowerThanOthers(busy, factor)) {
      this.#eject(endpoint, `slow: ${spanText(ms)} where others take ${spanText(othersMs)}`, now);
    }
  }

  /** Ejects, if it is not out already and not too many are. */
  #eject(endpoint: Endpoint, reason: string, now: number): void {
    const { state } = endpoint;
    if ((state.status & ~SWITCHED_OFF) !== 0) return;
    const limited = isInService(endpoint);
    if (limited && (now < this.#fullUntil || this.#room() < 1)) return this.#full(now);
    const ejections = this.#ejectionNumber(state, now);
    const forMs = this.#spanMs(ejections);
    const { ejectedUntil } = state;
    // Before the mark: whoever sees the mark sees its end.
    state.ejectedUntil = now + forMs;
    if (!state.mark(Status.ejected)) return;
    // Another worker may have ejected another one at the same time. Each looks after it has marked its
    // own, so both may step back, but never do both stay.
    if (limited && this.#room() < 0) {
      state.unmark(Status.ejected);
      state.ejectedUntil = ejectedUntil;
      return this.#full(now);
    }
    state.ejections = ejections;
    const span = spanText(forMs);
    this.#options.log.warn("an endpoint is ejected", { endpoint: endpoint.address, for: span, reason });
    this.#options.onEjected?.(endpoint, forMs, reason);
  }

  #full(now: number): void {
    if (now >= this.#fullUntil) this.#fullUntil = now + FULL_FOR_MS;
  }

  /** How many more may be out; below 0: too many are. Those that checks found down count too. */
  #room(): number {
    let inService = 0;
    let out = 0;
    for (const endpoint of this.#endpoints) {
      if (!isInService(endpoint)) continue;
      inService++;
      const { status } = endpoint.state;
      if (status !== 0 && !(status === Status.ejected && this.readmit(endpoint))) out++;
    }
    return maxOut(inService, this.#config.maxEjected) - out;
  }

  /** Which ejection this would be: one is forgiven for each that it has served as long again since the last. */
  #ejectionNumber(state: EndpointState, now: number): number {
    let number = state.ejections;
    // Being silent is not serving.
    if (state.isOnTrial) return number + 1;
    let servedMs = now - state.ejectedUntil;
    while (number > 0 && servedMs >= this.#spanMs(number)) {
      servedMs -= this.#spanMs(number);
      number--;
    }
    return number + 1;
  }

  #spanMs(ejection: number): number {
    const { ejectFor, ejectMax } = this.#config;
    return Math.min(ejectFor * 2 ** (ejection - 1), ejectMax);
  }
}

/** A success ends the failures in a row; the head of a response only if it is not heads that are followed by cuts. */
function succeed(state: EndpointState, now: number): void {
  if (state.headsSinceCut !== 0 && state.addHeadSinceCut() - 1 <= state.inFlight) return;
  // It serves since now.
  if (state.isOnTrial && (state.status & Status.ejected) === 0) state.ejectedUntil = now;
  state.clearFailures();
}

/** Takes a share of the traffic, as far as operators and config go. */
const isInService = ({ weight, state }: Endpoint): boolean => weight > 0 && (state.status & SWITCHED_OFF) === 0;

/** How many of so many may be out: a share, but one if there are two, and never the only one. */
export function maxOut(endpoints: number, share: number): number {
  if (endpoints < 2 || share === 0) return 0;
  // A little more, because 0.29 × 100 is 28.999999999999996.
  return Math.max(1, Math.floor(endpoints * share + 1e-9));
}

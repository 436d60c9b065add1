/**
 * The time limits on request content: how long nothing may come, and how slowly it may come. Time in
 * which nobody takes the content, or the taker is full, is not the client's and does not count.
 */
import { Failure } from "../../base/failure.ts";
import { clock, type Timer, type TimerList, timerList } from "../../base/timer.ts";

/** The rate is looked at once the client has been waited for this long. */
const GRACE_MS = 5000;

export interface ContentTimes {
  readonly contentIdleTime: TimerList | null;
  /** Until the client is told to begin by us, if nobody upstream does. */
  readonly continueTime: TimerList | null;
  /** Least octets per second; 0 = any. */
  readonly contentRate: number;
}

export class ContentClock {
  readonly #timer: Timer;
  readonly #times: ContentTimes;
  #octets = 0;
  #waitedMs = 0;
  /** -1 while nobody waits for content. */
  #waitsSince = -1;
  #idleTime: TimerList | null;
  #rate: number;
  /** The client wants to hear 100 before it begins (RFC 9110 §10.1.1). */
  awaitsContinue = false;

  /** @param timer runs while the client is waited for; its owner handles the expiry */
  constructor(timer: Timer, times: ContentTimes) {
    this.#timer = timer;
    this.#times = times;
    this.#idleTime = times.contentIdleTime;
    this.#rate = times.contentRate;
  }

  /** Another limit than all have. @param idleMs Infinity: none, and it may come as slowly as it likes */
  limit(idleMs: number): void {
    this.#idleTime = timerList(idleMs);
    if (idleMs === Infinity) this.#rate = 0;
  }

  /** However slowly it comes. */
  allowSlow(): void {
    this.#rate = 0;
  }

  /** For the content of a new request. */
  reset(awaitsContinue: boolean): void {
    this.#octets = 0;
    this.#waitedMs = 0;
    this.#waitsSince = -1;
    this.#idleTime = this.#times.contentIdleTime;
    this.#rate = this.#times.contentRate;
    this.awaitsContinue = awaitsContinue;
  }

  /** Somebody takes the content from now on. */
  wait(): void {
    this.#waitsSince = clock.now;
    const { continueTime } = this.#times;
    if (this.awaitsContinue && continueTime !== null) this.#timer.arm(continueTime);
    else this.#armIdle();
  }

  /** The taker is full. */
  pause(): void {
    this.#timer.cancel();
    if (this.#waitsSince >= 0) this.#waitedMs += clock.now - this.#waitsSince;
    this.#waitsSince = -1;
  }

  /** The client was told to begin. */
  continued(): void {
    this.awaitsContinue = false;
    if (this.#timer.armed) this.#armIdle();
  }

  /**
   * Octets came: the idle limit starts anew.
   * @throws {Failure} `content-too-slow`
   */
  arrived(octets: number): void {
    this.awaitsContinue = false;
    this.#octets += octets;
    if (this.#waitsSince < 0) return;
    this.#armIdle();
    const contentRate = this.#rate;
    const waitedMs = this.#waitedMs + clock.now - this.#waitsSince;
    if (contentRate === 0 || waitedMs <= GRACE_MS || (this.#octets * 1000) / waitedMs >= contentRate) return;
    throw new Failure(
      "content-too-slow",
      `${this.#octets} octets of request content in ${Math.round(waitedMs)} ms: less than timeouts.contentRate of ${contentRate} octets per second`,
    );
  }

  /** Without an idle limit, none runs. */
  #armIdle(): void {
    if (this.#idleTime === null) this.#timer.cancel();
    else this.#timer.arm(this.#idleTime);
  }
}

/**
 * The time limits on what a client sends of one request, whatever protocol it comes by: how long nothing of the
 * content may come, and how slowly it may come. Time in which nobody takes the content, or the taker is full, is
 * not the client's and does not count.
 *
 * Once a request has become a tunnel, or a call of gRPC, it is a conversation: either side may be silent, and
 * only silence of both has a limit.
 */
import { Failure } from "../base/failure.ts";
import { clock, type Timer, type TimerList, timerList } from "../base/timer.ts";

/** The rate is looked at once the client has been waited for this long. */
const GRACE_MS = 5000;

export interface ContentTimes {
  readonly contentIdleTime: TimerList | null;
  /** Until the client is told to begin by us, if nobody upstream does. */
  readonly continueTime: TimerList | null;
  /** Least octets per second; 0 = any. */
  readonly contentRate: number;
  readonly tunnelIdleTime: TimerList | null;
}

/** What the client is in the middle of. */
const Phase = { content: 0, tunnel: 1, call: 2, over: 3 } as const;

export class ContentClock {
  readonly #timer: Timer;
  readonly #times: ContentTimes;
  #phase: number = Phase.content;
  #octets = 0;
  #waitedMs = 0;
  /** -1 while nobody waits for content. */
  #waitsSince = -1;
  #idleTime: TimerList | null;
  #rate: number;
  /** The client wants to hear 100 before it begins (RFC 9110 §10.1.1). */
  awaitsContinue = false;

  /** @param timer runs while the client is waited for; its owner asks `expired` what that means */
  constructor(timer: Timer, times: ContentTimes) {
    this.#timer = timer;
    this.#times = times;
    this.#idleTime = times.contentIdleTime;
    this.#rate = times.contentRate;
  }

  // ── content ────────────────────────────────────────────────────────────────────────────────

  /** For the content of a new request. */
  reset(awaitsContinue: boolean): void {
    this.#phase = Phase.content;
    this.#octets = 0;
    this.#waitedMs = 0;
    this.#waitsSince = -1;
    this.#idleTime = this.#times.contentIdleTime;
    this.#rate = this.#times.contentRate;
    this.awaitsContinue = awaitsContinue;
  }

  /** However slowly it comes. */
  allowSlow(): void {
    this.#rate = 0;
  }

  /**
   * Somebody takes the content from now on.
   * @param idleMs if this exchange has a limit of its own; Infinity: none, and it may come as slowly as it likes
   */
  wait(idleMs?: number): void {
    if (this.#phase !== Phase.content) return;
    if (idleMs !== undefined) this.#idleTime = timerList(idleMs);
    if (idleMs === Infinity) this.#rate = 0;
    this.#waitsSince = clock.now;
    const { continueTime } = this.#times;
    if (this.awaitsContinue && continueTime !== null) this.#timer.arm(continueTime);
    else this.#armIdle();
  }

  /** The taker is full. */
  pause(): void {
    if (this.#phase !== Phase.content) return;
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
   * Octets came from the client: the idle limit starts anew.
   * @throws {Failure} `content-too-slow`
   */
  arrived(octets: number): void {
    if (this.#phase !== Phase.content) return this.passed();
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

  /** The request is complete: nothing is waited for but what is said in a tunnel. */
  complete(): void {
    if (this.#phase !== Phase.tunnel) this.stop();
  }

  /** No limit runs any more. */
  stop(): void {
    this.#phase = Phase.over;
    this.#timer.cancel();
  }

  // ── conversation ───────────────────────────────────────────────────────────────────────────

  /** The request has become a tunnel. @param idleMs if this exchange has a limit of its own */
  openTunnel(idleMs: number | undefined): void {
    this.#converse(Phase.tunnel, idleMs);
  }

  /** It is a call. Once its request is complete, it is the origin server's turn, with limits of its own. */
  openCall(idleMs: number | undefined): void {
    if (this.#phase !== Phase.over) this.#converse(Phase.call, idleMs);
  }

  #converse(phase: number, idleMs: number | undefined): void {
    this.#phase = phase;
    this.#idleTime = idleMs === undefined ? this.#times.tunnelIdleTime : timerList(idleMs);
    this.#armIdle();
  }

  /** Octets passed, in whichever direction: silence in a conversation begins anew. */
  passed(): void {
    if (this.#phase === Phase.tunnel || this.#phase === Phase.call) this.#armIdle();
  }

  // ── ends ───────────────────────────────────────────────────────────────────────────────────

  /**
   * The timer is out. @returns what of; null: nobody upstream said 100 in time, and the client may be told
   * to begin (RFC 9110 §10.1.1), and waited for
   */
  expired(): Failure | null {
    if (this.#phase === Phase.tunnel)
      return new Failure("tunnel-idle", "nothing passed the tunnel for timeouts.tunnelIdle");
    if (this.#phase === Phase.call)
      return new Failure("tunnel-idle", "nothing of the call came for timeouts.tunnelIdle");
    if (this.awaitsContinue) return null;
    return new Failure("content-timeout", "no request content for timeouts.contentIdle");
  }

  /** Without an idle limit, none runs. */
  #armIdle(): void {
    if (this.#idleTime === null) this.#timer.cancel();
    else this.#timer.arm(this.#idleTime);
  }
}

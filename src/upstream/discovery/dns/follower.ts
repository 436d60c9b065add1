/**
 * Looks something up again and again: after the lifetime of what it found, sooner after a failure.
 * Publishes what changed, and logs when things go wrong or are well again, once each.
 */
import type { Log } from "../../../base/log.ts";
import type { EndpointSpec } from "../../endpoint-spec.ts";
import type { Provider, Publish } from "../provider.ts";

export interface Finding {
  /** In a stable order. */
  readonly endpoints: readonly EndpointSpec[];
  /** Infinity: as long as may be. */
  readonly ttlSeconds: number;
  /** What of it could not be found out and is as before, or missing; null: all is well. */
  readonly failure: string | null;
  /** Why there are no endpoints, if there are none. */
  readonly emptiness: string | null;
}

/** @throws {Error} if nothing could be found out */
export type Look = (signal: AbortSignal) => Promise<Finding>;

export interface Pace {
  readonly floorMs: number;
  readonly ceilingMs: number;
}

export interface FollowerSettings extends Pace {
  /** What an answer without endpoints means: none, or that the ones known stay. */
  readonly whenEmpty: "keep" | "drop";
  readonly log: Log;
}

type Condition = "well" | "incomplete" | "failed" | "empty";

const RETRY_CEILING_MS = 30_000;
/** What a timer of the runtime can hold is 24 days. */
const LONGEST_MS = 86_400_000;

export class Follower implements Provider {
  readonly #look: Look;
  readonly #settings: FollowerSettings;
  readonly #stop = new AbortController();
  #publish: Publish = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #condition: Condition = "well";
  /** Rounds in a row that were not well. */
  #failures = 0;
  #published: readonly EndpointSpec[] | null = null;

  constructor(look: Look, settings: FollowerSettings) {
    this.#look = look;
    this.#settings = settings;
  }

  start(publish: Publish): void {
    this.#publish = publish;
    void this.#round();
  }

  stop(): void {
    this.#stop.abort(new Error("stopped"));
    clearTimeout(this.#timer);
  }

  async #round(): Promise<void> {
    const { signal } = this.#stop;
    let finding: Finding | null = null;
    let failure = "";
    try {
      finding = await this.#look(signal);
    } catch (thrown) {
      failure = thrown instanceof Error ? thrown.message : String(thrown);
    }
    if (signal.aborted) return;
    const waitMs = finding === null ? this.#failed(failure) : this.#found(finding);
    // Publishing may have stopped us.
    if (!signal.aborted) this.#timer = setTimeout(() => void this.#round(), waitMs);
  }

  /** @returns ms until the next round */
  #failed(why: string): number {
    this.#become("failed", "the endpoints could not be looked up", why);
    return this.#retryMs();
  }

  #found({ endpoints, ttlSeconds, failure, emptiness }: Finding): number {
    if (endpoints.length === 0) {
      if (failure !== null) return this.#failed(failure);
      this.#become("empty", "the lookup gave no endpoints", emptiness ?? "there are none");
      if (this.#settings.whenEmpty === "drop") this.#offer([]);
      return this.#retryMs();
    }
    if (failure === null) this.#become("well", "the endpoints can be looked up again", null);
    else this.#become("incomplete", "some endpoints could not be looked up", failure);
    this.#offer(endpoints);
    const freshMs = freshFor(ttlSeconds, this.#settings);
    return failure === null ? freshMs : Math.min(freshMs, this.#retryMs());
  }

  #offer(endpoints: readonly EndpointSpec[]): void {
    if (this.#published !== null && Bun.deepEquals(this.#published, endpoints)) return;
    this.#published = endpoints;
    this.#publish(endpoints);
  }

  #become(condition: Condition, message: string, error: string | null): void {
    this.#failures = condition === "well" ? 0 : this.#failures + 1;
    if (condition === this.#condition) return;
    this.#condition = condition;
    const kept = this.#published?.length ?? 0;
    if (error === null) this.#settings.log.info(message);
    else if (condition === "empty" && this.#settings.whenEmpty === "drop") this.#settings.log.warn(message, { error });
    else this.#settings.log.warn(message, { error, kept });
  }

  #retryMs(): number {
    return retryAfter(this.#failures, this.#settings);
  }
}

/** How long an answer is good for: its lifetime, but no less than the floor and no more than the ceiling; ms. */
export function freshFor(ttlSeconds: number, { floorMs, ceilingMs }: Pace): number {
  return Math.min(Math.max(ttlSeconds * 1000, floorMs), ceilingMs, LONGEST_MS);
}

/** Wait after the nth failure in a row, from 1: the floor, doubled each time, at most 30 s (or the ceiling, or a higher floor); ms. */
export function retryAfter(failures: number, { floorMs, ceilingMs }: Pace): number {
  const most = Math.max(floorMs, Math.min(ceilingMs, RETRY_CEILING_MS));
  return Math.min(floorMs * 2 ** Math.min(failures - 1, 30), most, LONGEST_MS);
}

/**
 * Asks the endpoints of an upstream how they are, each in its interval, and marks them up and down
 * for all workers. Runs in the supervisor, so each endpoint is asked once per machine.
 */
import type { Log } from "../../base/log.ts";
import type { CheckConfig } from "../../config/gateway-config.ts";
import { formatAddress, parseAddress } from "../../net/address.ts";
import { machineTime } from "../../net/machine-clock.ts";
import type { EndpointSettings } from "../endpoint-settings.ts";
import { type EndpointState, Status } from "../endpoint-state.ts";
import type { Check, CheckNames, CheckTarget } from "./checks/check.ts";
import { LagWatch } from "./lag-watch.ts";
import { spanText } from "./span-text.ts";
import { Verdict } from "./verdict.ts";

export interface HealthCheckerOptions {
  readonly config: CheckConfig;
  readonly check: Check;
  readonly slowStartMs: number;
  /** What the upstream calls its origin servers. */
  readonly names?: CheckNames;
  /** How the upstream's connections are made now; null: plainly. */
  readonly connections?: () => EndpointSettings | null;
  readonly log: Log;
  /** `machineTime`, or a test's. */
  readonly now?: () => number;
}

export interface HealthTarget {
  readonly address: string;
  readonly state: EndpointState;
  /** It had traffic before it was checked: `initial: down` does not take it away. */
  readonly inUse?: boolean;
}

/** What an operator sees; times are ISO 8601. */
export interface CheckView {
  /** The last result. */
  readonly passed: boolean;
  /** Why it did not pass. */
  readonly reason: string | null;
  readonly at: string;
  readonly tookMs: number;
  /** The verdict; null: there is none yet. */
  readonly up: boolean | null;
  /** Since when that is the verdict. */
  readonly since: string;
}

interface Asked {
  readonly address: string;
  readonly target: CheckTarget;
  readonly state: EndpointState;
  readonly verdict: Verdict;
  since: Date;
  last: { readonly reason: string | null; readonly at: Date; readonly tookMs: number } | null;
  timer: ReturnType<typeof setTimeout> | null;
  gone: boolean;
}

/** Between the first checks of two endpoints: a thousand are begun within 2 s. */
const SPREAD_MS = 2;
/** After a result that was not believed. */
const AGAIN_MS = 250;
/** Checks at one time, whatever it needs. */
const MAX_RUNNING = 512;
const MIN_RUNNING = 64;

export class HealthChecker {
  readonly #options: HealthCheckerOptions;
  readonly #now: () => number;
  readonly #lag: LagWatch;
  readonly #asked = new Map<string, Asked>();
  /** Due, and not begun because so many run. */
  readonly #due: Asked[] = [];
  #running = 0;

  constructor(options: HealthCheckerOptions) {
    this.#options = options;
    this.#now = options.now ?? machineTime;
    this.#lag = new LagWatch(options.config.timeout, this.#now);
  }

  /** The endpoints to ask from now on. Those that were among them before keep what is known of them. */
  update(targets: readonly HealthTarget[]): void {
    const wanted = new Map(targets.map((target) => [target.address, target]));
    for (const [address, asked] of this.#asked) {
      if (wanted.get(address)?.state !== asked.state) this.#drop(asked);
    }
    const fresh = targets.filter(({ address }) => !this.#asked.has(address));
    const spreadMs = Math.min(SPREAD_MS, this.#options.config.every / fresh.length);
    for (const [i, target] of fresh.entries()) this.#add(target, i * spreadMs);
    if (this.#asked.size > 0) this.#lag.start();
    else this.#lag.stop();
  }

  /** Asks no more. What it has marked stays. */
  stop(): void {
    for (const asked of this.#asked.values()) this.#drop(asked);
    this.#lag.stop();
  }

  /** null: not asked, or no result yet. */
  view(address: string): CheckView | null {
    const asked = this.#asked.get(address);
    if (asked === undefined || asked.last === null) return null;
    const { last, verdict, since } = asked;
    return {
      passed: last.reason === null,
      reason: last.reason,
      at: last.at.toISOString(),
      tookMs: Math.round(last.tookMs),
      up: verdict.up,
      since: since.toISOString(),
    };
  }

  #add({ address, state, inUse = false }: HealthTarget, delayMs: number): void {
    const { config, names, slowStartMs } = this.#options;
    const { rise, fall, initial } = config;
    const asked: Asked = {
      address,
      target: { ...checkTarget(address, config.port), ...(names && { names }) },
      state,
      verdict: new Verdict({ rise, fall, initial, slowStartMs, now: this.#now }, state, inUse),
      since: new Date(),
      last: null,
      timer: null,
      gone: false,
    };
    this.#asked.set(address, asked);
    this.#schedule(asked, delayMs);
  }

  #drop(asked: Asked): void {
    asked.gone = true;
    if (asked.timer !== null) clearTimeout(asked.timer);
    this.#asked.delete(asked.address);
  }

  #schedule(asked: Asked, delayMs: number): void {
    asked.timer = setTimeout(() => {
      this.#due.push(asked);
      this.#begin();
    }, delayMs);
  }

  /** Begins what is due, as far as there is room. */
  #begin(): void {
    while (this.#due.length > 0 && this.#running < this.#maxRunning) {
      const asked = this.#due.shift()!;
      if (!asked.gone) void this.#ask(asked);
    }
  }

  /** As many as it takes to keep the interval if every endpoint hangs. */
  get #maxRunning(): number {
    const { every, timeout } = this.#options.config;
    return Math.min(MAX_RUNNING, Math.max(MIN_RUNNING, Math.ceil((this.#asked.size * timeout) / every)));
  }

  async #ask(asked: Asked): Promise<void> {
    const { config, log } = this.#options;
    const startedAt = this.#now();
    this.#running++;
    const reason = await this.#run(asked).catch((thrown: unknown) => String(thrown));
    this.#running--;
    const endedAt = this.#now();
    if (!asked.gone) {
      if (reason !== null && this.#lag.lagged(startedAt)) {
        log.debug("a check failed while this process was too busy; it is made again", { endpoint: asked.address });
        this.#schedule(asked, AGAIN_MS);
      } else {
        asked.last = { reason, at: new Date(), tookMs: endedAt - startedAt };
        this.#take(asked, reason);
        this.#schedule(asked, Math.max(0, startedAt + jittered(config.every) - endedAt));
      }
    }
    this.#begin();
  }

  async #run(asked: Asked): Promise<string | null> {
    return this.#options.check.run(this.#target(asked), this.#options.config.timeout);
  }

  /** At a port of its own somebody else answers. */
  #target({ target }: Asked): CheckTarget {
    const { config, connections } = this.#options;
    const settings = config.port === null ? (connections?.() ?? null) : null;
    return settings === null ? target : { ...target, connections: settings };
  }

  #take(asked: Asked, reason: string | null): void {
    const { log } = this.#options;
    const { address, state, verdict, since } = asked;
    const wasOut = (state.status & (Status.down | Status.unchecked)) !== 0;
    if (!verdict.take(reason === null)) return;
    asked.since = new Date();
    if (reason !== null) log.warn("an endpoint is down", { endpoint: address, reason });
    else if (wasOut) {
      log.info("an endpoint is up", { endpoint: address, after: spanText(asked.since.getTime() - since.getTime()) });
    } else log.debug("an endpoint is up", { endpoint: address });
  }
}

/** Within 10 %, so that machines do not ask in step. */
const jittered = (ms: number): number => ms * (0.9 + 0.2 * Math.random());

function checkTarget(address: string, port: number | null): CheckTarget {
  const parsed = parseAddress(address);
  if (parsed?.kind !== "tcp") return { address, host: "localhost" };
  return { address: port === null ? address : formatAddress({ ...parsed, port }), host: address };
}

/** One slot and whatever process fills it: its birth, what it says and is told, its end. */
import type { Log } from "../base/log.ts";
import type { FromWorker, Start, ToWorker } from "./ipc.ts";

/**
 * Garbage is collected as seldom as it may: each time takes a millisecond or two, in which all requests wait.
 * - The runtime's timer collects three times as often as the allocations call for.
 * - The heap may grow to 64 MiB (the engine's own choice: 32) before its first full collection. What lives, the
 *   zone included, takes 19 MiB of that, so there is room for three times as many requests between two collections:
 *   fewer than one in a hundred meets one.
 *
 * What the program's own environment says of either counts more: where memory is scarce, or is measured.
 */
const WORKER_ENVIRONMENT = { BUN_GC_TIMER_DISABLE: "1", BUN_JSC_largeHeapSize: String(64 * 1024 * 1024) };

export interface SlotOptions {
  /** Program and arguments of a worker. */
  readonly command: readonly string[];
  /** Descriptors that the worker of a slot inherits, as 3, 4, 5 … */
  fds(slot: number): readonly number[];
  /** What it is told first. */
  start(slot: number): Start;
  readonly log: Log;
  /** A worker says something that is not about its own life. */
  onMessage(slot: number, message: FromWorker): void;
}

export type WorkerState = "starting" | "ready" | "draining" | "waiting" | "ended";

export interface WorkerView {
  readonly slot: number;
  readonly pid: number | null;
  /** `waiting`: died, and will be started again after a while. */
  readonly state: WorkerState;
  readonly restarts: number;
}

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 10_000;
/** A worker that lived this long was well: the next delay is the first again. */
const WELL_AFTER_MS = 30_000;
export const READY_WITHIN_MS = 60_000;
export class WorkerSlot {
  state: WorkerState = "ended";
  /** Why the last process ended. */
  lastWords = "";
  readonly slot: number;
  readonly #options: SlotOptions;
  readonly #log: Log;
  readonly #changed: (worker: WorkerSlot) => void;
  #process: Bun.Subprocess | null = null;
  #startedAt = 0;
  #delayMs = FIRST_DELAY_MS;
  #restarts = 0;
  /** Waiting to be started, or to be ready. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time to start it again has come, but it was not the moment. */
  isDue = false;
  /** What the supervisor waits for it to say. */
  #awaited: Awaited | null = null;
  #onSettled: (() => void)[] = [];

  constructor(slot: number, options: SlotOptions, changed: (worker: WorkerSlot) => void) {
    this.slot = slot;
    this.#options = options;
    this.#log = options.log.with({ worker: slot });
    this.#changed = changed;
  }

  view(): WorkerView {
    return { slot: this.slot, pid: this.#process?.pid ?? null, state: this.state, restarts: this.#restarts };
  }

  spawn(): void {
    const { command, fds, start } = this.#options;
    this.state = "starting";
    this.lastWords = "";
    this.#startedAt = performance.now();
    try {
      this.#process = Bun.spawn([...command], {
        stdio: ["ignore", "inherit", "inherit", ...fds(this.slot)],
        serialization: "advanced",
        env: { ...WORKER_ENVIRONMENT, ...process.env },
        ipc: (message) => this.#received(message as FromWorker),
        onExit: (_, code, signal) => this.#exited(code, signal as unknown as string | null),
      });
    } catch (thrown) {
      // The system has no processes left, or the program is being exchanged on the disk: it may do later.
      this.lastWords = `it cannot be started: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
      setImmediate(() => this.#exited(null, null));
      return;
    }
    this.send(start(this.slot));
    this.#timer = setTimeout(() => {
      this.lastWords = `it was not ready after ${READY_WITHIN_MS / 1000} s`;
      this.signal("SIGKILL");
    }, READY_WITHIN_MS);
  }

  /** Settles at once, or when it is no longer starting. */
  settled(): Promise<void> {
    if (this.state !== "starting") return Promise.resolve();
    return new Promise((resolve) => this.#onSettled.push(resolve));
  }

  /**
   * Waits for it to say something.
   * @param what kind and generation, such as "prepared 3"
   * @throws {Error} if it refuses, dies or takes too long
   */
  answer(what: string, withinMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const give = (settle: () => void) => {
        clearTimeout(timer);
        this.#awaited = null;
        settle();
      };
      const fail = (why: string) => give(() => reject(new Error(why)));
      const timer = setTimeout(() => fail(`worker ${this.slot} has not answered in ${withinMs / 1000} s`), withinMs);
      this.#awaited = { what, settle: () => give(resolve), fail };
    });
  }

  /** @param kind of message that nobody waits for any more */
  cancel(kind: FromWorker["kind"], why: string): void {
    if (this.#awaited?.what.startsWith(kind)) this.#awaited.fail(why);
  }

  spawnAgain(): void {
    this.isDue = false;
    this.#restarts++;
    this.spawn();
  }

  /** Again, after a time that doubles while it keeps dying. @param mayNow asked when the time has come */
  spawnLater(mayNow: () => boolean): void {
    if (performance.now() - this.#startedAt > WELL_AFTER_MS) this.#delayMs = FIRST_DELAY_MS;
    this.#log.warn(`worker starts again in ${this.#delayMs} ms`);
    this.state = "waiting";
    this.#timer = setTimeout(() => {
      if (mayNow()) this.spawnAgain();
      else this.isDue = true;
    }, this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, MAX_DELAY_MS);
  }

  stopRestarting(): void {
    clearTimeout(this.#timer);
    this.isDue = false;
    if (this.state === "waiting") this.state = "ended";
  }

  drain(): void {
    if (this.state === "ended") return;
    this.state = "draining";
    this.send({ kind: "drain", gentle: false });
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  send(message: ToWorker): void {
    try {
      this.#process?.send(message);
    } catch (error) {
      // It is dying; its exit will be told.
      this.#log.debug("worker does not listen", { error: String(error) });
    }
  }

  #received(message: FromWorker): void {
    switch (message.kind) {
      case "ready":
        if (this.state !== "starting") return;
        clearTimeout(this.#timer);
        this.state = "ready";
        this.#log.debug("worker ready", { pid: this.#process?.pid });
        this.#settle();
        return this.#changed(this);
      case "failed":
        this.lastWords = message.reason;
        return;
      case "prepared":
      case "committed":
        if (this.#awaited?.what === `${message.kind} ${message.generation}`) this.#awaited.settle();
        return;
      case "handed-over":
        if (this.#awaited?.what === message.kind) this.#awaited.settle();
        return;
      case "refused":
        if (this.#awaited?.what === `prepared ${message.generation}`) this.#awaited.fail(message.reason);
        return;
      default:
        this.#options.onMessage?.(this.slot, message);
    }
  }

  #settle(): void {
    for (const resolve of this.#onSettled.splice(0)) resolve();
  }

  #exited(code: number | null, signal: string | null): void {
    clearTimeout(this.#timer);
    const wasAsked = this.state === "draining";
    const wasReady = this.state === "ready";
    const how = signal === null ? `exit code ${code}` : signal;
    if (this.lastWords === "") this.lastWords = `it ended with ${how}${wasReady ? "" : " before it was ready"}`;
    if (!wasAsked) this.#log.error("worker died", { pid: this.#process?.pid, code, signal, reason: this.lastWords });
    this.#process = null;
    this.state = "ended";
    this.#awaited?.fail(`worker ${this.slot} died: ${this.lastWords}`);
    this.#settle();
    this.#changed(this);
  }
}

interface Awaited {
  readonly what: string;
  settle(): void;
  fail(why: string): void;
}

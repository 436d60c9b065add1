/**
 * The worker processes: one per slot, started again when it dies. A slot's listening sockets stay
 * open meanwhile, so clients wait in the kernel's queue instead of being refused.
 */
import type { Log } from "../base/log.ts";
import type { FromWorker, Start, ToWorker } from "./ipc.ts";

export interface WorkersOptions {
  readonly count: number;
  /** Program and arguments of a worker. */
  readonly command: readonly string[];
  /** Descriptors that the worker of a slot inherits, as 3, 4, 5 … */
  fds(slot: number): readonly number[];
  /** What it is told first. */
  start(slot: number): Start;
  readonly log: Log;
  /** How many are ready has changed. */
  onReadyChange(ready: number): void;
  /** A worker has died by itself; another will take its slot. */
  onDeath(slot: number): void;
  /** A worker says something that is not about its own start. */
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
const READY_WITHIN_MS = 60_000;
/** What a worker gets beyond the grace time for writing its log. */
export const EXIT_WITHIN_MS = 3000;
/** A commit only exchanges references: who needs longer is stuck. */
const COMMIT_WITHIN_MS = 10_000;

export class Workers {
  readonly #options: WorkersOptions;
  readonly #workers: Worker[];
  #settleStart: { resolve(): void; reject(why: Error): void } | null = null;
  #stopping = false;
  /** Until a change is decided nobody is started: it could only be told what may be over in a moment. */
  #deciding = false;
  #onAllEnded: (() => void) | null = null;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#workers = Array.from({ length: options.count }, (_, slot) => new Worker(slot, options, this.#changed));
  }

  /**
   * Starts all of them.
   * @throws {Error} once one of them dies before it was ready: the config or the machine is not fit for it
   */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settleStart = { resolve, reject };
      for (const worker of this.#workers) worker.spawn();
    });
  }

  view(): WorkerView[] {
    return this.#workers.map((worker) => worker.view());
  }

  /** To all that are serving or about to. */
  send(message: ToWorker): void {
    for (const worker of this.#workers) worker.send(message);
  }

  /**
   * Lets every worker build another config beside the one it serves.
   * @param tell sends what the worker of that slot needs for it
   * @throws {Error} if one cannot, with its reason, or dies meanwhile. `abort` must follow then; else
   *   `commit` or `abort`. What `start` tells must be decided by then, because workers that died are
   *   started with it.
   */
  async prepare(generation: number, tell: (slot: number, send: (message: ToWorker) => void) => void): Promise<void> {
    // One that starts would be told of the old config only.
    await Promise.all(this.#workers.map((worker) => worker.settled()));
    if (this.#stopping) throw new Error("the program is stopping");
    this.#deciding = true;
    const asked = this.#workers.filter(({ state }) => state === "ready");
    if (asked.length === 0) throw new Error("no worker is ready");
    await Promise.all(
      asked.map((worker) => {
        const answer = worker.answer(`prepared ${generation}`, READY_WITHIN_MS);
        tell(worker.slot, (message) => worker.send(message));
        return answer;
      }),
    );
  }

  /** Whoever waits for a preparation gives it up. */
  cancelPreparation(): void {
    for (const worker of this.#workers) worker.cancel("prepared", "the program is stopping");
  }

  /**
   * Workers will outlive this supervisor. What is not ready ends: its place is taken soon, and nothing
   * is started again.
   * @returns process ids of those that serve on
   */
  async handOver(): Promise<number[]> {
    this.#deciding = true;
    const asked = this.#workers.filter(({ state }) => state === "ready");
    for (const worker of this.#workers) if (!asked.includes(worker)) worker.signal("SIGKILL");
    const answers = asked.map(async (worker) => {
      const answer = worker.answer("handed-over", COMMIT_WITHIN_MS);
      worker.send({ kind: "handover" });
      await answer.catch(() => worker.signal("SIGKILL"));
    });
    await Promise.all(answers);
    return asked.flatMap((worker) => (worker.state === "ready" ? [worker.view().pid!] : []));
  }

  /** The supervisor stays after all. */
  takeBack(): void {
    this.#decided();
  }

  /** What was prepared is served from now on. Settles when every worker does so, or has died. */
  async commit(generation: number): Promise<void> {
    const asked = this.#workers.filter(({ state }) => state === "ready");
    const answers = asked.map((worker) =>
      worker.answer(`committed ${generation}`, COMMIT_WITHIN_MS).catch(() => worker.signal("SIGKILL")),
    );
    for (const worker of asked) worker.send({ kind: "commit", generation });
    this.#decided();
    await Promise.all(answers);
  }

  /** What was prepared, or is still being, is forgotten. */
  abort(generation: number): void {
    for (const worker of this.#workers) if (worker.state === "ready") worker.send({ kind: "abort", generation });
    this.#decided();
  }

  /** Workers open their log files again. */
  reopen(): void {
    for (const worker of this.#workers) worker.send({ kind: "reopen" });
  }

  /**
   * Lets all finish what they have in flight. Nothing is started again after this.
   * @param graceMs the config's drain time
   * @returns false if one had to be killed after the grace time
   */
  async drain(graceMs: number): Promise<boolean> {
    const ended = this.#stop();
    for (const worker of this.#workers) worker.drain();
    let inTime = true;
    const deadline =
      graceMs === Infinity
        ? null
        : setTimeout(() => {
            inTime = false;
            this.#signal("SIGKILL");
          }, graceMs + EXIT_WITHIN_MS);
    await ended;
    if (deadline !== null) clearTimeout(deadline);
    return inTime;
  }

  /** Ends all at once. */
  async kill(): Promise<void> {
    const ended = this.#stop();
    this.#signal("SIGKILL");
    await ended;
  }

  #decided(): void {
    this.#deciding = false;
    for (const worker of this.#workers) if (worker.isDue && !this.#stopping) worker.spawnAgain();
  }

  #stop(): Promise<void> {
    this.#stopping = true;
    for (const worker of this.#workers) worker.stopRestarting();
    return new Promise((resolve) => {
      const before = this.#onAllEnded;
      this.#onAllEnded = () => {
        before?.();
        resolve();
      };
      this.#checkEnded();
    });
  }

  #signal(signal: NodeJS.Signals): void {
    for (const worker of this.#workers) worker.signal(signal);
  }

  #checkEnded(): void {
    if (this.#stopping && this.#workers.every(({ state }) => state === "ended")) this.#onAllEnded?.();
  }

  readonly #changed = (worker: Worker): void => {
    const { onDeath, onReadyChange } = this.#options;
    const ready = this.#workers.filter(({ state }) => state === "ready").length;
    onReadyChange(ready);
    if (ready === this.#workers.length) {
      this.#settleStart?.resolve();
      this.#settleStart = null;
    }
    if (this.#stopping) this.#checkEnded();
    if (this.#stopping || worker.state !== "ended") return;
    onDeath(worker.slot);
    if (this.#settleStart === null) worker.spawnLater(() => !this.#deciding);
    else this.#settleStart.reject(new Error(worker.lastWords));
  };
}

/** One slot and whatever process fills it. */
class Worker {
  state: WorkerState = "ended";
  /** Why the last process ended. */
  lastWords = "";
  readonly slot: number;
  readonly #options: WorkersOptions;
  readonly #log: Log;
  readonly #changed: (worker: Worker) => void;
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

  constructor(slot: number, options: WorkersOptions, changed: (worker: Worker) => void) {
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
    this.#process = Bun.spawn([...command], {
      stdio: ["ignore", "inherit", "inherit", ...fds(this.slot)],
      serialization: "advanced",
      ipc: (message) => this.#received(message as FromWorker),
      onExit: (_, code, signal) => this.#exited(code, signal as unknown as string | null),
    });
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

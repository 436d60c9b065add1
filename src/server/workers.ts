/**
 * The worker processes: one per slot, started again when it dies. A slot's listening sockets stay
 * open meanwhile, so clients wait in the kernel's queue instead of being refused.
 */
import type { ToWorker } from "./ipc.ts";
import { READY_WITHIN_MS, type SlotOptions, WorkerSlot, type WorkerState, type WorkerView } from "./worker-slot.ts";

export interface WorkersOptions extends SlotOptions {
  readonly count: number;
  /** Whether anybody is to fill this slot for now. `adjust` looks again. */
  isWanted(slot: number): boolean;
  /** How many are ready has changed. */
  onReadyChange(ready: number): void;
  /** A worker is gone, by itself or since it is not wanted any more. @param isReplaced another will take its slot */
  onDeath(slot: number, isReplaced: boolean): void;
}

/** What a worker gets beyond the grace time for writing its log. */
export const EXIT_WITHIN_MS = 3000;
/** A commit only exchanges references: who needs longer is stuck. */
const COMMIT_WITHIN_MS = 10_000;

export class Workers {
  readonly #options: WorkersOptions;
  readonly #workers: WorkerSlot[];
  #settleStart: { resolve(): void; reject(why: Error): void } | null = null;
  #stopping = false;
  #mayPrepare = true;
  /** Until a change is decided nobody is started: it could only be told what may be over in a moment. */
  #deciding = false;
  #onAllEnded: (() => void) | null = null;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#workers = Array.from({ length: options.count }, (_, slot) => new WorkerSlot(slot, options, this.#changed));
  }

  /**
   * Starts all of them.
   * @throws {Error} once one of them dies before it was ready: the config or the machine is not fit for it; or if they
   *   have been told to end already
   */
  start(): Promise<void> {
    if (this.#stopping) return Promise.reject(new Error("the program is stopping"));
    return new Promise((resolve, reject) => {
      this.#settleStart = { resolve, reject };
      for (const worker of this.#workers) if (this.#isWanted(worker)) worker.spawn();
    });
  }

  /** Fills slots that are wanted now, and lets the others finish. */
  adjust(): void {
    if (this.#stopping) return;
    for (const worker of this.#workers) {
      const isWanted = this.#isWanted(worker);
      if (isWanted && worker.state === "ended") worker.spawn();
      else if (!isWanted && worker.state === "waiting") worker.stopRestarting();
      else if (!isWanted && worker.state !== "draining") worker.drain();
    }
  }

  #isWanted({ slot }: WorkerSlot): boolean {
    return this.#options.isWanted(slot);
  }

  view(): WorkerView[] {
    return this.#workers
      .filter((worker) => this.#isWanted(worker) || worker.state !== "ended")
      .map((worker) => worker.view());
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
    if (!this.#mayPrepare) throw new Error("the program is stopping");
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

  /** Whoever waits for a preparation gives it up, and none is begun any more. */
  cancelPreparation(): void {
    this.#mayPrepare = false;
    for (const worker of this.#workers) worker.cancel("prepared", "the program is stopping");
  }

  /**
   * Workers will outlive this supervisor, those that finish what they have included. What has nothing yet ends: its
   * place is taken soon, and nothing is started again.
   * @returns process ids of those that serve on
   */
  async handOver(): Promise<{ readonly serving: number[]; readonly draining: number[] }> {
    this.#deciding = true;
    const asked = this.#workers.filter(({ state }) => state === "ready" || state === "draining");
    for (const worker of this.#workers) if (!asked.includes(worker)) worker.signal("SIGKILL");
    const answers = asked.map(async (worker) => {
      const answer = worker.answer("handed-over", COMMIT_WITHIN_MS);
      worker.send({ kind: "handover", supervisor: process.pid });
      await answer.catch(() => worker.signal("SIGKILL"));
    });
    await Promise.all(answers);
    const pids = (wanted: WorkerState) =>
      asked.flatMap((worker) => (worker.state === wanted ? [worker.view().pid!] : []));
    return { serving: pids("ready"), draining: pids("draining") };
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
    this.#mayPrepare = false;
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

  readonly #changed = (worker: WorkerSlot): void => {
    const { onDeath, onReadyChange } = this.#options;
    const ready = this.#workers.filter(({ state }) => state === "ready").length;
    onReadyChange(ready);
    if (this.#workers.every((one) => one.state === "ready" || !this.#isWanted(one))) {
      this.#settleStart?.resolve();
      this.#settleStart = null;
    }
    if (this.#stopping) this.#checkEnded();
    if (this.#stopping || worker.state !== "ended") return;
    const isWanted = this.#isWanted(worker);
    onDeath(worker.slot, isWanted);
    if (!isWanted) return;
    if (this.#settleStart === null) worker.spawnLater(() => !this.#deciding);
    else this.#settleStart.reject(new Error(worker.lastWords));
  };
}

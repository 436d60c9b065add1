/**
 * Starts programs and makes sure that none outlives us: every one is ended by its process id,
 * with all its descendants, when asked, at exit and on Ctrl-C. A process is named by id and start
 * time, so an id that was given away again is never signalled.
 */
import { closeSync, openSync, readFileSync } from "node:fs";
import { type ProcessStat, statOf, treeOf } from "./process-tree.ts";

export interface Launch {
  /** For messages. */
  readonly name: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** The core it may run on; undefined: any. */
  readonly cpu?: number | undefined;
  /** Files; both default to `log`. */
  readonly output?: string;
  readonly log: string;
  /** With it the program is given a channel for messages (process.send in Node.js). */
  readonly onMessage?: (message: unknown) => void;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly log: string;
  readonly running: () => boolean;
  readonly exited: Promise<number>;
  /** CPU time it used, microseconds; 0 while it runs. */
  readonly cpuMicroseconds: () => number;
  /** Does nothing without a channel, or once it is closed. */
  readonly send: (message: unknown) => void;
}

const GRACE_MS = 3000;

export class Children {
  readonly #running = new Map<number, { child: Child; startedAt: number }>();
  readonly #onStop: (() => void)[] = [];

  constructor() {
    process.on("exit", () => this.#killAll());
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
      ["SIGHUP", 129],
    ] as const) {
      process.once(signal, () => {
        for (const listener of this.#onStop) listener();
        process.exit(code); // and with it the handler above
      });
    }
  }

  /** Called before an end by signal, to clean up what is not a process. */
  onSignal(listener: () => void): void {
    this.#onStop.push(listener);
  }

  start(launch: Launch): Child {
    const log = openSync(launch.log, "a");
    const output = launch.output === undefined ? log : openSync(launch.output, "a");
    try {
      const process_ = Bun.spawn(pinned(launch.command, launch.cpu), {
        stdin: "ignore",
        stdout: output,
        stderr: log,
        env: { ...process.env, ...launch.environment },
        ...(launch.onMessage === undefined ? {} : { ipc: launch.onMessage, serialization: "json" }),
      });
      const child: Child = {
        name: launch.name,
        pid: process_.pid,
        log: launch.log,
        running: () => process_.exitCode === null && process_.signalCode === null,
        exited: process_.exited,
        cpuMicroseconds: () => Number(process_.resourceUsage()?.cpuTime.total ?? 0),
        send: (message) => {
          try {
            if (launch.onMessage !== undefined) process_.send(message);
          } catch {
            // It ended.
          }
        },
      };
      this.#running.set(child.pid, { child, startedAt: statOf(child.pid)?.startedAt ?? 0 });
      return child;
    } finally {
      closeSync(log);
      if (output !== log) closeSync(output);
    }
  }

  /** SIGTERM, after a grace time again, at last SIGKILL to whatever is left of the tree. */
  async stop(child: Child, graceMs = GRACE_MS): Promise<void> {
    const tree = this.#treeOf(child);
    signal(tree.slice(0, 1), "SIGTERM");
    const ended = await within(graceMs, child.exited);
    if (!ended) {
      signal(tree.slice(0, 1), "SIGTERM");
      await within(1000, child.exited);
    }
    // A descendant may take a moment longer than the process that leads it.
    for (let waited = 0; waited < 500 && tree.some(isAlive); waited += 20) await Bun.sleep(20);
    signal(tree, "SIGKILL");
    await within(1000, child.exited);
    this.#running.delete(child.pid);
  }

  /** Waits for a program that ends by itself; past the time it is stopped. Returns its exit code. */
  async finish(child: Child, withinMs: number): Promise<number> {
    if (!(await within(withinMs, child.exited))) await this.stop(child);
    this.#running.delete(child.pid);
    return child.exited;
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ child }) => this.stop(child)));
  }

  #killAll(): void {
    for (const { child } of this.#running.values()) signal(this.#treeOf(child), "SIGKILL");
    this.#running.clear();
  }

  #treeOf(child: Child): ProcessStat[] {
    const tree = treeOf(child.pid);
    return tree[0]?.startedAt === this.#running.get(child.pid)?.startedAt ? tree : [];
  }
}

function pinned(command: readonly string[], cpu: number | undefined): string[] {
  return cpu === undefined ? [...command] : ["taskset", "-c", String(cpu), ...command];
}

function isAlive({ pid, startedAt }: ProcessStat): boolean {
  return statOf(pid)?.startedAt === startedAt;
}

function signal(processes: readonly ProcessStat[], name: "SIGTERM" | "SIGKILL"): void {
  for (const each of processes) {
    if (!isAlive(each)) continue;
    try {
      process.kill(each.pid, name);
    } catch {
      // It ended in between.
    }
  }
}

async function within(milliseconds: number, event: Promise<unknown>): Promise<boolean> {
  let timer: Timer | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, milliseconds, false);
  });
  try {
    return await Promise.race([event.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The last lines a child wrote, for messages about its failure. */
export function lastLines(child: Child, count = 15): string {
  try {
    return readFileSync(child.log, "utf8").trimEnd().split("\n").slice(-count).join("\n");
  } catch {
    return "";
  }
}

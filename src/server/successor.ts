/**
 * Starting in the place of another program. What goes wrong then (a config that is broken by now, a port
 * that is taken, a disk that is full) stops nothing: the old workers serve on, and it is tried again.
 */
import type { Log } from "../base/log.ts";
import type { Handover } from "./handover.ts";
import type { Signals } from "./signals.ts";
import { type ProgramCommand, takeOver } from "./upgrade.ts";

const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;
const END_MS = 30_000;

/**
 * @param begin starts and serves until it is told to stop, by these signals too; gives the exit code, or "stopped" if it
 *   was told so before it had begun
 * @returns exit code
 */
export async function succeed(
  handover: Handover,
  begin: () => Promise<number | "stopped">,
  signals: Signals,
  command: ProgramCommand,
  log: Log,
): Promise<number> {
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, MAX_DELAY_MS)) {
    const code = await begin();
    if (code === "stopped") return end(handover, signals, log);
    // It was stopped, or there is nobody left to serve.
    if (code === 0 || handover.isComplete || handover.workers.length === 0) return code;
    const facts = { version: handover.facts.version, workers: handover.workers.length };
    const when = `trying again in ${delayMs / 1000} s, or at SIGHUP; SIGUSR2 starts the program on the disk`;
    log.error(`the new program does not start, the old workers serve on: ${when}`, facts);
    switch (await wish(signals, handover, delayMs)) {
      case "stop":
        return end(handover, signals, log);
      case "upgrade":
        await startAnew(handover, signals, command, log);
        break;
      case "retry":
    }
  }
}

/** Lets the old workers finish. @returns exit code */
async function end(handover: Handover, signals: Signals, log: Log): Promise<number> {
  log.info(`finishing what is in flight, for ${END_MS / 1000} s at most; signal again to end now`);
  let killed = false;
  void signals.second.then((again) => {
    log.warn(`${again}: ending now`);
    killed = true;
    handover.kill();
  });
  return (await handover.end(END_MS)) && !killed ? 0 : 1;
}

/** The program on the disk may be a better one by now. Does not return unless the system refuses. */
async function startAnew(handover: Handover, signals: Signals, command: ProgramCommand, log: Log): Promise<void> {
  const { facts } = handover;
  const alive = new Set(handover.workers);
  const left = {
    ...facts,
    workers: facts.workers.filter((pid) => alive.has(pid)),
    draining: facts.draining.filter((pid) => alive.has(pid)),
  };
  try {
    await takeOver(command, { runtime: process.execPath }, left, () => signals.isStopping);
  } catch (thrown) {
    log.error(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** What to do next: the time or a signal says it. */
async function wish(signals: Signals, handover: Handover, delayMs: number): Promise<"retry" | "upgrade" | "stop"> {
  const wished = Promise.withResolvers<"retry" | "upgrade" | "stop">();
  const timer = setTimeout(() => wished.resolve("retry"), delayMs);
  void signals.first.then(() => wished.resolve("stop"));
  signals.onReopen = () => handover.reopen();
  signals.onReload = () => wished.resolve("retry");
  signals.onUpgrade = () => wished.resolve("upgrade");
  try {
    return await wished.promise;
  } finally {
    clearTimeout(timer);
    signals.leave();
  }
}

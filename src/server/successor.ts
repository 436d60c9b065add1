/**
 * Starting in the place of another program. What goes wrong then (a config that is broken by now, a port
 * that is taken, a disk that is full) stops nothing: the old workers serve on, and it is tried again.
 */
import type { Log } from "../base/log.ts";
import type { Handover } from "./handover.ts";
import { Signals } from "./signals.ts";
import { type ProgramCommand, takeOver } from "./upgrade.ts";

const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;
const END_MS = 30_000;

/**
 * @param begin starts and serves until it is told to stop, by these signals too; gives the exit code
 * @returns exit code
 */
export async function succeed(
  handover: Handover,
  begin: (signals: Signals) => Promise<number>,
  command: ProgramCommand,
  log: Log,
): Promise<number> {
  const signals = new Signals();
  for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, MAX_DELAY_MS)) {
    const code = await begin(signals);
    // It was stopped, or there is nobody left to serve.
    if (code === 0 || handover.isComplete || handover.workers.length === 0) return code;
    const facts = { version: handover.facts.version, workers: handover.workers.length };
    const when = `trying again in ${delayMs / 1000} s, or at SIGHUP; SIGUSR2 starts the program on the disk`;
    log.error(`the new program does not start, the old workers serve on: ${when}`, facts);
    switch (await wish(signals, handover, delayMs)) {
      case "stop":
        log.info("finishing what is in flight");
        return (await handover.end(END_MS)) ? 0 : 1;
      case "upgrade":
        await startAnew(handover, command, log);
        break;
      case "retry":
    }
  }
}

/** The program on the disk may be a better one by now. Does not return unless the system refuses. */
async function startAnew(handover: Handover, command: ProgramCommand, log: Log): Promise<void> {
  const { facts } = handover;
  const alive = new Set(handover.workers);
  const left = {
    ...facts,
    workers: facts.workers.filter((pid) => alive.has(pid)),
    draining: facts.draining.filter((pid) => alive.has(pid)),
  };
  try {
    await takeOver(command, { runtime: process.execPath }, left, () => false);
  } catch (thrown) {
    log.error(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** What to do next: the time or a signal says it. */
function wish(signals: Signals, handover: Handover, delayMs: number): Promise<"retry" | "upgrade" | "stop"> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve("retry"), delayMs);
    signals.onReload = () => resolve("retry");
    signals.onUpgrade = () => resolve("upgrade");
    signals.onReopen = () => handover.reopen();
    void signals.first.then(() => {
      clearTimeout(timer);
      resolve("stop");
    });
  });
}

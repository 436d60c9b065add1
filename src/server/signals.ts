/**
 * What a supervisor is told by signals. The first SIGTERM or SIGINT asks for a drain, a later one ends everything now.
 * SIGHUP stops only if there was a terminal, and it is gone; else it means to read the config again. SIGUSR1 is for
 * log files that were moved away, SIGUSR2 for another program on the disk.
 */
import { isatty } from "node:tty";
import { admitSignals } from "./process-image.ts";

/** Ctrl-C reaches us from the terminal and once more from a launcher that hands it on: that is one wish, not two. */
const SAME_WISH_MS = 500;

/**
 * Heard from here to the end of the process: where nobody listened for a moment, the system's default would end it.
 * Who can act on a signal puts itself in; one that comes when nobody has is dropped, but for a wish to stop.
 */
export class Signals {
  /** Settled by the first signal to stop. */
  readonly first: Promise<NodeJS.Signals>;
  /** Settled by a later one. */
  readonly second: Promise<NodeJS.Signals>;
  onReload = nothing;
  onReopen = nothing;
  onUpgrade = nothing;

  constructor() {
    const terminals = [0, 1, 2].filter(isatty);
    const first = Promise.withResolvers<NodeJS.Signals>();
    const second = Promise.withResolvers<NodeJS.Signals>();
    let firstAt = Infinity;
    const stop = (signal: NodeJS.Signals) => {
      const now = performance.now();
      if (firstAt === Infinity) {
        firstAt = now;
        first.resolve(signal);
      } else if (now - firstAt > SAME_WISH_MS) second.resolve(signal);
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    process.on("SIGHUP", () => {
      // A terminal that was closed is none any more.
      if (terminals.some((fd) => !isatty(fd))) stop("SIGHUP");
      else this.onReload();
    });
    process.on("SIGUSR1", () => this.onReopen());
    process.on("SIGUSR2", () => this.onUpgrade());
    admitSignals();
    this.first = first.promise;
    this.second = second.promise;
  }
}

const nothing = (): void => {};

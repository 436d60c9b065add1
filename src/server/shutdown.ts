/**
 * When to stop. The first SIGTERM or SIGINT asks for a drain, a later one ends everything now.
 * SIGHUP stops only if there was a terminal, and it is gone; else it means to read the config again.
 */
import { isatty } from "node:tty";
import { admitSignals } from "./process-image.ts";

/** Ctrl-C reaches us from the terminal and once more from a launcher that hands it on: that is one wish, not two. */
const SAME_WISH_MS = 500;

export class StopSignals {
  /** Settled by the first signal. */
  readonly first: Promise<NodeJS.Signals>;
  /** Settled by a later one. */
  readonly second: Promise<NodeJS.Signals>;
  #dispose: () => void;

  /** @param onReload SIGHUP */
  constructor(onReload: () => void) {
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
    const hangUp = () => {
      // A terminal that was closed is none any more.
      if (terminals.some((fd) => !isatty(fd))) stop("SIGHUP");
      else onReload();
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    process.on("SIGHUP", hangUp);
    admitSignals();
    this.first = first.promise;
    this.second = second.promise;
    this.#dispose = () => {
      process.off("SIGTERM", stop);
      process.off("SIGINT", stop);
      process.off("SIGHUP", hangUp);
    };
  }

  dispose(): void {
    this.#dispose();
  }
}

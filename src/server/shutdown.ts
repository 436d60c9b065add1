/**
 * When to stop. The first SIGTERM or SIGINT asks for a drain, a later one ends everything now.
 * SIGHUP stops only if there is a terminal, and it is gone.
 */
import type { Log } from "../base/log.ts";

/** Ctrl-C reaches us from the terminal and once more from a launcher that hands it on: that is one wish, not two. */
const SAME_WISH_MS = 500;

export class StopSignals {
  /** Settled by the first signal. */
  readonly first: Promise<NodeJS.Signals>;
  /** Settled by a later one. */
  readonly second: Promise<NodeJS.Signals>;
  #dispose: () => void;

  constructor(log: Log) {
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
      if (process.stdin.isTTY || process.stdout.isTTY) stop("SIGHUP");
      else log.warn("SIGHUP ignored: the config is read at the start only");
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    process.on("SIGHUP", hangUp);
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

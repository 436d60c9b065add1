/**
 * What a supervisor is told by signals. The first SIGTERM or SIGINT asks for a drain, a later one ends everything now.
 * SIGHUP stops only if there was a terminal, and it is gone; else it means to read the config again. SIGUSR1 is for
 * log files that were moved away, SIGUSR2 for another program on the disk.
 */
import { isatty } from "node:tty";
import { admitSignals, SIGNALS, wasStopNoted } from "./process-image.ts";

/** Ctrl-C reaches us from the terminal and once more from a launcher that hands it on: that is one wish, not two. */
const SAME_WISH_MS = 500;

/** What came while the program was still being read, see cli/main.ts. */
export interface EarlySignals {
  readonly heard: readonly NodeJS.Signals[];
  /** Descriptors that were terminals then. */
  readonly terminals: readonly number[];
  /** Others listen now. */
  end(): void;
}

/**
 * Heard from here to the end of the process: where nobody listened for a moment, the system's default would end it.
 * Who can act on a signal puts itself in; one that comes when nobody has waits for the first who does.
 */
export class Signals {
  /** Settled by the first signal to stop. */
  readonly first: Promise<string>;
  /** Settled by a later one. */
  readonly second: Promise<string>;
  readonly #terminals: readonly number[];
  readonly #first = Promise.withResolvers<string>();
  readonly #second = Promise.withResolvers<string>();
  readonly #reload = new Wish();
  readonly #reopen = new Wish();
  readonly #upgrade = new Wish();
  #firstAt = Infinity;

  constructor(early: EarlySignals | null = null) {
    this.first = this.#first.promise;
    this.second = this.#second.promise;
    this.#terminals = early?.terminals ?? [0, 1, 2].filter(isatty);
    for (const signal of SIGNALS) process.on(signal, () => this.#hear(signal));
    early?.end();
    for (const signal of early?.heard ?? []) this.#hear(signal);
    if (wasStopNoted()) this.stop("SIGTERM");
    admitSignals();
  }

  /** There was a signal to stop. */
  get isStopping(): boolean {
    return this.#firstAt !== Infinity;
  }

  set onReload(act: () => void) {
    this.#reload.actBy(act);
  }

  set onReopen(act: () => void) {
    this.#reopen.actBy(act);
  }

  set onUpgrade(act: () => void) {
    this.#upgrade.actBy(act);
  }

  /** Nobody can act on them for now. */
  leave(): void {
    for (const wish of [this.#reload, this.#reopen, this.#upgrade]) wish.actBy(null);
  }

  #hear(signal: NodeJS.Signals): void {
    switch (signal) {
      case "SIGHUP":
        // A terminal that was closed is none any more.
        if (this.#terminals.some((fd) => !isatty(fd))) this.stop(signal);
        else this.#reload.come();
        return;
      case "SIGUSR1":
        return this.#reopen.come();
      case "SIGUSR2":
        return this.#upgrade.come();
      case "SIGALRM":
        // It came between two programs.
        return this.stop("SIGTERM");
      default:
        this.stop(signal);
    }
  }

  /** As a signal does. @param why its name, or what else happened */
  stop(why: string): void {
    const now = performance.now();
    if (!this.isStopping) {
      this.#firstAt = now;
      this.#first.resolve(why);
    } else if (now - this.#firstAt > SAME_WISH_MS) this.#second.resolve(why);
  }
}

class Wish {
  #act: (() => void) | null = null;
  #waits = false;

  come(): void {
    if (this.#act === null) this.#waits = true;
    else this.#act();
  }

  actBy(act: (() => void) | null): void {
    this.#act = act;
    if (act === null || !this.#waits) return;
    this.#waits = false;
    act();
  }
}

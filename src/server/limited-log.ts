/** For what strangers can bring about as often as they like: so many lines in a while, and then how many more there were. */
import type { Facts, Log } from "../base/log.ts";
import { Timer, timerList } from "../base/timer.ts";

export class LimitedLog {
  readonly #most: number;
  readonly #timer = new Timer(() => this.#sum());
  readonly #perMs: number;
  #lines = 0;
  #left = 0;
  #log: Log | null = null;

  /** @param most lines in `perMs` */
  constructor(most: number, perMs: number) {
    this.#most = most;
    this.#perMs = perMs;
  }

  info(log: Log, message: string, facts: Facts): void {
    this.#log = log;
    if (this.#lines === 0) this.#timer.arm(timerList(this.#perMs)!);
    if (this.#lines >= this.#most) {
      this.#left++;
      return;
    }
    this.#lines++;
    log.info(message, facts);
  }

  #sum(): void {
    if (this.#left > 0) this.#log?.info("more of the same was not logged", { lines: this.#left });
    this.#lines = 0;
    this.#left = 0;
  }
}

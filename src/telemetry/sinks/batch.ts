/**
 * Collects lines and writes them in batches: when `buffer` octets have come together or the oldest
 * line has waited `flushMs`. Traffic never waits for it. While a write is under way lines pile up
 * to `maxPending` octets; beyond that, and when a write fails (a full disk, say), lines are
 * dropped and counted. Every later batch is a new try, so it recovers by itself.
 */
import type { Log } from "../../base/log.ts";
import type { Output } from "./output.ts";

export interface BatchOptions {
  /** Octets gathered before a write. */
  readonly buffer: number;
  readonly flushMs: number;
  readonly maxPending: number;
  /** For warnings, such as "access log /var/log/access.log". */
  readonly name: string;
  readonly log: Log;
  onDropped(lines: number): void;
}

/** A failing output is told of at most once in this time. */
const WARN_EVERY_MS = 60_000;
const NEWLINE = 0x0a;

export class Batch {
  readonly #output: Output;
  readonly #options: BatchOptions;
  /** Lines that wait. Characters stand for octets in the bounds; log lines are nearly all ASCII. */
  #pending = "";
  #pendingLines = 0;
  #writing = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** A failed write stopped within a line: the next batch begins on a line of its own. */
  #torn = false;
  #droppedSinceWarning = 0;
  #warnedAt = -Infinity;
  #onIdle: (() => void)[] = [];

  constructor(output: Output, options: BatchOptions) {
    this.#output = output;
    this.#options = options;
  }

  /** @param line without its line feed */
  add(line: string): void {
    const { buffer, maxPending } = this.#options;
    const octets = this.#pending.length + line.length + 1;
    if (octets > maxPending && this.#writing) {
      this.#dropped(1, "the output does not keep up");
      return;
    }
    this.#pending += `${line}\n`;
    this.#pendingLines++;
    if (octets >= buffer) this.#flush();
    else this.#flushLater();
  }

  reopen(): void {
    this.#output.reopen((error) => {
      if (error === null) this.#options.log.info(`${this.#options.name} reopened`);
      else
        this.#options.log.error(`${this.#options.name} could not be reopened, the old file stays`, {
          error: error.message,
        });
    });
  }

  /** Writes what waits, for `patienceMs` at most, and closes. */
  async close(patienceMs = 2000): Promise<void> {
    const idle = new Promise<void>((resolve) => this.#onIdle.push(resolve));
    this.#flush();
    const patience = new Promise<void>((resolve) => setTimeout(resolve, patienceMs).unref());
    await Promise.race([idle, patience]);
    this.#output.close();
  }

  #flush(): void {
    // Also while a write is under way: a timer that has fired must not look like one that will.
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#writing) return;
    if (this.#pending === "") {
      for (const resolve of this.#onIdle.splice(0)) resolve();
      return;
    }
    const lines = Buffer.from(this.#torn ? `\n${this.#pending}` : this.#pending);
    const count = this.#pendingLines;
    this.#pending = "";
    this.#pendingLines = 0;
    this.#writing = true;
    this.#output.write(lines, (error, octets) => {
      this.#writing = false;
      if (error === null) this.#torn = false;
      else {
        if (octets > 0) this.#torn = lines[octets - 1] !== NEWLINE;
        this.#dropped(Math.min(count, countLines(lines, octets)), error.message);
      }
      // What came meanwhile has waited long enough if it fills a buffer, or if somebody closes.
      if (this.#pending.length >= this.#options.buffer || this.#onIdle.length > 0) this.#flush();
      else if (this.#pending !== "") this.#flushLater();
    });
  }

  #flushLater(): void {
    const { flushMs } = this.#options;
    if (flushMs !== Infinity) this.#timer ??= setTimeout(() => this.#flush(), flushMs);
  }

  #dropped(lines: number, why: string): void {
    this.#options.onDropped(lines);
    this.#droppedSinceWarning += lines;
    const now = performance.now();
    if (now - this.#warnedAt < WARN_EVERY_MS) return;
    this.#warnedAt = now;
    this.#options.log.warn(`${this.#options.name}: lines dropped`, { lines: this.#droppedSinceWarning, error: why });
    this.#droppedSinceWarning = 0;
  }
}

/** Lines that end at or after `from`. */
function countLines(octets: Buffer, from: number): number {
  let lines = 0;
  for (let at = octets.indexOf(NEWLINE, from); at >= 0; at = octets.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}

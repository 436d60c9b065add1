/** Counts clients for a while and reports every second. Belongs to a worker; between watches nothing is counted. */
import type { Exchange } from "../http/exchange.ts";
import { type ClientCount, ClientSketch } from "./client-sketch.ts";
import { statusOf } from "./outcome.ts";

/** Clients counted in each worker. */
const ROOM = 64;
const REPORT_MS = 1000;

export class ClientWatch {
  readonly #report: (overMs: number, counts: readonly ClientCount[]) => void;
  #sketch: ClientSketch | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #until = 0;
  #since = 0;

  constructor(report: (overMs: number, counts: readonly ClientCount[]) => void) {
    this.#report = report;
  }

  /** Counts for so long from now on. */
  watch(forMs: number): void {
    this.#until = performance.now() + forMs;
    if (this.#sketch !== null) return;
    this.#sketch = new ClientSketch(ROOM);
    this.#since = performance.now();
    this.#timer = setInterval(() => this.#tell(), REPORT_MS);
    this.#timer.unref();
  }

  count(exchange: Exchange): void {
    this.#sketch?.count(exchange.clientAddress, statusOf(exchange) >= 500, exchange.responseOctets);
  }

  #tell(): void {
    const now = performance.now();
    this.#report(now - this.#since, this.#sketch!.take());
    this.#since = now;
    if (now < this.#until) return;
    clearInterval(this.#timer);
    this.#sketch = null;
  }
}

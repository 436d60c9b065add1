/**
 * The busiest clients over all workers, for whoever looks. Workers count them only while somebody
 * does: a question makes them count for some seconds and report every second.
 */
import type { ClientCount } from "../telemetry/client-sketch.ts";
import type { ToWorker } from "./ipc.ts";

export interface ClientRate {
  /** Address. */
  readonly client: string;
  readonly requestsPerSecond: number;
  /** Answered with 5xx. */
  readonly errorsPerSecond: number;
  /** Of response content. */
  readonly octetsPerSecond: number;
}

/** What a worker counted. */
export interface ClientReport {
  readonly overMs: number;
  readonly counts: readonly ClientCount[];
}

/** Workers count this long after a question. */
const WATCH_MS = 5000;
/** A report counts this long: a worker that is gone or has no traffic makes no other. */
const FRESH_MS = 3000;
const MOST_CLIENTS = 64;

export class ClientTally {
  readonly #send: (message: ToWorker) => void;
  readonly #now: () => number;
  readonly #reports = new Map<number, ClientReport & { readonly at: number }>();

  constructor(send: (message: ToWorker) => void, now: () => number = performance.now.bind(performance)) {
    this.#send = send;
    this.#now = now;
  }

  /** Most requests first. Empty until the first reports are in. */
  ask(): ClientRate[] {
    this.#send({ kind: "watch-clients", forMs: WATCH_MS });
    const rates = new Map<string, ClientRate>();
    for (const { at, overMs, counts } of this.#reports.values()) {
      if (this.#now() - at > FRESH_MS) continue;
      const perSecond = 1000 / overMs;
      for (const { client, requests, errors, octets } of counts) {
        const before = rates.get(client);
        rates.set(client, {
          client,
          requestsPerSecond: (before?.requestsPerSecond ?? 0) + requests * perSecond,
          errorsPerSecond: (before?.errorsPerSecond ?? 0) + errors * perSecond,
          octetsPerSecond: (before?.octetsPerSecond ?? 0) + octets * perSecond,
        });
      }
    }
    return [...rates.values()].sort((a, b) => b.requestsPerSecond - a.requestsPerSecond).slice(0, MOST_CLIENTS);
  }

  report(slot: number, report: ClientReport): void {
    this.#reports.set(slot, { ...report, at: this.#now() });
  }
}

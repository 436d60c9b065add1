/**
 * Clients that ask one after the other and check every answer: kept connections that are made anew now
 * and then, so that all workers have some.
 */
import { get, RawClient } from "./raw.ts";

/** Exchanges on one connection. */
const KEPT = 8;
const PATIENCE_MS = 15_000;

export interface Answer {
  /** Unix time in ms, with fractions. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** 0: there was none. */
  readonly status: number;
  readonly text: string;
  /** Why there was none; null: all is well. */
  readonly error: string | null;
  /** X-Origin of the response. */
  readonly origin: string | undefined;
}

export interface LoadOptions {
  readonly clients?: number;
  /** Between an answer and the next request of a client. */
  readonly pauseMs?: number;
  readonly fieldLines?: readonly string[];
}

export class Load {
  readonly answers: Answer[] = [];
  readonly #port: number;
  readonly #path: string;
  readonly #options: Required<LoadOptions>;
  readonly #clients: Promise<void>[];
  #stopping = false;

  constructor(port: number, path: string, { clients = 4, pauseMs = 15, fieldLines = [] }: LoadOptions = {}) {
    this.#port = port;
    this.#path = path;
    this.#options = { clients, pauseMs, fieldLines };
    this.#clients = Array.from({ length: clients }, () => this.#ask());
    running.add(this);
  }

  /** Answers so far that are not a whole 200. */
  get failures(): Answer[] {
    return this.answers.filter(({ status, error }) => status !== 200 || error !== null);
  }

  /** Answers that came from there, by requests that were made after a time. */
  from(origin: { readonly address: string }, since = 0): Answer[] {
    return this.answers.filter((answer) => answer.origin === origin.address && answer.startedAt >= since);
  }

  /** Requests from now on are answered, so many of them. */
  async more(count: number): Promise<Answer[]> {
    const since = now();
    const after = () => this.answers.filter(({ startedAt }) => startedAt >= since);
    for (const end = performance.now() + PATIENCE_MS; after().length < count; await Bun.sleep(5))
      if (performance.now() > end) throw new Error(`only ${after().length} of ${count} more answers`);
    return after();
  }

  /** Settles with all answers when every client has its last one. */
  async stop(): Promise<Answer[]> {
    this.#stopping = true;
    await Promise.all(this.#clients);
    running.delete(this);
    return this.answers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #ask(): Promise<void> {
    const { pauseMs, fieldLines } = this.#options;
    while (!this.#stopping) {
      let client: RawClient | null = null;
      for (let i = 0; i < KEPT && !this.#stopping; i++) {
        const startedAt = now();
        let error: string | null = null;
        let status = 0;
        let text = "";
        let origin: string | undefined;
        try {
          client ??= await RawClient.connect(this.#port);
          void client.send(get(this.#path, ...fieldLines));
          const response = await client.response("GET", PATIENCE_MS);
          ({ status, text } = response);
          origin = response.field("x-origin");
          if (response.field("connection") === "close") i = KEPT;
        } catch (thrown) {
          error = (thrown as Error).message;
          i = KEPT;
        }
        this.answers.push({ startedAt, endedAt: now(), status, text, error, origin });
        await Bun.sleep(pauseMs * (0.5 + Math.random()));
      }
      client?.destroy();
    }
  }
}

const running = new Set<Load>();

/** For afterAll: no load outlives a test that failed. */
export async function stopLoads(): Promise<void> {
  await Promise.all([...running].map((load) => load.stop()));
}

/** Unix time in ms, with fractions. */
export const now = (): number => performance.timeOrigin + performance.now();

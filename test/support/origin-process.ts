/**
 * A real origin server in a process of its own (origin-process.mjs): it can be killed, frozen, started
 * again on its port, and told to misbehave. Each has a loopback address of its own, so that nobody
 * takes its port while it is dead.
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";

const program = join(import.meta.dir, "origin-process.mjs");

/** What it does with requests, after `delayMs`. Texts are latin1. */
export type Behaviour = { readonly delayMs?: number } & (
  | { readonly kind: "answer"; readonly status?: number }
  | { readonly kind: "silent" }
  /** Until it is told to behave otherwise; then all that wait are served so. */
  | { readonly kind: "hold" }
  | {
      readonly kind: "octets";
      readonly octets: string;
      /** Octet by octet, with this pause after each. */
      readonly everyMs?: number;
      readonly after: "keep" | "end" | "reset";
    }
);

/** Requests but for /healthz, since it was started or `clear`ed. */
export interface OriginCounts {
  readonly requests: number;
  readonly checks: number;
  readonly running: number;
  /** Most at one time. */
  readonly most: number;
  readonly answered: number;
}

type Said = { readonly port?: number; readonly error?: string; readonly counts?: OriginCounts };
type Child = Bun.Subprocess<"pipe", "pipe", "inherit">;

export class OriginProcess {
  readonly host: string;
  readonly #backlog: number;
  #port = 0;
  #child: Child | null = null;
  /** Those that wait for an answer, in order. */
  #asked: ((said: Said) => void)[] = [];
  #behaviour: Behaviour = { kind: "answer" };

  private constructor(host: string, port: number, backlog: number) {
    this.host = host;
    this.#backlog = backlog;
    this.#port = port;
    running.add(this);
  }

  /**
   * @param port 0: one that is free
   * @param backlog connections that the kernel accepts for it and it has not seen yet
   */
  static async start(port = 0, backlog = 511): Promise<OriginProcess> {
    const octet = () => randomInt(1, 255);
    const origin = new OriginProcess(`127.${octet()}.${octet()}.${octet()}`, port, backlog);
    await origin.restart();
    return origin;
  }

  /** As in a config. It answers with this too. */
  get address(): string {
    return `${this.host}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Starts it again on its port; it behaves as before. Settles when it listens. */
  async restart(): Promise<void> {
    const child = Bun.spawn(["node", program, this.host, String(this.#port), String(this.#backlog)], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { PATH: process.env["PATH"] ?? "" },
    });
    this.#child = child;
    const isUp = this.#answer();
    void this.#read(child);
    const { port, error } = await isUp;
    if (port === undefined) throw new Error(`the origin server could not start: ${error}`);
    this.#port = port;
    await this.behave(this.#behaviour);
  }

  async behave(behaviour: Behaviour): Promise<void> {
    this.#behaviour = behaviour;
    await this.#ask({ behave: behaviour });
  }

  /** Only with requests below /`name`/, until it is killed. */
  async behaveBelow(name: string, behaviour: Behaviour): Promise<void> {
    await this.#ask({ behave: behaviour, below: name });
  }

  /** Counts from 0 again. */
  async clear(): Promise<void> {
    await this.#ask({ reset: true });
  }

  counts(): Promise<OriginCounts> {
    return this.#ask({});
  }

  /** SIGKILL. Settles when it is gone, its sockets too. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    child?.kill("SIGKILL");
    await child?.exited;
  }

  /** SIGSTOP: the kernel goes on accepting connections, and nobody reads them. */
  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** The kernel ends its sockets; nothing waits for that. */
  stop(): void {
    running.delete(this);
    void this.kill();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  async #ask(command: object): Promise<OriginCounts> {
    if (this.#child === null) throw new Error(`${this.address} is dead`);
    const said = this.#answer();
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    await this.#child.stdin.flush();
    const { counts } = await said;
    return counts!;
  }

  #answer(): Promise<Said> {
    return new Promise((resolve) => this.#asked.push(resolve));
  }

  async #read(child: Child): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#asked.shift()?.(JSON.parse(line) as Said);
    }
    if (this.#child === child || this.#child === null) {
      for (const tell of this.#asked.splice(0)) tell({ error: "it ended" });
    }
  }
}

const running = new Set<OriginProcess>();
process.on("exit", () => {
  for (const origin of running) origin.stop();
});

/** Several, ended together. @param port of all of them */
export async function originProcesses(count: number, port = 0): Promise<OriginProcess[] & Disposable> {
  const list = await Promise.all(Array.from({ length: count }, () => OriginProcess.start(port)));
  return Object.assign(list, {
    [Symbol.dispose]() {
      for (const origin of list) origin.stop();
    },
  });
}

/** A program of the matrix: it is told what to do by lines on its input, and tells what it sees by lines of JSON. */
import { findProgram } from "../../src/base/testing.ts";

const PATIENCE_MS = 30_000;

/** Of the exchange with this number, or of none. */
export interface Said {
  readonly id?: string;
  readonly event: string;
  readonly [fact: string]: unknown;
}

export class Told {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #said: Said[] = [];
  #waiting: (() => void)[] = [];
  #isOver = false;

  /** @param runtime what it runs on, if not Node */
  constructor(program: string, args: readonly string[] = [], runtime: string = findProgram("node")!) {
    this.#child = Bun.spawn([runtime, program, ...args], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    void this.#read();
  }

  tell(line: string): void {
    this.#child.stdin.write(`${line}\n`);
    void this.#child.stdin.flush();
  }

  /** All that was said of an exchange, as far as `event` tells. */
  said(id: string | undefined, event: string): Said[] {
    return this.#said.filter((one) => one.id === id && one.event === event);
  }

  /** The first thing said of an exchange that is this, now or later. */
  async hears(id: string | undefined, event: string, is: (said: Said) => boolean = () => true): Promise<Said> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = this.#said.find((one) => one.id === id && one.event === event && is(one));
      if (found !== undefined) return found;
      if (Date.now() > deadline || this.#isOver) {
        const heard = this.#said.filter((one) => one.id === id).map((one) => JSON.stringify(one));
        throw new Error(`"${event}" was not heard of ${id}; heard was:\n${heard.join("\n")}`);
      }
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 1000);
      });
    }
  }

  stop(): void {
    this.#child.kill();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const octets of this.#child.stdout) {
      const lines = (rest + decoder.decode(octets, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#said.push(JSON.parse(line) as Said);
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
    this.#isOver = true;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

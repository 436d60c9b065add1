/** A program of the operator's sets the records: called with "present" or "cleanup", the name and the value. */
import type { DnsHookConfig } from "../../config/gateway-config.ts";
import { oneLine } from "../ca-problem.ts";
import type { DnsProvider } from "./provider.ts";

/** Of what it says, for the log. */
const MOST_LETTERS = 16 * 1024;
/** For the last of it, once the program has ended: what it began may hold the pipe for ever. */
const LAST_WORDS_MS = 1000;

export class DnsHook implements DnsProvider {
  readonly #config: DnsHookConfig;
  readonly #directory: string;

  /** @param directory  where it runs: the folder of the config file */
  constructor(config: DnsHookConfig, directory: string) {
    this.#config = config;
    this.#directory = directory;
  }

  present(name: string, value: string, signal: AbortSignal): Promise<void> {
    return this.#run(["present", name, value], signal);
  }

  cleanup(name: string, value: string, signal: AbortSignal): Promise<void> {
    return this.#run(["cleanup", name, value], signal);
  }

  async #run(args: readonly string[], signal: AbortSignal): Promise<void> {
    const { command, timeout } = this.#config;
    signal.throwIfAborted();
    const what = `${command[0]} ${args[0]}`;
    let child: Bun.Subprocess<"ignore", "ignore", "pipe">;
    try {
      // In a process group of its own, to be ended with all that it began.
      child = Bun.spawn([...command, ...args], {
        cwd: this.#directory,
        stdio: ["ignore", "ignore", "pipe"],
        detached: true,
      });
    } catch (thrown) {
      throw new Error(`${what} cannot be run: ${(thrown as Error).message}`);
    }
    let isLate = false;
    const end = () => endGroup(child.pid);
    const timer = setTimeout(() => {
      isLate = true;
      end();
    }, timeout);
    signal.addEventListener("abort", end);
    try {
      const said = new Said(child.stderr);
      const code = await child.exited;
      if (code === 0) return;
      signal.throwIfAborted();
      await Promise.race([said.whole, Bun.sleep(LAST_WORDS_MS)]);
      const how = isLate ? `was not done after ${timeout / 1000} s` : `ended with ${child.signalCode ?? code}`;
      throw new Error(`${what} ${how}${said.text === "" ? "" : `: ${oneLine(said.text)}`}`);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
    }
  }
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}

/** What a program says. All of it is read, so that the program does not wait for room; the rest is thrown away. */
class Said {
  /** Settles with its end. */
  readonly whole: Promise<void>;
  #text = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.whole = this.#read(stream).catch(() => {});
  }

  /** So far. */
  get text(): string {
    return this.#text.trim();
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const piece of stream)
      if (this.#text.length < MOST_LETTERS) this.#text += decoder.decode(piece, { stream: true });
  }
}

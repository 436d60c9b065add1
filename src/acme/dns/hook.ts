/** A program of the operator's sets the records: called with "present" or "cleanup", the name and the value. */
import type { DnsHookConfig } from "../../config/gateway-config.ts";
import { oneLine } from "../ca-problem.ts";
import type { DnsProvider } from "./provider.ts";

/** Of what it says, for the log. */
const MOST_OCTETS = 16 * 1024;

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
      child = Bun.spawn([...command, ...args], { cwd: this.#directory, stdio: ["ignore", "ignore", "pipe"] });
    } catch (thrown) {
      throw new Error(`${what} cannot be run: ${(thrown as Error).message}`);
    }
    const end = () => child.kill("SIGKILL");
    const timer = setTimeout(end, timeout);
    signal.addEventListener("abort", end);
    try {
      const said = readSome(child.stderr);
      const code = await child.exited;
      if (code === 0) return;
      signal.throwIfAborted();
      if (child.signalCode === "SIGKILL") throw new Error(`${what} was not done after ${timeout / 1000} s`);
      // A grandchild may hold the pipe for ever.
      const text = await Promise.race([said, Bun.sleep(200).then(() => "")]);
      throw new Error(`${what} ended with ${child.signalCode ?? code}${text === "" ? "" : `: ${oneLine(text)}`}`);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
    }
  }
}

/** The rest is read and thrown away, so that the program does not wait for room. */
async function readSome(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const piece of stream) if (text.length < MOST_OCTETS) text += Buffer.from(piece).toString();
  return text.trim();
}

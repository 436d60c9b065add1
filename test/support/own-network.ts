/**
 * A network of its own, where there is nothing but a loopback: every port is free, those below 1024 too, and
 * nobody outside can be asked for anything. What a page tells to do runs there as it is written.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** Networks of one's own need unprivileged user namespaces, which not every machine allows. */
export const hasOwnNetworks = spawnSync("unshare", ["-rn", "true"]).status === 0;

export class OwnNetwork {
  readonly #holder: Bun.Subprocess<"pipe", "pipe", "inherit">;

  private constructor(holder: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.#holder = holder;
  }

  static async create(): Promise<OwnNetwork> {
    const script = join(import.meta.dir, "own-network-process.ts");
    const holder = Bun.spawn(["unshare", "-rn", process.execPath, script], { stdio: ["pipe", "pipe", "inherit"] });
    const { value } = await holder.stdout.getReader().read();
    if (value === undefined) throw new Error("no network of its own could be made");
    return new OwnNetwork(holder);
  }

  /** The command that runs this one there. */
  command(...command: readonly string[]): string[] {
    return ["nsenter", "-t", String(this.#holder.pid), "-U", "-n", "--preserve-credentials", "--", ...command];
  }

  /** What runs there goes on; it has to be ended by whoever began it. */
  close(): void {
    this.#holder.kill();
  }
}

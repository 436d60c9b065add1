/**
 * What a process of the gateway holds, without what nobody has collected yet: tens of MiB of garbage are
 * usual, and hide a leak. A handler is put into its processes from outside, which collects on a signal and
 * tells what is left.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";

export interface Memory {
  /** Resident octets after the collection. What the allocators keep for later counts too. */
  readonly residentOctets: number;
  /** Octets of live objects, with what they hold outside of the engine's heap. */
  readonly heapOctets: number;
  readonly objects: number;
}

export class MemoryProbe {
  readonly #directory = mkdtempSync(join(tmpdir(), "lintel-memory-"));

  /** For the environment of a gateway's start. */
  get environment(): Record<string, string> {
    return {
      BUN_OPTIONS: `--preload=${join(import.meta.dir, "memory-probe-preload.ts")}`,
      LINTEL_MEMORY_PROBE: this.#directory,
    };
  }

  /** @throws {Error} if the process does not answer */
  async read(pid: number): Promise<Memory> {
    const file = join(this.#directory, `${pid}.json`);
    rmSync(file, { force: true });
    process.kill(pid, "SIGWINCH");
    let memory: Memory | null = null;
    await until(() => (memory = readIfThere(file)) !== null, `memory of process ${pid}`);
    return memory!;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function readIfThere(file: string): Memory | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Memory;
  } catch {
    return null;
  }
}

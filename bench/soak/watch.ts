/** Memory, descriptors and CPU time of Lintel's workers while the soak runs. */
import type { MemoryProbe } from "../../test/support/memory-probe.ts";
import { cpuOf, descriptorsOf, memoryOfProcess, treeOf } from "../system/process-tree.ts";

export interface WorkerReading {
  readonly pid: number;
  /** Resident octets. */
  readonly rss: number;
  readonly descriptors: number;
}

/** After a collection. */
export interface RestReading extends WorkerReading {
  /** Octets of live objects. */
  readonly heap: number;
}

/**
 * The workers are the processes of the tree that have started no other.
 * @throws if there are not so many within the time
 */
export async function findWorkers(root: number, count: number, deadlineMs = 10_000): Promise<number[]> {
  let found: number[] = [];
  for (const end = Date.now() + deadlineMs; Date.now() < end; await Bun.sleep(100)) {
    found = leavesOf(root);
    if (found.length === count) return found;
  }
  throw new Error(`${count} workers wanted, ${found.length} found`);
}

export function leavesOf(root: number): number[] {
  const tree = treeOf(root);
  return tree.filter(({ pid }) => !tree.some(({ parent }) => parent === pid)).map(({ pid }) => pid);
}

export function readWorkers(pids: readonly number[]): WorkerReading[] {
  return pids.map((pid) => ({ pid, rss: memoryOfProcess(pid)?.rss ?? 0, descriptors: descriptorsOf(pid) }));
}

/** One that is gone reads as nothing. */
export function readAtRest(pids: readonly number[], probe: MemoryProbe): Promise<RestReading[]> {
  return Promise.all(
    pids.map(async (pid) => {
      const none = { residentOctets: 0, heapOctets: 0 };
      const { residentOctets: rss, heapOctets: heap } = await probe.read(pid).catch(() => none);
      return { pid, rss, heap, descriptors: descriptorsOf(pid) };
    }),
  );
}

/** The part of one core that the process trees used since the last call. */
export class CpuShare {
  readonly #roots: readonly number[];
  #at = performance.now();
  #used: number;

  constructor(roots: readonly number[]) {
    this.#roots = roots;
    this.#used = this.#total();
  }

  take(): number {
    const at = performance.now();
    const used = this.#total();
    const share = (used - this.#used) / 1000 / (at - this.#at);
    this.#at = at;
    this.#used = used;
    return share;
  }

  #total(): number {
    return this.#roots.reduce((sum, root) => sum + cpuOf(root), 0);
  }
}

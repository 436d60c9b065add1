/**
 * What a process and everything below it has used, from /proc: CPU time in microseconds and
 * memory in octets. A proxy is measured as the whole tree under the command that started it, so
 * masters, supervisors and launchers count as much as the workers.
 *
 * Linux only. The kernel counts CPU time in ticks of 10 ms: windows should last seconds.
 */
import { readdirSync, readFileSync } from "node:fs";

/** USER_HZ: 100 on every Linux that Bun runs on. */
const MICROSECONDS_PER_TICK = 10_000;

export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  /** User and system time of it, and of its children that have ended and were waited for. */
  readonly cpuMicroseconds: number;
  /** In ticks since boot; with `pid` it names a process for good. */
  readonly startedAt: number;
}

/** Reads /proc/PID/stat, whose second field may hold spaces and parentheses itself. */
export function parseStat(text: string): ProcessStat {
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  const fields = text.slice(close + 2).split(" ");
  const number = (field: number) => Number(fields[field - 3]); // numbered from 1 as in proc(5); the third comes first
  return {
    pid: Number(text.slice(0, open)),
    name: text.slice(open + 1, close),
    parent: number(4),
    cpuMicroseconds: (number(14) + number(15) + number(16) + number(17)) * MICROSECONDS_PER_TICK,
    startedAt: number(22),
  };
}

/** null if it has ended. */
export function statOf(pid: number): ProcessStat | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return null;
  }
}

/** The process and all its live descendants, parents before children; empty if it has ended. */
export function treeOf(root: number): ProcessStat[] {
  const byParent = new Map<number, ProcessStat[]>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    const stat = Number.isInteger(pid) ? statOf(pid) : null;
    if (stat === null) continue;
    const siblings = byParent.get(stat.parent);
    if (siblings === undefined) byParent.set(stat.parent, [stat]);
    else siblings.push(stat);
  }
  const top = statOf(root);
  const tree = top === null ? [] : [top];
  for (let i = 0; i < tree.length; i++) tree.push(...(byParent.get(tree[i]!.pid) ?? []));
  return tree;
}

/** CPU time of the tree since it started. A child that ended in between stays counted: its parent has waited for it. */
export function cpuOf(root: number): number {
  return treeOf(root).reduce((sum, { cpuMicroseconds }) => sum + cpuMicroseconds, 0);
}

export interface Memory {
  /** Resident octets, summed over the tree: pages that processes share count once for each. */
  readonly rss: number;
  /** The same with shared pages divided among their users. */
  readonly pss: number;
}

export function memoryOf(root: number): Memory {
  let rss = 0;
  let pss = 0;
  for (const { pid } of treeOf(root)) {
    const memory = memoryOfProcess(pid);
    rss += memory?.rss ?? 0;
    pss += memory?.pss ?? 0;
  }
  return { rss, pss };
}

/** Of one process alone; null if it has ended. */
export function memoryOfProcess(pid: number): Memory | null {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    return { rss: kibibytes(text, "Rss:"), pss: kibibytes(text, "Pss:") };
  } catch {
    return null;
  }
}

function kibibytes(text: string, label: string): number {
  const at = text.indexOf(`\n${label}`);
  return at < 0 ? 0 : Number.parseInt(text.slice(at + 1 + label.length), 10) * 1024;
}

/** Open file descriptors of one process; 0 if it has ended. */
export function descriptorsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

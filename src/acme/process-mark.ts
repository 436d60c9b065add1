/**
 * Names this process so that others on the same machine can tell whether it still lives: boot, process
 * namespace, process id and start time.
 */
import { readFileSync, readlinkSync } from "node:fs";

const place = ((): string => {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
    return `${boot}/${readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")}`;
  } catch {
    return "unknown";
  }
})();

/** @returns null if there is no such process */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // "pid (name) state ppid …"; the name may have anything in it. The start time is field 22.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}

/** Without spaces. Another program that this process becomes (execve) has the same one. */
export const processMark = (): string => `${place}/${process.pid}/${startOf(process.pid)}`;

/** @returns true if it was on this machine and is gone; false also if nobody can tell */
export function isGone(mark: string): boolean {
  const [boot, namespace, pid, start] = mark.split("/");
  if (place === "unknown" || `${boot}/${namespace}` !== place) return false;
  return startOf(Number(pid)) !== start;
}

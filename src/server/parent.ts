/** Who started a process, and when that one is gone. */
import { readFileSync } from "node:fs";

const PARENT_LOOK_MS = 1000;

/** Calls once this process has another parent than that one. The runtime remembers its first; the kernel knows. */
export function watchParent(parent: number, onGone: () => void): void {
  const timer = setInterval(() => {
    if (parentPid() === parent) return;
    clearInterval(timer);
    onGone();
  }, PARENT_LOOK_MS);
}

function parentPid(): number {
  const stat = readFileSync("/proc/self/stat", "latin1");
  // "pid (name) state ppid …"; the name may have anything in it.
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

/** Who listens on a port, for a message: the first thing one asks when it is taken. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** State of a socket that takes what comes: TCP_LISTEN, and TCP_CLOSE for one of UDP. */
const WAITING = { tcp: "0A", udp: "07" } as const;

/** @returns such as "nginx (process 1234)"; null if it cannot be found out, for lack of rights say */
export function portOwner(port: number, protocol: "tcp" | "udp" = "tcp"): string | null {
  const state = WAITING[protocol];
  const tables = [`/proc/net/${protocol}`, `/proc/net/${protocol}6`];
  const inodes = new Set(tables.flatMap((table) => waiting(table, port, state)));
  if (inodes.size === 0) return null;
  for (const pid of attempt(() => readdirSync("/proc")) ?? []) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
      const inode = /^socket:\[(\d+)\]$/.exec(attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? "")?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      return `${attempt(() => readFileSync(`/proc/${pid}/comm`, "utf8"))?.trim() ?? "a program"} (process ${pid})`;
    }
  }
  return null;
}

/** Inodes of the sockets that wait on a port, from a table of proc_net(5). */
function waiting(table: string, port: number, wanted: string): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = (attempt(() => readFileSync(table, "utf8")) ?? "").split("\n").map((row) => row.trim().split(/\s+/));
  return rows.filter(([, local, , state]) => local?.endsWith(suffix) && state === wanted).map((row) => row[9]!);
}

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

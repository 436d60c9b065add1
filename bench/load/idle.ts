/** What ten thousand idle connections cost a proxy: memory, and CPU time while nothing happens. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Children } from "../system/children.ts";
import { cpuOf, type Memory, memoryOf } from "../system/process-tree.ts";

export interface Idle {
  readonly before: Memory;
  readonly after: Memory;
  /** Still open when the memory was read. */
  readonly open: number;
  readonly failed: number;
  /** CPU time per second while idle, as a part of 1. */
  readonly busy: number;
}

const OPEN_DEADLINE_MS = 60_000;
const SETTLE_MS = 2000;
const IDLE_MS = 3000;

/** @throws if the client does not get its connections open in time */
export async function measureIdle(
  children: Children,
  directory: string,
  proxy: { readonly name: string; readonly pid: number; readonly port: number },
  connections: number,
  cpu: number | undefined,
): Promise<Idle> {
  const before = memoryOf(proxy.pid);
  const output = join(directory, `idle-${proxy.name}.json`);
  const client = children.start({
    name: "idle client",
    command: [process.execPath, join(import.meta.dir, "idle-client.ts"), String(proxy.port), String(connections)],
    cpu,
    output,
    log: join(directory, "idle-client.log"),
  });
  try {
    await report(output, 1, OPEN_DEADLINE_MS);
    await Bun.sleep(SETTLE_MS);
    const cpuBefore = cpuOf(proxy.pid);
    await Bun.sleep(IDLE_MS);
    const busy = (cpuOf(proxy.pid) - cpuBefore) / (IDLE_MS * 1000);
    const after = memoryOf(proxy.pid);
    process.kill(client.pid, "SIGUSR1");
    return { before, after, busy, ...(await report(output, 2, 5000)) };
  } finally {
    await children.stop(client);
  }
}

async function report(file: string, line: number, deadlineMs: number): Promise<{ open: number; failed: number }> {
  for (const end = Date.now() + deadlineMs; Date.now() < end; await Bun.sleep(50)) {
    const lines = readFileSync(file, "utf8").split("\n");
    if (lines.length > line) return JSON.parse(lines[line - 1]!) as { open: number; failed: number };
  }
  throw new Error(`the idle client said nothing within ${deadlineMs} ms`);
}

/** Loaded into a process before its program (BUN_OPTIONS): see memory-probe.ts. */

import { heapStats } from "bun:jsc";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Memory } from "./memory-probe.ts";

process.on("SIGWINCH", () => {
  // What the first one finalizes may hold on to more.
  Bun.gc(true);
  Bun.gc(true);
  const { heapSize, objectCount } = heapStats();
  const memory: Memory = {
    residentOctets: process.memoryUsage.rss(),
    heapOctets: heapSize,
    objects: objectCount,
  };
  const file = join(process.env["LINTEL_MEMORY_PROBE"]!, `${process.pid}.json`);
  writeFileSync(`${file}.new`, JSON.stringify(memory));
  renameSync(`${file}.new`, file);
});

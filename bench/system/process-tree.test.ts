import { expect, test } from "bun:test";
import { cpuOf, descriptorsOf, memoryOf, parseStat, statOf, treeOf } from "./process-tree.ts";

const fields = "S 7 1 1 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5555 1000 200";

test.each(["nginx", "a (b) c", ") ("])("a process named %j is read whole", (name) => {
  const stat = parseStat(`42 (${name}) ${fields}`);
  expect(stat).toEqual({ pid: 42, name, parent: 7, cpuMicroseconds: 1_100_000, startedAt: 5555 });
});

test("a tree holds the process and what it started", async () => {
  const child = Bun.spawn(["sh", "-c", "sleep 5 & wait"], { stdout: "ignore" });
  try {
    for (let tries = 0; tries < 1000 && treeOf(child.pid).length < 2; tries++) await Bun.sleep(10);
    expect(treeOf(child.pid).map(({ name }) => name)).toEqual(["sh", "sleep"]);
    expect(memoryOf(child.pid).rss).toBeGreaterThan(100_000);
  } finally {
    for (const { pid } of treeOf(child.pid)) process.kill(pid, "SIGKILL");
    await child.exited;
  }
  expect(statOf(child.pid)).toBeNull();
  expect(treeOf(child.pid)).toEqual([]);
});

test("CPU time grows with work done, also in a child that has ended", () => {
  const before = cpuOf(process.pid);
  Bun.spawnSync(["sh", "-c", "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done"]);
  expect(cpuOf(process.pid) - before).toBeGreaterThanOrEqual(20_000);
});

test("descriptors of a process are counted, of a missing one there are none", () => {
  expect(descriptorsOf(process.pid)).toBeGreaterThan(2);
  expect(descriptorsOf(2 ** 30)).toBe(0);
});

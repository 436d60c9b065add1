import { expect, spyOn, test } from "bun:test";
import { Timer, timerList } from "../base/timer.ts";
import { run } from "./loop.ts";
import { Slices } from "./slices.ts";

const busy = (ms: number) => {
  for (const end = performance.now() + ms; performance.now() < end; );
};

test("others have their turn between the slices of long work", async () => {
  let ticks = 0;
  const timer = new Timer(() => {
    ticks++;
    timer.arm(timerList(1)!);
  });
  timer.arm(timerList(1)!);
  run();
  const slices = new Slices();
  let pauses = 0;
  for (let i = 0; i < 20; i++) {
    busy(2);
    if (!slices.isOver) continue;
    pauses++;
    await slices.next();
  }
  timer.cancel();
  expect(pauses).toBeGreaterThan(3);
  expect(ticks).toBeGreaterThanOrEqual(pauses - 1);
});

test("short work is not cut", () => {
  const now = spyOn(performance, "now").mockReturnValue(1000);
  try {
    const slices = new Slices();
    now.mockReturnValue(1002);
    expect(slices.isOver).toBe(false);
    now.mockReturnValue(1003);
    expect(slices.isOver).toBe(true);
  } finally {
    now.mockRestore();
  }
});

import { expect, test } from "bun:test";
import { LagWatch } from "./lag-watch.ts";

/** Time that a test passes; the beat itself comes from the runtime's own timer. */
function watch(timeoutMs = 200) {
  const time = { now: 0 };
  const lag = new LagWatch(timeoutMs, () => time.now);
  lag.start();
  return { lag, time };
}

test("a lag is seen by whoever began before it ended, even before the next beat", () => {
  const { lag, time } = watch();
  time.now = 10;
  expect(lag.lagged(0)).toBe(false);
  time.now = 5000;
  expect(lag.lagged(10)).toBe(true);
  lag.stop();
});

test("who begins after a lag has nothing to do with it", async () => {
  const { lag, time } = watch();
  time.now = 5000;
  // Beats every 25 ms.
  await Bun.sleep(100);
  time.now = 5010;
  expect([lag.lagged(4999), lag.lagged(5005)]).toEqual([true, false]);
  lag.stop();
});

test("less than a quarter of the timeout is no lag", () => {
  const { lag, time } = watch(2000);
  time.now = 700;
  expect(lag.lagged(0)).toBe(false);
  time.now = 800;
  expect(lag.lagged(0)).toBe(true);
  lag.stop();
});

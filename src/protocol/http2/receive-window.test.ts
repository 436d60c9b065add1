import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import { clock } from "../../base/timer.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { GrowthBudget } from "./window-growth.ts";

const KIB = 1024;
const ROUND_TRIP_MS = 100;
// Whole: sums of parts of a millisecond are not exact.
const before = Math.ceil(clock.now);
clock.now = before;
afterEach(() => {
  clock.now = before;
});

/** Half a window comes and is taken, so many milliseconds after the last one. */
function half(window: ReceiveWindow, afterMs: number): number {
  const octets = Math.ceil(window.octets / 2);
  clock.now += afterMs;
  expect(window.arrive(octets)).toBe(true);
  return window.take(octets, true, ROUND_TRIP_MS);
}

test("a window that holds the peer up doubles, up to its limit", () => {
  const window = new ReceiveWindow(64 * KIB, 300 * KIB);
  const sizes = [1, 2, 3, 4].map(() => {
    half(window, ROUND_TRIP_MS / 2);
    return window.octets / KIB;
  });
  expect(sizes).toEqual([128, 256, 300, 300]);
  expect(window.left).toBe(300 * KIB);
});

test("one of which half is used in a round trip or more stays as it is", () => {
  const window = new ReceiveWindow(64 * KIB, 1024 * KIB);
  for (let turn = 0; turn < 10; turn++) expect(half(window, ROUND_TRIP_MS)).toBe(32 * KIB);
  expect([window.octets, window.left]).toEqual([64 * KIB, 64 * KIB]);
});

test("nor does one grow whose taker is slow, however fast the peer sends", () => {
  const window = new ReceiveWindow(64 * KIB, 1024 * KIB);
  window.arrive(64 * KIB);
  for (let turn = 0; turn < 8; turn++) {
    clock.now += ROUND_TRIP_MS;
    window.take(8 * KIB, true, ROUND_TRIP_MS);
  }
  expect(window.octets).toBe(64 * KIB);
});

test("one that has ended grows no more by what is taken late", () => {
  const budget = new GrowthBudget(1024 * KIB);
  const window = new ReceiveWindow(64 * KIB, 1024 * KIB, 64 * KIB, budget);
  window.arrive(64 * KIB);
  window.end();
  expect(window.take(64 * KIB, true, ROUND_TRIP_MS)).toBe(0);
  expect(budget.used).toBe(0);
});

test("octets that may not be given back yet are given back later", () => {
  const window = new ReceiveWindow(64 * KIB);
  window.arrive(64 * KIB);
  expect(window.take(64 * KIB, false, ROUND_TRIP_MS)).toBe(0);
  expect(window.take(0, true, ROUND_TRIP_MS)).toBe(64 * KIB);
});

test("windows grow within what all of them may, and give it back at their end", () => {
  const budget = new GrowthBudget(100 * KIB);
  const windows = [1, 2].map(() => new ReceiveWindow(64 * KIB, 1024 * KIB, 64 * KIB, budget));
  for (const window of windows) half(window, 1);
  expect(windows.map(({ octets }) => octets / KIB)).toEqual([128, 64]);
  windows[0]!.end();
  windows[0]!.end();
  expect(budget.used).toBe(0);
  half(windows[1]!, 1);
  expect([windows[1]!.octets, budget.used]).toEqual([128 * KIB, 64 * KIB]);
});

test("where there is no more room for all, one that grew becomes what it was: less is given back", () => {
  const budget = new GrowthBudget(1024 * KIB);
  const window = new ReceiveWindow(64 * KIB, 1024 * KIB, 64 * KIB, budget);
  half(window, 1);
  half(window, 1);
  expect([window.octets, budget.used]).toEqual([256 * KIB, 192 * KIB]);
  budget.most = 0;
  expect(half(window, 1)).toBe(0); // 128 KiB came, and none are given back.
  expect([window.octets, window.left, budget.used]).toEqual([128 * KIB, 128 * KIB, 64 * KIB]);
  expect(half(window, 1)).toBe(0);
  expect(half(window, ROUND_TRIP_MS)).toBe(32 * KIB);
  expect([window.octets, window.left, budget.used]).toEqual([64 * KIB, 64 * KIB, 0]);
});

test("the peer may never have more on its way than the window's size, nor more than the limit", () => {
  const step = fc.record({ octets: fc.nat(70 * KIB), afterMs: fc.nat(200), may: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const budget = new GrowthBudget(200 * KIB);
      const window = new ReceiveWindow(64 * KIB, 512 * KIB, 64 * KIB, budget);
      let untaken = 0;
      for (const { octets, afterMs, may } of steps) {
        clock.now += afterMs;
        const sent = Math.min(octets, window.left);
        expect(window.arrive(sent)).toBe(true);
        untaken += sent;
        const taken = Math.min(untaken, octets);
        untaken -= taken;
        window.take(taken, may, ROUND_TRIP_MS);
        expect(window.left + untaken).toBeLessThanOrEqual(window.octets);
        expect(window.octets).toBeLessThanOrEqual(264 * KIB);
        expect(budget.used).toBe(window.octets - 64 * KIB);
      }
      window.end();
      expect(budget.used).toBe(0);
    }),
  );
});

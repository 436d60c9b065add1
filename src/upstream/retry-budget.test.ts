import { afterAll, beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import { clock, tickTimers } from "../base/timer.ts";
import { RetryBudget } from "./retry-budget.ts";

beforeEach(() => {
  clock.now = Math.ceil(performance.now());
});

afterAll(() => tickTimers());

const exchanges = (budget: RetryBudget, count: number) => {
  for (let i = 0; i < count; i++) budget.exchange();
};
/** Retries that are allowed of so many that are wanted. */
const retries = (budget: RetryBudget, wanted: number) =>
  Array.from({ length: wanted }, () => budget.tryRetry()).filter(Boolean).length;

test("a share of the exchanges may be retried", () => {
  const budget = new RetryBudget(0.2, 0);
  exchanges(budget, 100);
  expect(retries(budget, 50)).toBe(20);
  exchanges(budget, 5);
  expect(retries(budget, 50)).toBe(1);
});

test("nothing without exchanges, nor with a share of 0", () => {
  expect(new RetryBudget(0.2, 0).tryRetry()).toBe(false);
  const none = new RetryBudget(0, 0);
  exchanges(none, 1000);
  expect(none.tryRetry()).toBe(false);
});

test("the floor is there however few exchanges there are, for 10 s at a time", () => {
  const budget = new RetryBudget(0.2, 10);
  expect(retries(budget, 1000)).toBe(100);
  clock.now += 10_000;
  expect(retries(budget, 1000)).toBe(0);
  clock.now += 5_000;
  expect(retries(budget, 1000)).toBe(50);
});

test("what was used comes back within 10 to 20 s", () => {
  const budget = new RetryBudget(0.5, 0);
  exchanges(budget, 100);
  expect(retries(budget, 100)).toBe(50);
  clock.now += 15_000;
  exchanges(budget, 100);
  // Half of the exchanges and retries of the window before still count.
  expect(retries(budget, 100)).toBe(50);
  clock.now += 40_000;
  exchanges(budget, 10);
  expect(retries(budget, 100)).toBe(5);
});

test("never more than the floor and the share of all exchanges together (property)", () => {
  const step = fc.record({ ms: fc.nat(4000), exchanges: fc.nat(50), wanted: fc.nat(80) });
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(5), fc.array(step), (share, floor, steps) => {
      const budget = new RetryBudget(share, floor);
      let [seen, allowed, ms] = [0, 0, 0];
      for (const each of steps) {
        clock.now += each.ms;
        ms += each.ms;
        exchanges(budget, each.exchanges);
        seen += each.exchanges;
        allowed += retries(budget, each.wanted);
        // Exchanges count in two windows in part, and so may be spent on twice at most.
        expect(allowed).toBeLessThanOrEqual(2 * share * seen + floor * (20 + ms / 500) + 1e-6);
      }
    }),
  );
});

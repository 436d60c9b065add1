import { expect, test } from "bun:test";
import fc from "fast-check";
import { HeldOctets, HoldBudget } from "./held-octets.ts";
import { filesHeld } from "./testing.ts";

test("octets come out as they went in, whatever is taken between", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.integer({ min: 1, max: 300_000 }), fc.constant("take" as const))), (steps) => {
      const budget = new HoldBudget(Number.POSITIVE_INFINITY);
      const held = new HeldOctets(budget);
      let next = 0;
      let expected = 0;
      const check = (octets: Uint8Array) => {
        for (const octet of octets) if (octet !== expected++ % 251) return false;
        return true;
      };
      for (const step of steps) {
        if (step === "take") {
          if (held.length > 0 && !check(held.take())) return false;
        } else if (!held.push(Uint8Array.from({ length: step }, () => next++ % 251))) return false;
        if (held.length !== next - expected) return false;
      }
      while (held.length > 0) if (!check(held.take())) return false;
      held.clear();
      return next === expected && budget.octets === 0;
    }),
    { numRuns: 30 },
  );
  expect(filesHeld()).toBe(0);
});

test("a little is held in memory, without a file", () => {
  const budget = new HoldBudget(0);
  const held = new HeldOctets(budget);
  expect(held.push(new Uint8Array(256 * 1024))).toBe(true);
  expect([budget.octets, filesHeld()]).toEqual([0, 0]);
  expect(held.push(new Uint8Array(1))).toBe(false);
  held.clear();
});

test("the files of all requests together are bounded; what is cleared makes room", () => {
  const budget = new HoldBudget(100_000);
  const [one, other] = [new HeldOctets(budget), new HeldOctets(budget)];
  for (const held of [one, other]) held.push(new Uint8Array(256 * 1024));
  expect([one.push(new Uint8Array(60_000)), other.push(new Uint8Array(60_000))]).toEqual([true, false]);
  expect(filesHeld()).toBe(1);
  one.clear();
  expect([other.push(new Uint8Array(60_000)), filesHeld()]).toEqual([true, 1]);
  other.clear();
  expect([budget.octets, filesHeld()]).toEqual([0, 0]);
});

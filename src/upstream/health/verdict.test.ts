import { expect, test } from "bun:test";
import fc from "fast-check";
import { privateMemory, Status } from "../endpoint-state.ts";
import { stateIn } from "../testing.ts";
import { Verdict, type VerdictSettings } from "./verdict.ts";

const SETTINGS: VerdictSettings = { rise: 2, fall: 3, initial: "unknown", slowStartMs: 0, now: () => 1000 };

function verdict(settings: Partial<VerdictSettings> = {}, { status = 0, inUse = false } = {}) {
  const state = stateIn(privateMemory());
  state.mark(status);
  const made = new Verdict({ ...SETTINGS, ...settings }, state, inUse);
  /** Results, "+" or "-", and the endpoint after each: "u" usable, "d" down, "?" unchecked. */
  const take = (results: string) =>
    [...results]
      .map((result) => {
        made.take(result === "+");
        return state.status === 0 ? "u" : (state.status & Status.down) !== 0 ? "d" : "?";
      })
      .join("");
  return { state, made, take };
}

test.each([
  // `unknown` is usable, and the first result decides.
  ["unknown", "++", "uu"],
  ["unknown", "-", "d"],
  ["unknown", "-+-++", "ddddu"],
  ["unknown", "+--+---", "uuuuuud"],
  // `up` needs `fall` failures from the start.
  ["up", "--+--", "uuuuu"],
  ["up", "---", "uud"],
  ["up", "---++", "uuddu"],
  // `down` is not usable until `rise` have passed.
  ["down", "+", "?"],
  ["down", "++", "?u"],
  ["down", "+-++", "?ddu"],
  ["down", "-", "d"],
  ["down", "++---", "?uuud"],
] as const)("first %s, then %s: %s (rise 2, fall 3)", (initial, results, shown) => {
  expect(verdict({ initial }).take(results)).toBe(shown);
});

test("`down` marks the endpoint unchecked at once, but not one that had traffic before", () => {
  expect(verdict({ initial: "down" }).state.status).toBe(Status.unchecked);
  const used = verdict({ initial: "down" }, { inUse: true });
  expect(used.state.status).toBe(0);
  expect(used.take("-")).toBe("d");
});

test("an endpoint that was down stays down until `rise` have passed, whatever `initial` says", () => {
  for (const initial of ["unknown", "up", "down"] as const) {
    expect(verdict({ initial }, { status: Status.down }).take("+-++")).toBe("dddu");
  }
});

test("says when it changes, and only then", () => {
  const { made } = verdict();
  expect([true, true, false, false, false, false, true, true].map((passed) => made.take(passed))).toEqual([
    true,
    false,
    false,
    false,
    true,
    false,
    false,
    true,
  ]);
  expect(made.up).toBe(true);
});

test("up again starts slowly and forgets what traffic found", () => {
  const { state, take } = verdict({ slowStartMs: 30_000 });
  take("+");
  expect(state.rampSince).toBe(0);
  take("---");
  state.mark(Status.ejected);
  state.ejectedUntil = 99_000;
  state.addFailure();
  take("++");
  expect([state.status, state.rampSince, state.ejectedUntil, state.consecutiveFailures]).toEqual([0, 1000, 1000, 0]);
});

test("an ejection stays while checks go on passing, and marks of operators always", () => {
  const { state, take } = verdict();
  take("+");
  state.mark(Status.ejected | Status.draining);
  take("+++");
  expect(state.status).toBe(Status.ejected | Status.draining);
});

test("after `fall` failures in a row it is down, after `rise` passes up, whatever came before (property)", () => {
  const settings = fc.record({
    rise: fc.integer({ min: 1, max: 5 }),
    fall: fc.integer({ min: 1, max: 5 }),
    initial: fc.constantFrom("unknown" as const, "up" as const, "down" as const),
  });
  fc.assert(
    fc.property(settings, fc.array(fc.boolean()), (each, results) => {
      const { made, state } = verdict(each);
      for (const passed of results) made.take(passed);
      for (let i = 0; i < each.fall; i++) made.take(false);
      expect(state.status).toBe(Status.down);
      for (let i = 0; i < each.rise; i++) made.take(true);
      expect(state.status).toBe(0);
    }),
  );
});

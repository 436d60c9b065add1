import { afterEach, expect, test } from "bun:test";
import type { EndpointSpec } from "../../endpoint-spec.ts";
import { type Finding, Follower, freshFor, retryAfter } from "./follower.ts";
import { placed } from "./options.ts";
import { memoryLog, until } from "./testing.ts";

const PLACE = { weight: 1, priority: 0, backup: false };

const found = (...addresses: string[]): Finding => ({
  endpoints: addresses.map((address) => placed(address, PLACE)),
  ttlSeconds: 0,
  failure: null,
  emptiness: null,
});

let follower: Follower | null = null;
afterEach(() => follower?.stop());

/** Gives each finding once, then the last for ever. */
function follow(findings: readonly (Finding | Error)[], whenEmpty: "keep" | "drop" = "keep") {
  const { log, lines } = memoryLog();
  const state = { rounds: 0, sets: [] as string[][], lines };
  const look = async (): Promise<Finding> => {
    const finding = findings[Math.min(state.rounds++, findings.length - 1)]!;
    if (finding instanceof Error) throw finding;
    return finding;
  };
  follower = new Follower(look, { floorMs: 1, ceilingMs: 5, whenEmpty, log });
  follower.start((set: readonly EndpointSpec[]) => state.sets.push(set.map(({ address }) => address)));
  return state;
}

test("only what has changed is published", async () => {
  const state = follow([found("a:1"), found("a:1"), found("a:1", "b:1"), found("a:1", "b:1")]);
  await until(() => state.rounds > 8);
  expect(state.sets).toEqual([["a:1"], ["a:1", "b:1"]]);
  expect(state.lines).toEqual([]);
});

test("a failure keeps the last set and is logged once, and so is its end", async () => {
  const state = follow([
    found("a:1"),
    new Error("SERVFAIL"),
    new Error("timed out"),
    new Error("SERVFAIL"),
    found("a:1"),
  ]);
  await until(() => state.rounds > 8);
  expect(state.sets).toEqual([["a:1"]]);
  expect(state.lines).toEqual([
    "warn  the endpoints could not be looked up error=SERVFAIL kept=1",
    "info  the endpoints can be looked up again",
  ]);
});

test("a failure at the start publishes nothing until an answer comes", async () => {
  const state = follow([new Error("SERVFAIL"), new Error("SERVFAIL"), found("a:1")]);
  await until(() => state.sets.length > 0);
  expect(state.sets).toEqual([["a:1"]]);
  expect(state.lines[0]).toEndWith("kept=0");
});

const nothing: Finding = { ...found(), emptiness: "app.test does not exist (NXDOMAIN)" };

test("an empty answer keeps the last set", async () => {
  const state = follow([found("a:1"), nothing, nothing, found("b:1")]);
  await until(() => state.sets.length === 2);
  expect(state.sets).toEqual([["a:1"], ["b:1"]]);
  expect(state.lines[0]).toBe('warn  the lookup gave no endpoints error="app.test does not exist (NXDOMAIN)" kept=1');
});

test("an empty answer drops the set if it is told to", async () => {
  const state = follow([found("a:1"), nothing, nothing, found("a:1")], "drop");
  await until(() => state.sets.length === 3);
  expect(state.sets).toEqual([["a:1"], [], ["a:1"]]);
});

test("what could be found out is published although another part failed", async () => {
  const state = follow([{ ...found("a:1"), failure: "AAAA: SERVFAIL" }, found("a:1", "b:1")]);
  await until(() => state.sets.length === 2);
  expect(state.sets).toEqual([["a:1"], ["a:1", "b:1"]]);
  expect(state.lines[0]).toBe('warn  some endpoints could not be looked up error="AAAA: SERVFAIL" kept=0');
});

test("no endpoints because of a failure are not no endpoints", async () => {
  const state = follow([found("a:1"), { ...found(), failure: "SERVFAIL" }], "drop");
  await until(() => state.rounds > 4);
  expect(state.sets).toEqual([["a:1"]]);
});

test("nothing is published after stop, not even by a lookup on its way", async () => {
  const { log } = memoryLog();
  const answer = Promise.withResolvers<Finding>();
  let isCalledOff = false;
  let rounds = 0;
  follower = new Follower(
    (signal) => {
      rounds++;
      signal.addEventListener("abort", () => (isCalledOff = true));
      return answer.promise;
    },
    { floorMs: 1, ceilingMs: 5, whenEmpty: "keep", log },
  );
  let published = 0;
  follower.start(() => published++);
  follower.stop();
  expect(isCalledOff).toBe(true);
  answer.resolve(found("a:1"));
  await Bun.sleep(30);
  expect([rounds, published]).toEqual([1, 0]);
});

test("a follower that is stopped by what it publishes looks no more", async () => {
  const { log } = memoryLog();
  let rounds = 0;
  follower = new Follower(
    async () => {
      rounds++;
      return found(`${rounds}:1`);
    },
    { floorMs: 1, ceilingMs: 5, whenEmpty: "keep", log },
  );
  follower.start(() => follower?.stop());
  await Bun.sleep(30);
  expect(rounds).toBe(1);
});

test("an answer is good for its lifetime between floor and ceiling", () => {
  const pace = { floorMs: 1000, ceilingMs: 300_000 };
  expect([0, 1, 30, 301, 0x7fffffff, Infinity].map((ttl) => freshFor(ttl, pace))).toEqual([
    1000, 1000, 30_000, 300_000, 300_000, 300_000,
  ]);
  // What a timer can hold.
  expect(freshFor(0x7fffffff, { floorMs: 1000, ceilingMs: Infinity })).toBe(86_400_000);
});

test("failures wait longer each time, from the floor up to 30 s", () => {
  const waits = (floorMs: number, ceilingMs: number) =>
    [1, 2, 3, 6, 100].map((n) => retryAfter(n, { floorMs, ceilingMs }));
  expect(waits(1000, 300_000)).toEqual([1000, 2000, 4000, 30_000, 30_000]);
  expect(waits(1000, 3000)).toEqual([1000, 2000, 3000, 3000, 3000]);
  expect(waits(60_000, 300_000)).toEqual([60_000, 60_000, 60_000, 60_000, 60_000]);
});

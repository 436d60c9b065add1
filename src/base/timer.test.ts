import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { clock, nextDeadline, Timer, TimerList, tickTimers, timerList } from "./timer.ts";

beforeEach(() => {
  clock.now = 1000;
});
afterEach(() => {
  clock.now = performance.now();
});

/** Timers that write their names down when they expire. */
function named() {
  const expired: string[] = [];
  return { expired, timer: (name: string) => new Timer(() => expired.push(name)) };
}

function tickAt(list: TimerList, now: number): void {
  clock.now = now;
  list.tick();
}

test("timers expire in order, at their deadline and not before", () => {
  const list = new TimerList(100);
  const { expired, timer } = named();
  timer("a").arm(list);
  clock.now = 1030;
  timer("b").arm(list);
  timer("c").arm(list);
  tickAt(list, 1099.9);
  expect(expired).toEqual([]);
  tickAt(list, 1100);
  expect(expired).toEqual(["a"]);
  tickAt(list, 5000);
  expect(expired).toEqual(["a", "b", "c"]);
  tickAt(list, 9000);
  expect(expired).toHaveLength(3);
});

test("a timer knows whether it is armed; it is not in its own callback", () => {
  const list = new TimerList(100);
  const seen: boolean[] = [];
  const timer: Timer = new Timer(() => seen.push(timer.armed));
  expect(timer.armed).toBe(false);
  timer.arm(list);
  expect(timer.armed).toBe(true);
  tickAt(list, 2000);
  expect(seen).toEqual([false]);
  expect(timer.armed).toBe(false);
});

test("arming again starts anew, also in another list", () => {
  const short = new TimerList(100);
  const long = new TimerList(1000);
  const { expired, timer } = named();
  const moved = timer("moved");
  moved.arm(short);
  clock.now = 1050;
  moved.arm(short);
  tickAt(short, 1100);
  expect(expired).toEqual([]);
  moved.arm(long);
  tickAt(short, 1999);
  expect(short.firstDeadline).toBe(Infinity);
  expect(long.firstDeadline).toBe(2100);
  tickAt(long, 2100);
  expect(expired).toEqual(["moved"]);
});

test("cancelling what is not armed is harmless, twice too", () => {
  const list = new TimerList(100);
  const { expired, timer } = named();
  const one = timer("one");
  one.cancel();
  one.arm(list);
  one.cancel();
  one.cancel();
  tickAt(list, 2000);
  expect(expired).toEqual([]);
  expect(list.firstDeadline).toBe(Infinity);
});

test.each(["first", "middle", "last"])("the %s of a list can be cancelled, the others keep their order", (which) => {
  const list = new TimerList(100);
  const { expired, timer } = named();
  const timers = ["first", "middle", "last"].map((name) => [name, timer(name)] as const);
  for (const [, one] of timers) one.arm(list);
  for (const [name, one] of timers) if (name === which) one.cancel();
  tickAt(list, 2000);
  expect(expired).toEqual(["first", "middle", "last"].filter((name) => name !== which));
});

describe("within a callback", () => {
  test("a timer that arms itself again waits for a later tick", () => {
    const list = new TimerList(100);
    let expired = 0;
    const timer: Timer = new Timer(() => {
      expired++;
      timer.arm(list);
    });
    timer.arm(list);
    tickAt(list, 3000);
    expect(expired).toBe(1);
    expect(list.firstDeadline).toBe(3100);
    tickAt(list, 3100);
    expect(expired).toBe(2);
  });

  test("another that is due too can be cancelled, put off or armed", () => {
    const list = new TimerList(100);
    const { expired, timer } = named();
    const cancelled = timer("cancelled");
    const putOff = timer("put off");
    const added = timer("added");
    const first = new Timer(() => {
      expired.push("first");
      cancelled.cancel();
      putOff.arm(list);
      added.arm(list);
    });
    for (const one of [first, cancelled, putOff, timer("last")]) one.arm(list);
    tickAt(list, 1100);
    expect(expired).toEqual(["first", "last"]);
    tickAt(list, 1200);
    expect(expired).toEqual(["first", "last", "put off", "added"]);
  });

  test("a throw leaves the others armed: the next tick expires them", () => {
    const list = new TimerList(100);
    const { expired, timer } = named();
    new Timer(() => {
      throw new Error("in a callback");
    }).arm(list);
    timer("next").arm(list);
    expect(() => tickAt(list, 1100)).toThrow("in a callback");
    tickAt(list, 1100);
    expect(expired).toEqual(["next"]);
  });
});

describe("all lists", () => {
  test("there is one list for a duration, and none for no limit", () => {
    expect(timerList(1234)).toBe(timerList(1234)!);
    expect(timerList(1234)).not.toBe(timerList(1235));
    expect([timerList(Infinity), timerList(0), timerList(-5)]).toEqual([null, null, null]);
  });

  test("nextDeadline is the earliest of all, and tickTimers expires what is due in each", () => {
    const { expired, timer } = named();
    const before = nextDeadline();
    const far = timer("far");
    far.arm(timerList(98_765)!);
    const near = timer("near");
    near.arm(timerList(12.5)!);
    expect(nextDeadline()).toBe(Math.min(before, 1012.5));
    tickTimers(1012.4);
    expect(expired).toEqual([]);
    tickTimers(1012.5);
    expect(expired).toEqual(["near"]);
    expect(clock.now).toBe(1012.5);
    far.cancel();
    expect(nextDeadline()).toBe(before);
  });
});

test("whatever is armed, put off and cancelled: each expires once, in time, in order (property)", () => {
  const step = fc.record({
    what: fc.constantFrom("arm", "cancel", "wait"),
    timer: fc.nat(5),
    list: fc.nat(2),
    ms: fc.nat(120),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      clock.now = 0;
      const lists = [50, 100, 200].map((ms) => new TimerList(ms));
      const due = new Map<number, number>();
      const timers = Array.from(
        { length: 6 },
        (_, i) =>
          new Timer(() => {
            expect(due.get(i)).toBeLessThanOrEqual(clock.now);
            due.delete(i);
          }),
      );
      for (const { what, timer, list, ms } of steps) {
        if (what === "arm") {
          timers[timer]!.arm(lists[list]!);
          due.set(timer, clock.now + lists[list]!.durationMs);
        } else if (what === "cancel") {
          timers[timer]!.cancel();
          due.delete(timer);
        } else for (const one of lists) tickAt(one, one === lists[0] ? clock.now + ms : clock.now);
        const armed = timers.flatMap((one, i) => (one.armed ? [i] : []));
        expect(armed).toEqual([...due.keys()].sort());
        if (what === "wait") expect([...due.values()].every((deadline) => deadline > clock.now)).toBe(true);
        expect(Math.min(...lists.map((one) => one.firstDeadline))).toBe(Math.min(...due.values()));
      }
    }),
    { numRuns: 300 },
  );
});

test("one that was armed under a later clock holds up nobody", () => {
  const list = timerList(12_345)!;
  const expired: string[] = [];
  const before = clock.now;
  clock.now = before + 1_000_000;
  const late = new Timer(() => expired.push("late"));
  late.arm(list);
  clock.now = before;
  for (const name of ["first", "second"]) new Timer(() => expired.push(name)).arm(list);
  tickTimers(before + 12_345);
  expect(expired).toEqual(["first", "second"]);
  late.cancel();
  clock.now = before;
});

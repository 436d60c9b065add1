import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { clock, nextDeadline, tickTimers } from "../base/timer.ts";
import { Queue, type QueueWaiter } from "./queue.ts";

/** Room for so many; whoever gets some says its name. */
let room = 0;
let served: string[] = [];
let expired: string[] = [];
beforeEach(() => {
  room = 0;
  pass(10_000); // Who still waits in another test's queue expires.
  served = [];
  expired = [];
});

afterAll(() => tickTimers());

const waiter = (name: string): QueueWaiter => ({
  onRoom() {
    if (room === 0) return false;
    room--;
    served.push(name);
    return true;
  },
  onQueueTimeout: () => expired.push(name),
});

const queueOf = (size: number, timeout = 1000, workers = 1) => new Queue({ size, timeout }, workers);
const pass = (ms: number) => tickTimers(clock.now + ms);

/** Timers of other tests do not count. */
function armedSince<T>(act: () => T): boolean {
  const before = nextDeadline();
  act();
  return nextDeadline() < before;
}

test("first come, first served, as many as there is room for", () => {
  const queue = queueOf(10);
  for (const name of "abcd") queue.add(waiter(name));
  room = 2;
  queue.wake();
  expect(served).toEqual(["a", "b"]);
  room = 1;
  queue.wake();
  queue.wake();
  expect(served).toEqual(["a", "b", "c"]);
  expect(queue.waiting).toBe(1);
});

test.each([
  [10, 1, 10],
  [10, 4, 2],
  [3, 4, 1],
  [0, 4, 0],
])("a size of %i over %i workers is room for %i in each", (size, workers, capacity) => {
  const queue = queueOf(size, 1000, workers);
  for (let i = 0; i < capacity; i++) expect(queue.add(waiter("in"))).not.toBeNull();
  expect(queue.add(waiter("out"))).toBeNull();
});

test("one that is called off leaves its place to the next", () => {
  const queue = queueOf(2);
  const place = queue.add(waiter("a"))!;
  queue.add(waiter("b"));
  place.cancel();
  place.cancel();
  expect(queue.add(waiter("c"))).not.toBeNull();
  room = 3;
  queue.wake();
  pass(5000);
  expect({ served, expired }).toEqual({ served: ["b", "c"], expired: [] });
});

test("each waits as long as it may, and hears of it once", () => {
  const queue = queueOf(10, 1000);
  queue.add(waiter("a"));
  pass(600);
  queue.add(waiter("b"));
  pass(500);
  expect(expired).toEqual(["a"]);
  pass(600);
  room = 5;
  queue.wake();
  expect({ served, expired, waiting: queue.waiting }).toEqual({ served: [], expired: ["a", "b"], waiting: 0 });
});

test("room that nobody tells of, made by another worker, is seen within some milliseconds", () => {
  const queue = queueOf(10);
  for (const name of "abc") queue.add(waiter(name));
  pass(6);
  expect(served).toEqual([]);
  room = 1;
  pass(6);
  expect(served).toEqual(["a"]);
  room = 2;
  pass(6);
  expect(served).toEqual(["a", "b", "c"]);
});

test("an empty queue keeps no timer", () => {
  const queue = queueOf(10);
  expect(armedSince(() => queue.wake())).toBe(false);
  expect(armedSince(() => queue.add(waiter("a")))).toBe(true);
  room = 1;
  queue.wake();
  pass(6);
  expect(armedSince(() => pass(6))).toBe(false);
});

describe("a waiter that gets room", () => {
  test("may end at once and so make room for the next, in the same call stack", () => {
    const queue = queueOf(10);
    const brief = (name: string): QueueWaiter => ({
      onRoom() {
        served.push(name);
        queue.wake();
        return true;
      },
      onQueueTimeout() {},
    });
    for (const name of "abc") queue.add(brief(name));
    queue.wake();
    expect(served).toEqual(["a", "b", "c"]);
  });

  test("may call itself off", () => {
    const queue = queueOf(10);
    const place = queue.add({
      onRoom() {
        place.cancel();
        return false;
      },
      onQueueTimeout() {},
    })!;
    queue.add(waiter("b"));
    room = 1;
    queue.wake();
    expect({ served, waiting: queue.waiting }).toEqual({ served: ["b"], waiting: 0 });
  });

  test("may bring another one, who comes last", () => {
    const queue = queueOf(10);
    queue.add({
      onRoom() {
        queue.add(waiter("c"));
        return true;
      },
      onQueueTimeout() {},
    });
    queue.add(waiter("b"));
    room = 2;
    queue.wake();
    expect(served).toEqual(["b", "c"]);
  });

  test("and throws leaves a queue that works", () => {
    const queue = queueOf(10);
    const place = queue.add({
      onRoom() {
        throw new Error("broken");
      },
      onQueueTimeout() {},
    })!;
    expect(() => queue.wake()).toThrow("broken");
    place.cancel();
    queue.add(waiter("b"));
    room = 1;
    queue.wake();
    expect(served).toEqual(["b"]);
  });
});

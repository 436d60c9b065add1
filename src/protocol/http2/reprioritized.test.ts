import { expect, test } from "bun:test";
import { NO_PRIORITY, readPriority } from "./priority.ts";
import { Reprioritized } from "./reprioritized.ts";

const stream = (id: number) => ({ id, priority: NO_PRIORITY });

test("what was said of a stream before it came goes over its own field, once", () => {
  const said = new Reprioritized();
  const first = stream(5);
  said.update(5, null, "u=1");
  said.update(5, null, "u=2");
  said.begin(first, "u=7");
  expect(first.priority).toBe(readPriority("u=2"));
  const again = stream(5);
  said.begin(again, "u=7");
  expect(again.priority).toBe(readPriority("u=7"));
});

test("an update takes the place of all that was said (RFC 9218 §7)", () => {
  const said = new Reprioritized();
  const one = stream(1);
  said.begin(one, "u=5, i");
  said.update(1, one, "u=1");
  expect(one.priority).toBe(readPriority("u=1"));
});

test("of streams still to come, what is said of the last 64 is kept, however many are named", () => {
  const said = new Reprioritized();
  for (let id = 1; id <= 20_001; id += 2) said.update(id, null, "u=0");
  const kept: number[] = [];
  for (let id = 1; id <= 20_001; id += 2) {
    const one = stream(id);
    said.begin(one, null);
    if (one.priority !== NO_PRIORITY) kept.push(id);
  }
  expect([kept.length, kept[0], kept.at(-1)]).toEqual([64, 20_001 - 63 * 2, 20_001]);
});

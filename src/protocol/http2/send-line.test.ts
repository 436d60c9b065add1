import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Priority, readPriority } from "./priority.ts";
import { type InLine, SendLine } from "./send-line.ts";

/** Has so many frames to send, and writes its name down with each. */
class Waiting implements InLine {
  isInLine = false;
  constructor(
    readonly streamId: number,
    readonly priority: Priority,
    public frames: number,
    readonly sent: number[],
  ) {}

  takeTurn(): boolean {
    this.sent.push(this.streamId);
    return --this.frames > 0;
  }
}

/** Lets all have their turns. @param plan number of the stream, its priority, its frames @returns who sent, frame by frame */
function order(...plan: [id: number, priority: string, frames: number][]): number[] {
  const sent: number[] = [];
  const line = new SendLine();
  for (const [id, priority, frames] of plan) line.add(new Waiting(id, readPriority(priority), frames, sent));
  while (!line.isEmpty) line.serve();
  return sent;
}

test("the more urgent goes first, whoever came first", () => {
  expect(order([1, "u=5", 2], [3, "u=0", 2], [5, "u=3", 2])).toEqual([3, 3, 5, 5, 1, 1]);
});

test("of the same urgency each is finished before the next, by number", () => {
  expect(order([5, "u=3", 2], [1, "u=3", 2], [3, "u=3", 2])).toEqual([1, 1, 3, 3, 5, 5]);
});

test("incremental ones take turns, and so do those that say nothing", () => {
  expect(order([1, "i", 2], [3, "i", 3], [5, "i", 1])).toEqual([1, 3, 5, 1, 3, 3]);
  expect(order([1, "", 2], [3, "", 2])).toEqual([1, 3, 1, 3]);
});

test("of the same urgency, those in order and those that share have a turn each", () => {
  expect(order([1, "u=3", 2], [3, "u=3", 2], [5, "u=3, i", 2], [7, "u=3, i", 2])).toEqual([1, 5, 1, 7, 3, 5, 3, 7]);
});

test("nobody starves: of eight turns one is for somebody less urgent, each in turn", () => {
  const sent = order([1, "u=0", 100], [3, "u=3", 100], [5, "u=7", 100]);
  const first = sent.slice(0, 64);
  expect([1, 3, 5].map((id) => first.filter((one) => one === id).length)).toEqual([56, 4, 4]);
});

test("nor does one behind another that never ends", () => {
  const first = order([1, "u=3", 1000], [3, "u=3", 100], [5, "u=3", 100]).slice(0, 64);
  expect([1, 3, 5].map((id) => first.filter((one) => one === id).length)).toEqual([56, 4, 4]);
});

test("whoever leaves has no turn, and may come back", () => {
  const sent: number[] = [];
  const line = new SendLine();
  const [a, b] = [new Waiting(1, readPriority("u=1"), 1, sent), new Waiting(3, readPriority("i"), 1, sent)];
  for (const one of [a, b, a, b]) line.add(one);
  line.remove(a);
  line.remove(b);
  expect(line.isEmpty).toBe(true);
  line.add(b);
  line.serve();
  expect([sent, line.isEmpty, b.isInLine]).toEqual([[3], true, false]);
});

test("whatever comes and goes, each frame is sent once and the line is empty at the end", () => {
  const streams = fc.array(
    fc.record({
      urgency: fc.nat(7),
      shared: fc.boolean(),
      frames: fc.integer({ min: 1, max: 40 }),
      leaves: fc.boolean(),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(streams, fc.infiniteStream(fc.nat(3)), (plan, turnsBetween) => {
      const sent: number[] = [];
      const line = new SendLine();
      const all = plan.map(({ urgency, shared, frames }, at) => {
        return new Waiting(at * 2 + 1, readPriority(`u=${urgency}${shared ? ", i" : ""}`), frames, sent);
      });
      for (const [at, stream] of all.entries()) {
        line.add(stream);
        for (let turns = turnsBetween.next().value; turns > 0 && !line.isEmpty; turns--) line.serve();
        if (plan[at]!.leaves && stream.isInLine) {
          line.remove(stream);
          line.add(stream);
        }
      }
      while (!line.isEmpty) line.serve();
      expect(sent.length).toBe(plan.reduce((sum, { frames }) => sum + frames, 0));
      expect(all.every(({ isInLine, frames }) => !isInLine && frames === 0)).toBe(true);
    }),
  );
});

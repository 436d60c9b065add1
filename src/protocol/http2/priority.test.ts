import { expect, test } from "bun:test";
import fc from "fast-check";
import { isShared, NO_PRIORITY, type Priority, readPriority, urgencyOf } from "./priority.ts";

const read = (priority: Priority) => `${urgencyOf(priority)}${isShared(priority) ? " incremental" : ""}`;

test.each([
  ["u=0", "0"],
  ["u=7", "7"],
  ["u=5, i", "5 incremental"],
  ["i", "3 incremental"],
  ["i=?1,u=2", "2 incremental"],
  ["u=1;x=2, i=?0", "1"],
  ["u=6, u=1", "1"], // The last one counts (RFC 8941 §4.2.2).
  ['x="a, u=0", u=4', "4"],
  ["foo=(a b);q=1, u=2", "2"],
])("priority %j is urgency %s (RFC 9218 §4)", (value, expected) => {
  expect(read(readPriority(value))).toBe(expected);
});

test.each(["", "u=8", "u=-1", "u=?1", "u", "i=1", "U=1", "u=1,", "u==1", "u=1 i", "x", 'u="1', "u=1".repeat(200)])(
  "priority %j says nothing",
  (value) => {
    expect(readPriority(value)).toBe(NO_PRIORITY);
  },
);

test("whoever says nothing shares; whoever says an urgency alone goes in order (RFC 9218 §4.2)", () => {
  expect(read(NO_PRIORITY)).toBe("3 incremental");
  expect(read(readPriority("u=3"))).toBe("3");
});

test("what the origin server leaves out stays as the client had it (RFC 9218 §8)", () => {
  expect(read(readPriority("u=1", readPriority("u=5, i")))).toBe("1 incremental");
  expect(read(readPriority("u=1", readPriority("i")))).toBe("1 incremental");
  expect(read(readPriority("i=?0", readPriority("u=5, i")))).toBe("5");
  expect(read(readPriority("u=1", NO_PRIORITY))).toBe("1");
});

test("any text is read in time and gives a priority", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ui=?01,; \t"\\()a'), maxLength: 300 }), (value) => {
      const urgency = urgencyOf(readPriority(value));
      expect(urgency).toBeGreaterThanOrEqual(0);
      expect(urgency).toBeLessThan(8);
    }),
  );
});

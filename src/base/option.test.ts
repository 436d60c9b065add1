import { expect, test } from "bun:test";
import { z } from "zod";
import {
  byteSize,
  duration,
  oneOrMany,
  parseByteSize,
  parseDuration,
  parsePercent,
  parseStatuses,
  percent,
  statusList,
} from "./option.ts";

test.each([
  ["500ms", 500],
  ["0s", 0],
  ["30s", 30_000],
  ["1.5s", 1500],
  ["1m30s", 90_000],
  ["1h", 3_600_000],
  ["2d", 172_800_000],
  ["off", Infinity],
])("duration %j is %d ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(["", "30", "s", "-1s", "1 s", "1s ", "1sec", "1S", "∞", "1e3s", ".5s"])("%j is no duration", (text) => {
  expect(parseDuration(text)).toBeNull();
});

test.each([
  ["0", 0],
  ["512", 512],
  ["512B", 512],
  ["10KB", 10_000],
  ["10 KiB", 10_240],
  ["1.5MiB", 1_572_864],
  ["100MB", 100_000_000],
  ["2GiB", 2_147_483_648],
  ["off", Infinity],
])("size %j is %d octets", (text, octets) => {
  expect(parseByteSize(text)).toBe(octets);
});

test.each(["", "B", "-1", "1k", "1kb", "10MBit", "1.5B", "0.3KiB", "99999999GiB", "1e3"])("%j is no size", (text) => {
  expect(parseByteSize(text)).toBeNull();
});

test("an option without a default is needed, one with a default is not", () => {
  const shape = z.strictObject({ wait: duration("Wait."), max: byteSize("Most.", "10MB") });
  expect(shape.parse({ wait: "1s" })).toEqual({ wait: 1000, max: 10_000_000 });
  expect(shape.safeParse({ max: 5 }).success).toBe(false);
});

test("a message says what was found and what is wanted", () => {
  const { error } = duration("Wait.").safeParse("soon");
  expect(error?.issues[0]?.message).toBe(
    '"soon" is not a duration: write a number with ms, s, m, h or d, such as "30s"',
  );
  expect(byteSize("Most.").safeParse("1X").error?.issues[0]).toMatchObject({
    code: "custom",
    params: { code: "bad-size" },
  });
});

test("one is a list of one", () => {
  expect(oneOrMany(z.string()).parse("a")).toEqual(["a"]);
  expect(oneOrMany(z.string()).parse(["a", "b"])).toEqual(["a", "b"]);
});

test.each([
  ["0%", 0],
  ["50%", 0.5],
  ["12.5 %", 0.125],
  ["100%", 1],
  ["0", 0],
  ["0.25", 0.25],
  ["1", 1],
])("share %j is %d", (text, share) => {
  expect(parsePercent(text)).toBe(share);
});

test.each(["", "%", "-1%", "101%", "1.1", "50", "1e-1", "half", "5%%"])("%j is no share", (text) => {
  expect(parsePercent(text)).toBeNull();
});

test("a share is text or a number, and may have a default", () => {
  const schema = z.object({ budget: percent("How much.", "20%") });
  expect(schema.parse({})).toEqual({ budget: 0.2 });
  expect(schema.parse({ budget: 0.5 })).toEqual({ budget: 0.5 });
  expect(schema.safeParse({ budget: 50 }).error?.issues[0]?.message).toStartWith("50 is not a share: write 0% to 100%");
});

test("statuses are numbers and classes; they come out sorted, each once", () => {
  const schema = z.object({ statuses: statusList("Which.", [502, 503]) });
  expect(schema.parse({})).toEqual({ statuses: [502, 503] });
  expect(schema.parse({ statuses: 404 })).toEqual({ statuses: [404] });
  expect(schema.parse({ statuses: [503, "2xx", "200", 503] }).statuses).toEqual([...parseStatuses("2xx")!, 503]);
  for (const bad of [99, 600, "0xx", "6xx", "20x", "", 200.5, null])
    expect(schema.safeParse({ statuses: [bad] }).success).toBe(false);
});

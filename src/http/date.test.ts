import { expect, test } from "bun:test";
import { httpDate, nowHttpDate, parseHttpDate } from "./date.ts";

const MOMENT = Date.UTC(1994, 10, 6, 8, 49, 37);

test.each(["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])(
  "%s is read (RFC 9110 §5.6.7)",
  (text) => {
    expect(parseHttpDate(text)).toBe(MOMENT);
  },
);

test("what is sent is IMF-fixdate", () => {
  expect(httpDate(MOMENT)).toBe("Sun, 06 Nov 1994 08:49:37 GMT");
  for (const ms of [0, 951782400000, 4102444799000]) expect(httpDate(ms)).toBe(new Date(ms).toUTCString());
});

test("a two-digit year is never more than 50 years ahead", () => {
  const now = new Date().getUTCFullYear();
  for (const ahead of [-49, 0, 50, 51]) {
    const year = now + ahead;
    const text = `Monday, 01-Jan-${String(year % 100).padStart(2, "0")} 00:00:00 GMT`;
    expect(new Date(parseHttpDate(text)!).getUTCFullYear()).toBe(ahead > 50 ? year - 100 : year);
  }
});

test.each([
  "",
  "0",
  "1994-11-06T08:49:37Z",
  "Sun, 6 Nov 1994 08:49:37 GMT",
  "Sun, 31 Feb 1994 08:49:37 GMT",
  "Sun, 00 Nov 1994 08:49:37 GMT",
  "Sun, 06 nov 1994 08:49:37 GMT",
  "Sun, 06 Nov 1994 24:00:00 GMT",
  "Sun, 06 Nov 1994 08:60:37 GMT",
  "Sun, 06 Nov 1994 08:49:37 UTC",
  "Sun, 06 Nov 1994 08:49:37 GMT ",
  "Sun Nov 6 08:49:37 1994",
])("%j is no date", (text) => {
  expect(parseHttpDate(text)).toBeNull();
});

test("the current date is this second's", () => {
  const before = Date.now();
  const said = parseHttpDate(nowHttpDate())!;
  expect(said).toBeGreaterThan(before - 1100);
  expect(said).toBeLessThanOrEqual(Date.now());
});

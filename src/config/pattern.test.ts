import { expect, test } from "bun:test";
import { compileRegex, readHostPattern, readPathPattern } from "./pattern.ts";

test.each([
  ["example.com", "example.com"],
  ["EXAMPLE.com.", "example.com"],
  ["*.example.com", "*.example.com"],
  [".example.com", ".example.com"],
  ["bücher.example", "xn--bcher-kva.example"],
  ["[::1]", "[::1]"],
  ["127.0.0.1", "127.0.0.1"],
  ["*", "*"],
  ["~^api\\d+\\.", "~^api\\d+\\."],
])("host %j reads %j", (text, tidy) => {
  expect(readHostPattern(text)).toEqual({ text: tidy });
});

test.each([
  "",
  ".",
  "*.",
  "a.*.com",
  "*a.com",
  "a..b",
  "-a.com",
  "a b",
  "example.com:80",
  "http://example.com",
  "example.com/x",
  "~",
  "~(",
])("host %j is refused", (text) => {
  expect(readHostPattern(text)).toHaveProperty("problem");
});

test.each(["/", "/a", "/a/", "/a/*", "/*", "/users/:id/posts", "/:a/:b/*", "/a.b/..c", "~^/a+$"])(
  "path %j is fine",
  (text) => {
    expect(readPathPattern(text)).toEqual({ text });
  },
);

test.each([
  "",
  "a",
  "*",
  "/a*",
  "/*/b",
  "//",
  "/a//b",
  "/./a",
  "/a/..",
  "/a?b",
  "/%41",
  "/a;v=1",
  "/a\\b",
  "/:",
  "/:1",
  "/:a/:a",
  "~[",
])("path %j is refused", (text) => {
  expect(readPathPattern(text)).toHaveProperty("problem");
});

test("a regex has the meaning of the engine's unicode mode, and its reason when it is wrong", () => {
  expect(compileRegex("~^é.$").test("é😀")).toBe(true);
  expect(readPathPattern("~(?<a>x")).toEqual({ problem: expect.stringContaining("missing )"), code: "bad-regex" });
});

import { describe, expect, test } from "bun:test";
import { PathPattern } from "./path-pattern.ts";

test.each([
  ["/", "/", null],
  ["/a", "/a", null],
  ["/a/", "/a/", null],
  ["/*", "/", { "*": "" }],
  ["/*", "/a/b", { "*": "a/b" }],
  ["/a/*", "/a", { "*": "" }],
  ["/a/*", "/a/", { "*": "" }],
  ["/a/*", "/a/b/c", { "*": "b/c" }],
  ["/users/:id", "/users/7", { id: "7" }],
  ["/users/:id/posts", "/users/7/posts", { id: "7" }],
  ["/:a/:b", "/x/y", { a: "x", b: "y" }],
  ["/:a/:b/", "/x/y/", { a: "x", b: "y" }],
  ["/users/:id/*", "/users/7", { id: "7", "*": "" }],
  ["/users/:id/*", "/users/7/a/b", { id: "7", "*": "a/b" }],
  ["/:id/x/*", "/7/x", { id: "7", "*": "" }],
  ["/café/:x", "/café/ä b", { x: "ä b" }],
  ["~^/v(?<version>\\d+)/", "/v2/x", { version: "2" }],
  ["~^/(?<a>a)|(?<b>b)$", "/a", { a: "a" }],
  ["~^/v\\d", "/v2", null],
])("%s matches %s and gives %j", (pattern, path, params) => {
  const compiled = new PathPattern(pattern);
  expect(compiled.matches(path)).toBe(true);
  expect(compiled.params(path)).toEqual(params);
});

test.each([
  ["/a", "/a/"],
  ["/a/", "/a"],
  ["/a", "/A"],
  ["/a", "/ab"],
  ["/a/*", "/ab"],
  ["/a/*", "/"],
  ["/users/:id", "/users/"],
  ["/users/:id", "/users"],
  ["/users/:id", "/users/7/"],
  ["/users/:id", "/users/7/posts"],
  ["/users/:id/posts", "/users/posts"],
  ["/users/:id/*", "/users"],
  ["/users/:id/*", "/users/"],
  ["/*", "*"],
  ["~.", "*"],
  ["~^/v\\d+$", "/v2/"],
])("%s does not match %s", (pattern, path) => {
  expect(new PathPattern(pattern).matches(path)).toBe(false);
});

test.each(["", "a", "/a/*/b", "/a*", "/:", "/:a/:a", "/a//b", "/a/../b", "/%61", "/a?b", "~("])(
  "%j is no path pattern",
  (pattern) => {
    expect(() => new PathPattern(pattern)).toThrow(TypeError);
  },
);

describe("covers", () => {
  test.each([
    ["/a", "/a"],
    ["/*", "/"],
    ["/*", "/a/:b/*"],
    ["/a/*", "/a"],
    ["/a/*", "/a/"],
    ["/a/*", "/a/*"],
    ["/a/*", "/a/b/*"],
    ["/:x", "/a"],
    ["/:x", "/:y"],
    ["/:x/*", "/a/b/c"],
    ["~^/a", "~^/a"],
  ])("%s takes everything that %s does", (wide, narrow) => {
    expect(new PathPattern(wide).covers(new PathPattern(narrow))).toBe(true);
  });

  test.each([
    ["/a", "/a/"],
    ["/a", "/a/*"],
    ["/a/*", "/*"],
    ["/a/*", "/ab"],
    ["/a/*", "/:x"],
    ["/:x", "/"],
    ["/:x", "/a/"],
    ["/:x/*", "/"],
    ["/:x", "/:x/*"],
    ["/*", "~^/a"],
    ["~^/", "/a"],
  ])("%s does not surely take everything that %s does", (one, other) => {
    expect(new PathPattern(one).covers(new PathPattern(other))).toBe(false);
  });
});

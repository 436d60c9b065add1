import { expect, test } from "bun:test";
import { editDistance, nearest, suggestion } from "./nearest.ts";

test.each([
  ["", "", 0],
  ["abc", "abc", 0],
  ["", "abc", 3],
  ["shpo", "shop", 1],
  ["kitten", "sitting", 3],
] as const)("from %j to %j it takes %i edits", (a, b, edits) => {
  expect(editDistance(a, b)).toBe(edits);
  expect(editDistance(b, a)).toBe(edits);
});

test.each([
  ["shpo", "shop"],
  ["max_size", "max"],
  ["Upstream", "upstreams"],
  ["keep_alive", "keepAlive"],
  ["xyz", null],
  ["", null],
])("the nearest word to %j is %j", (word, near) => {
  expect(nearest(word, ["shop", "static", "max", "upstreams", "keepAlive"])).toBe(near);
});

test("a suggestion shows what there is, and not all of a long list", () => {
  expect(suggestion("q", [], "upstreams")).toBe("upstreams: none");
  expect(suggestion("shpo", ["shop", "app"], "upstreams")).toBe('did you mean "shop"? (upstreams: shop, app)');
  const many = Array.from({ length: 25 }, (_, i) => `u${i}x`);
  expect(suggestion("zzz", many, "upstreams")).toEndWith("u19x, …");
});

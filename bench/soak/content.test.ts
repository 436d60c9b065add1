import { expect, test } from "bun:test";
import { contentOf, parsePath, pathOf } from "./content.ts";

test("the same path means the same octets, another seed others", () => {
  expect(contentOf(7, 1000).equals(contentOf(7, 1000))).toBe(true);
  expect(contentOf(7, 1000).equals(contentOf(8, 1000))).toBe(false);
});

test("a path is read as it was written", () => {
  expect(parsePath(pathOf("reset-chunked", 123, 4567))).toEqual({ kind: "reset-chunked", seed: 123, length: 4567 });
});

test.each(["/", "/length/1", "/length/1/2/3", "/length/x/1", "/length/1/99999999", "length/1/1"])(
  "%j is no path of ours",
  (path) => {
    expect(parsePath(path)).toBeNull();
  },
);

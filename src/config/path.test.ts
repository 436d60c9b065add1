import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatPath, parsePath } from "./path.ts";

test.each([
  [[], ""],
  [["sites", 0, "routes", 1, "to"], "sites[0].routes[1].to"],
  [["upstreams", "a b", "endpoints"], 'upstreams["a b"].endpoints'],
  [["use", 0, "body-limit", "max"], "use[0].body-limit.max"],
])("%j reads %j", (path, text) => {
  expect(formatPath(path)).toBe(text);
  expect(parsePath(text)).toEqual(path);
});

test("every path survives being written and read", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.nat())), (path) => {
      expect(parsePath(formatPath(path))).toEqual(path);
    }),
  );
});

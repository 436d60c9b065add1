import { expect, test } from "bun:test";
import fc from "fast-check";
import { Candidate } from "./candidate.ts";
import { CoverTree } from "./cover-tree.ts";
import { PathPattern } from "./path-pattern.ts";

const pattern = fc.oneof(
  fc
    .tuple(fc.array(fc.constantFrom("a", "b", ":"), { maxLength: 3 }), fc.constantFrom("", "/*", "/"))
    .map(
      ([segments, end]) =>
        `${segments.map((segment, i) => `/${segment === ":" ? `:p${i}` : segment}`).join("")}${end}` || "/",
    ),
  fc.constantFrom("~^/a", "~^/b"),
);

test("every pattern that covers another one is found (property)", () => {
  fc.assert(
    fc.property(fc.uniqueArray(pattern, { maxLength: 20 }), pattern, (texts, text) => {
      const route = { site: "s", name: "r", target: null };
      const candidates = texts.map((one, i) => new Candidate(route, new PathPattern(one), [], i));
      const tree = new CoverTree<Candidate<null>[]>(() => []);
      for (const candidate of candidates) tree.at(candidate.path).push(candidate);
      const path = new PathPattern(text);
      const covering = candidates.filter((candidate) => candidate.path!.covers(path));
      const found = tree.coversOf(path).flat();
      expect(covering.filter((one) => !found.includes(one))).toEqual([]);
      expect(new Set(found).size).toBe(found.length);
    }),
  );
});

test("a route without a path covers every path, and only such a one covers it", () => {
  const route = { site: "s", name: "r", target: null };
  const any = new Candidate(route, null, [], 0);
  const tree = new CoverTree<Candidate<null>[]>(() => []);
  tree.at(null).push(any);
  const prefix = new PathPattern("/*");
  tree.at(prefix).push(new Candidate(route, prefix, [], 1));
  expect(tree.coversOf(new PathPattern("/a")).flat()).toContain(any);
  expect(tree.coversOf(null)).toEqual([[any]]);
});

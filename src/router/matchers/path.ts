/**
 * `path`: the path in normal form, by the patterns of path-pattern.ts. The path of a route itself is
 * found by the table's index instead, and gives params; one within `not`, `any` or `all` gives none.
 */
import { readPathPattern } from "../../config/pattern.ts";
import { defineMatcher, orList } from "../matcher.ts";
import { PathPattern } from "../path-pattern.ts";
import { textList } from "../text-list.ts";

export const path = defineMatcher<readonly string[]>({
  name: "path",
  options: () => textList("bad-path", readPathPattern, "Path: `/exact`, `/prefix/*`, `/users/:id/posts`, `~regex`."),
  create(texts) {
    const patterns = texts.map((text) => new PathPattern(text));
    return {
      specificity: 1,
      matches(exchange) {
        for (const pattern of patterns) if (pattern.matches(exchange.path)) return true;
        return false;
      },
      describe: () => `path ${orList(texts)}`,
      found: (exchange) => JSON.stringify(exchange.path),
    };
  },
});

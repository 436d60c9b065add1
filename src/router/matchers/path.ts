/**
 * `path`: the path in normal form, by the patterns of path-pattern.ts. The path of a route itself is
 * found by the table's index instead, and gives params; one within `not`, `any` or `all` gives none.
 */
import { defineMatcher, orList } from "../matcher.ts";
import { PathPattern } from "../path-pattern.ts";

export const path = defineMatcher({
  name: "path",
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

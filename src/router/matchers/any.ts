/** `any`: holds if one of its alternatives does. */
import { defineMatcher } from "../matcher.ts";

export const any = defineMatcher({
  name: "any",
  create(matches, build) {
    const alternatives = matches.map(build);
    return {
      // No alternative is known to hold but the least demanding one.
      specificity: Math.min(...alternatives.map((matcher) => matcher.specificity)),
      matches(exchange) {
        for (const alternative of alternatives) if (alternative.matches(exchange)) return true;
        return false;
      },
      describe: () => `any of (${alternatives.map((matcher) => matcher.describe()).join("; ")})`,
      found: (exchange) => alternatives.map((matcher) => matcher.found(exchange)).join(", "),
    };
  },
});

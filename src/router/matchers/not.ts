/** `not`: holds if the conditions in it, taken together, do not. */
import { defineMatcher } from "../matcher.ts";

export const not = defineMatcher({
  name: "not",
  create(match, build) {
    const inner = build(match);
    return {
      specificity: 1,
      matches: (exchange) => !inner.matches(exchange),
      describe: () => `not (${inner.describe()})`,
      found: () => inner.describe(),
    };
  },
});

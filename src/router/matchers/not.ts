/** `not`: holds if the conditions in it, taken together, do not. */
import type { MatchConfig } from "../../config/gateway-config.ts";
import { defineMatcher } from "../matcher.ts";

export const not = defineMatcher<MatchConfig>({
  name: "not",
  options: (match) => match,
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

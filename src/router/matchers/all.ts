/** `all`: holds if each of its members does; for two conditions of the same kind. */
import { defineMatcher } from "../matcher.ts";

export const all = defineMatcher({
  name: "all",
  create(matches, build) {
    const members = matches.map(build);
    return {
      specificity: members.reduce((sum, matcher) => sum + matcher.specificity, 0),
      matches(exchange) {
        for (const member of members) if (!member.matches(exchange)) return false;
        return true;
      },
      describe: () => `all of (${members.map((matcher) => matcher.describe()).join("; ")})`,
      found: (exchange) => members.find((matcher) => !matcher.matches(exchange))?.found(exchange) ?? "all of them",
    };
  },
});

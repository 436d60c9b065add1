/** `all`: holds if each of its members does; for two conditions of the same kind. */
import { z } from "zod";
import type { MatchConfig } from "../../config/gateway-config.ts";
import { defineMatcher } from "../matcher.ts";

export const all = defineMatcher<readonly MatchConfig[]>({
  name: "all",
  options: (match) => z.array(match).min(1).meta({ description: "Holds if each of these does." }),
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

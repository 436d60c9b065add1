/** A route's `match`, as the config gives it (config/schema/match.ts), made into conditions. */
import type { MatchConfig } from "../config/gateway-config.ts";
import type { Matcher } from "./matcher.ts";
import { MATCHERS } from "./matchers/index.ts";

/** One matcher for each key, in the order of the list of matchers. */
export function conditionsOf(match: MatchConfig): Matcher[] {
  return MATCHERS.flatMap((definition) => {
    const options = match[definition.name];
    return options === undefined ? [] : [definition.create(options, conjunction)];
  });
}

/** All conditions of a `match` as one. */
export function conjunction(match: MatchConfig): Matcher {
  const all = conditionsOf(match);
  if (all.length === 1) return all[0]!;
  const text = all.length === 0 ? "anything" : all.map((matcher) => matcher.describe()).join(" and ");
  return {
    specificity: all.reduce((sum, matcher) => sum + matcher.specificity, 0),
    matches: (exchange) => all.every((matcher) => matcher.matches(exchange)),
    describe: () => text,
    found: (exchange) => all.find((matcher) => !matcher.matches(exchange))?.found(exchange) ?? "all of them",
  };
}

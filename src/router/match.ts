/** A route's `match`: the schema of all matchers, and the conditions made from what it gives. */
import { z } from "zod";
import type { MatchConfig } from "../config/gateway-config.ts";
import type { Matcher } from "./matcher.ts";
import { MATCHERS } from "./matchers/index.ts";
import { path } from "./matchers/path.ts";

/** What may stand in `match`: conditions, or a path as a shorthand. Gives a `MatchConfig`. */
export const matchOptions: z.ZodType<MatchConfig> = z.lazy(() => schema);

const conditions = z
  .strictObject(Object.fromEntries(MATCHERS.map(({ name, options }) => [name, options(matchOptions).optional()])))
  .meta({ title: "Conditions", description: "All that are given must hold; of a list, any one." });

const shorthand = z
  .string()
  .transform((text): unknown => text)
  .pipe(path.options(matchOptions))
  .transform((paths): MatchConfig => ({ path: paths }));

const schema = z
  .union([shorthand, conditions])
  .transform(
    (given) => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as MatchConfig,
  );

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

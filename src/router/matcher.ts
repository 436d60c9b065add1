/** What a condition of a route is, and how one is defined: a file in matchers/ and its line in the list there. */
import type { MatchConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";

export interface Matcher {
  matches(exchange: Exchange): boolean;
  /** The condition in words: "path /api/*", "method GET or HEAD". Equal texts mean equal conditions. */
  describe(): string;
  /** What the exchange has instead, for `explain`: `"DELETE"`, "no field x-key". */
  found(exchange: Exchange): string;
  /** For a condition that holds for just these values of one thing: what `lintel check` compares. */
  readonly choice?: Choice;
  /** How many conditions it counts for where two routes are equally specific by path. */
  readonly specificity: number;
}

export interface Choice {
  /** "method": at most one such condition in a route. */
  readonly of: string;
  readonly values: readonly string[];
}

export interface MatcherDefinition<Name extends keyof MatchConfig = keyof MatchConfig> {
  /** Key in `match`; what may stand there is config/schema/match.ts. */
  readonly name: Name;
  /** @param build makes one condition out of nested ones */
  create(options: NonNullable<MatchConfig[Name]>, build: (match: MatchConfig) => Matcher): Matcher;
}

export function defineMatcher<const Name extends keyof MatchConfig>(
  definition: MatcherDefinition<Name>,
): MatcherDefinition<Name> {
  return definition;
}

/** "a", "a or b", "a, b or c". */
export function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;
}

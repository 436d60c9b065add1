/** What a condition of a route is, and how one is defined: a file in matchers/ and its line in the list there. */
import type { z } from "zod";
import type { MatchConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";

export interface Matcher {
  matches(exchange: Exchange): boolean;
  /** The condition in words: "path /api/*", "method GET or HEAD". Equal texts mean equal conditions. */
  describe(): string;
  /** What the exchange has instead, for `explain`: `"DELETE"`, "no field x-key". */
  found(exchange: Exchange): string;
  /** How many conditions it counts for where two routes are equally specific by path. */
  readonly specificity: number;
}

export interface MatcherDefinition<Options = unknown> {
  /** Key in `match`. */
  readonly name: keyof MatchConfig;
  /** @param match schema of nested conditions, for those that hold some */
  options(match: z.ZodType<MatchConfig>): z.ZodType<Options>;
  /** @param build makes one condition out of nested ones */
  create(options: Options, build: (match: MatchConfig) => Matcher): Matcher;
}

export function defineMatcher<Options>(definition: MatcherDefinition<Options>): MatcherDefinition<Options> {
  return definition;
}

/** "a", "a or b", "a, b or c". */
export function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;
}

/**
 * What the config must know of things that are written by name with options of their own, so that it
 * can read the options; and of variables. All of it lives in the rooms that implement it; this room only
 * needs names, option schemas and verdicts, so any object of these shapes will do.
 */
import type { z } from "zod";

/** A definition as the config sees it. */
export interface CatalogEntry {
  /** As written in the config: kebab-case. */
  readonly name: string;
  /** One sentence for the schema. */
  readonly summary: string;
  /** Reads the options. */
  readonly options: z.ZodType;
}

export interface MiddlewareEntry extends CatalogEntry {
  /** True if it answers by itself, so that nothing after it in `use`, nor `to`, is reached. */
  readonly responds?: boolean;
  /** With these options, as they are written, it may hand on what it does not answer. */
  readonly mayHandOn?: (written: unknown) => boolean;
}

/** What the config must know of the variables of an exchange, such as `{client.address}`. */
export interface VariableRules {
  /** What is wrong with a template; null: nothing. */
  judgeTemplate(text: string): string | null;
  /** What is wrong with a variable's name as a condition of a route; null: nothing. */
  judgeCondition(name: string): { readonly problem: string; readonly hint: string | null } | null;
}

/** Each list by name. */
export interface Catalog {
  readonly middlewares: ReadonlyMap<string, MiddlewareEntry>;
  /** What may stand in an upstream's `balance`; "round-robin" is the default and must be there. */
  readonly balancers: ReadonlyMap<string, CatalogEntry>;
  /** What may stand in `discover`. */
  readonly providers: ReadonlyMap<string, CatalogEntry>;
  /** What may stand in `health.check`. */
  readonly checks: ReadonlyMap<string, CatalogEntry>;
  readonly variables: VariableRules;
}

/** Lists of definitions. */
export interface CatalogLists {
  readonly middlewares: readonly MiddlewareEntry[];
  readonly balancers: readonly CatalogEntry[];
  readonly providers: readonly CatalogEntry[];
  readonly checks: readonly CatalogEntry[];
  readonly variables: VariableRules;
}

export function catalogOf(lists: CatalogLists): Catalog {
  return {
    middlewares: byName(lists.middlewares),
    balancers: byName(lists.balancers),
    providers: byName(lists.providers),
    checks: byName(lists.checks),
    variables: lists.variables,
  };
}

function byName<Entry extends CatalogEntry>(definitions: readonly Entry[]): ReadonlyMap<string, Entry> {
  return new Map(definitions.map((definition) => [definition.name, definition]));
}

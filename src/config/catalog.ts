/**
 * What the config must know of the middlewares to read their options. The list itself lives above
 * (server/catalog.ts collects it); this room only needs names and option schemas, so any object of
 * this shape will do, and `MiddlewareDefinition` of http/ is one.
 */
import type { z } from "zod";

/** A middleware as the config sees it. */
export interface CatalogEntry {
  /** As written in the config: kebab-case. */
  readonly name: string;
  /** One sentence for the schema. */
  readonly summary: string;
  /** Reads the options. */
  readonly options: z.ZodType;
  /** True if it answers by itself, so that nothing after it in `use`, nor `to`, is reached. */
  readonly responds?: boolean;
  /** With these options, as they are written, it may hand on what it does not answer. */
  readonly mayHandOn?: (written: unknown) => boolean;
}

export interface Catalog {
  readonly middlewares: ReadonlyMap<string, CatalogEntry>;
}

/** A catalog from a list of definitions. */
export function catalogOf(middlewares: readonly CatalogEntry[]): Catalog {
  return { middlewares: new Map(middlewares.map((definition) => [definition.name, definition])) };
}

/** Looks into a schema: which keys may stand at a path. Only for messages. */
import { z } from "zod";
import type { Catalog, CatalogEntry } from "./catalog.ts";
import type { Path } from "./path.ts";
import { ENTRY_NOUNS } from "./schema/entry.ts";

/** Keys of all objects the schema allows at the path, in the order of the docs. */
export function keysAt(schema: z.core.$ZodType, path: Path): string[] {
  const keys = schemasAt(schema, path).flatMap((one) => {
    const { def } = (one as z.core.$ZodTypes)._zod;
    return def.type === "object" ? Object.keys(def.shape) : [];
  });
  // `$schema` is for editors.
  return [...new Set(keys)].filter((key) => !key.startsWith("$"));
}

/** Examples given for what may stand at the path. */
export function examplesAt(schema: z.core.$ZodType, path: Path): unknown[] {
  return schemasAt(schema, path).flatMap(
    (one) => (z.globalRegistry.get(one)?.["examples"] as unknown[] | undefined) ?? [],
  );
}

function schemasAt(schema: z.core.$ZodType, path: Path): z.core.$ZodType[] {
  let here = alternatives(schema);
  for (const step of path) here = here.flatMap((one) => child(one, step)).flatMap(alternatives);
  return here;
}

/** The schema without wrappers, one for each member of a union. */
function alternatives(schema: z.core.$ZodType): z.core.$ZodType[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "nonoptional":
    case "readonly":
    case "catch":
      return alternatives(def.innerType);
    case "pipe":
      return alternatives(def.in);
    case "lazy":
      return alternatives(def.getter());
    case "union":
      return def.options.flatMap(alternatives);
    default:
      return [schema];
  }
}

function child(schema: z.core.$ZodType, step: string | number): z.core.$ZodType[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  if (def.type === "array") return typeof step === "number" ? [def.element] : [];
  if (def.type === "record") return [def.valueType];
  if (def.type !== "object") return [];
  const member = def.shape[step];
  return member === undefined ? [] : [member];
}

export interface EntryPlace {
  /** "middleware", "balancer" … */
  readonly noun: string;
  readonly entry: CatalogEntry;
  /** Steps below its options. */
  readonly below: Path;
}

/** The entry of the catalog whose options a path leads into, or null. */
export function entryAt(path: Path, catalog: Catalog): EntryPlace | null {
  const use = path.findIndex(
    (step, i) => step === "use" && typeof path[i + 1] === "number" && typeof path[i + 2] === "string",
  );
  if (use >= 0) return place(path, use + 2, "middlewares", catalog);
  if (path[0] !== "upstreams") return null;
  if (path[2] === "balance") return place(path, 3, "balancers", catalog);
  if (path[2] === "discover") return place(path, typeof path[3] === "number" ? 4 : 3, "providers", catalog);
  return path[2] === "health" && path[3] === "check" ? place(path, 4, "checks", catalog) : null;
}

/** @param at the step that names the entry */
function place(path: Path, at: number, list: keyof typeof ENTRY_NOUNS, catalog: Catalog): EntryPlace | null {
  const name = path[at];
  const entry = typeof name === "string" ? catalog[list].get(name) : undefined;
  return entry === undefined ? null : { noun: ENTRY_NOUNS[list], entry, below: path.slice(at + 1) };
}

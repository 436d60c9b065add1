/** Looks into a schema: which keys may stand at a path. Only for messages. */
import { z } from "zod";
import type { Catalog } from "./catalog.ts";
import type { Path } from "./path.ts";

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

export interface MiddlewarePlace {
  readonly name: string;
  /** Steps below its options. */
  readonly below: Path;
}

/** The middleware whose options a path leads into, or null. */
export function middlewareAt(path: Path, catalog: Catalog): MiddlewarePlace | null {
  const use = path.findIndex(
    (step, i) => step === "use" && typeof path[i + 1] === "number" && typeof path[i + 2] === "string",
  );
  if (use < 0) return null;
  const name = path[use + 2] as string;
  return catalog.middlewares.has(name) ? { name, below: path.slice(use + 3) } : null;
}

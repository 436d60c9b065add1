/**
 * Entries of things from the catalog: `{ name: options }`, or the bare name where every option has a
 * default. The options are read by the definition's own schema; their issues come out at their own place.
 */
import { z } from "zod";
import type { Catalog, CatalogEntry } from "../catalog.ts";
import { suggestion } from "../nearest.ts";

/** A list of the catalog whose definitions are written as entries. */
export type EntryList = "middlewares" | "balancers" | "providers";

export interface ParsedEntry {
  readonly name: string;
  readonly options: unknown;
  /** What the options were read from. */
  readonly written: unknown;
}

/** What one of a list is called; also the part of an issue's code, and the name in the JSON Schema. */
export const ENTRY_NOUNS: Readonly<Record<EntryList | "checks", string>> = {
  middlewares: "middleware",
  balancers: "balancer",
  providers: "provider",
  checks: "check",
};

export interface EntryKind {
  readonly list: EntryList;
  /** One or a list of them. */
  readonly many: boolean;
}

/** What stands there, before the catalog has a say. zod cannot know what it takes: json-schema.ts asks here. */
const kinds = new WeakMap<z.core.$ZodType, EntryKind>();

export const entryKind = (schema: z.core.$ZodType): EntryKind | undefined => kinds.get(schema);

function written(kind: EntryKind): z.ZodUnknown {
  const schema = z.unknown();
  kinds.set(schema, kind);
  return schema;
}

/** One entry. */
export function entry(catalog: Catalog, list: EntryList) {
  return written({ list, many: false }).transform(
    (value, ctx): ParsedEntry => read(catalog, list, value, [], ctx) ?? z.NEVER,
  );
}

/** One entry or a list of them; gives a list. */
export function entries(catalog: Catalog, list: EntryList) {
  return written({ list, many: true }).transform((value, ctx): ParsedEntry[] => {
    const parsed = Array.isArray(value)
      ? value.map((item: unknown, i) => read(catalog, list, item, [i], ctx))
      : [read(catalog, list, value, [], ctx)];
    return parsed.filter((one) => one !== null);
  });
}

/** What is written the same is read once: of 10,000 routes most say what others say too. Nobody changes options. */
const readBefore = new WeakMap<CatalogEntry, Map<string, unknown>>();
const MOST_KNOWN = 1000;

function optionsReadBefore(definition: CatalogEntry): Map<string, unknown> {
  let known = readBefore.get(definition);
  if (known === undefined) {
    known = new Map();
    readBefore.set(definition, known);
  }
  return known;
}

/** @returns null if an issue was added */
function read(
  catalog: Catalog,
  list: EntryList,
  value: unknown,
  at: readonly (string | number)[],
  ctx: z.core.$RefinementCtx,
): ParsedEntry | null {
  const noun = ENTRY_NOUNS[list];
  const definitions: ReadonlyMap<string, CatalogEntry> = catalog[list];
  const refuse = (code: string, message: string, hint: string | null = null, below: readonly string[] = []) => {
    ctx.addIssue({
      code: "custom",
      message,
      path: [...at, ...below],
      params: { code, hint, at: below.length > 0 ? "key" : "value" },
    });
    return null;
  };
  const keys = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : null;
  if (typeof value !== "string" && (keys === null || keys.length === 0)) {
    return refuse(
      `bad-${noun}`,
      `this is not a ${noun}: write \`name: { options }\`, or the bare name`,
      `${list}: ${[...definitions.keys()].join(", ")}`,
    );
  }
  if (keys !== null && keys.length > 1) {
    return refuse(
      `bad-${noun}`,
      `one entry is one ${noun}, and this one has ${keys.length} keys: ${keys.join(", ")}`,
      list === "balancers" ? "an upstream has one balancer" : "write each as an entry of its own",
      [keys[1]!],
    );
  }
  const name = typeof value === "string" ? value : keys![0]!;
  const below = keys === null ? [] : [name];
  const definition = definitions.get(name);
  if (definition === undefined) {
    const message = `there is no ${noun} ${JSON.stringify(name)}`;
    return refuse(`unknown-${noun}`, message, suggestion(name, [...definitions.keys()], list), below);
  }
  const given = typeof value === "string" ? {} : ((value as Record<string, unknown>)[name] ?? {});
  const known = optionsReadBefore(definition);
  const text = JSON.stringify(given);
  if (known.has(text)) return { name, options: known.get(text), written: given };
  const result = definition.options.safeParse(given);
  if (result.success) {
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(text, result.data);
    return { name, options: result.data, written: given };
  }
  if (keys === null) {
    const missing = result.error.issues.flatMap(({ path }) => (path.length === 0 ? [] : [JSON.stringify(path[0])]));
    const needs = missing.length === 0 ? "options" : missing.join(", ");
    return refuse("missing-option", `${noun} ${JSON.stringify(name)} needs ${needs}`, `write \`${name}: { … }\``);
  }
  for (const issue of result.error.issues) {
    const path = [...at, name, ...issue.path];
    ctx.issues.push({ ...issue, path, input: given, continue: false } as z.core.$ZodRawIssue);
  }
  return null;
}

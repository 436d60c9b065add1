/** The config's JSON Schema, for editors and other programs; made from the same schema that reads it. */
import { z } from "zod";
import type { Catalog, CatalogEntry } from "./catalog.ts";
import { ENTRY_NOUNS, type EntryList, entryKind } from "./schema/entry.ts";
import { configSchema } from "./schema.ts";

export const SCHEMA_ID = "urn:lintel:config";

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** JSON Schema (draft 2020-12) of what may be written in a config. */
export function jsonSchema(catalog: Catalog): JsonSchema {
  const { $defs, ...schema } = z.toJSONSchema(configSchema(catalog), {
    io: "input",
    unrepresentable: "any",
    override({ zodSchema, jsonSchema: made }) {
      // Read by its own code; zod cannot know what it takes.
      const kind = entryKind(zodSchema);
      if (kind === undefined) return;
      const one = { $ref: `#/$defs/${ENTRY_NOUNS[kind.list]}` };
      Object.assign(made, kind.many ? { anyOf: [one, { type: "array", items: one }] } : one);
    },
  });
  const entries = ENTRY_LISTS.map((list) => entriesOf(ENTRY_NOUNS[list], [...catalog[list].values()]));
  return { $id: SCHEMA_ID, ...(schema as JsonSchema), $defs: Object.assign({}, $defs, ...entries) };
}

const ENTRY_LISTS: readonly EntryList[] = ["middlewares", "balancers", "providers"];

/** What an entry of a list may be, under the name of one of them, with what that refers to. */
function entriesOf(noun: string, definitions: readonly CatalogEntry[]): Record<string, JsonSchema> {
  const options = definitions.map(optionsOf);
  return Object.assign({}, ...options.map((one) => one.$defs), { [noun]: entrySchema(noun, definitions, options) });
}

/** A definition's options. What they refer to moves to the root, under names of their own. */
function optionsOf({ name, options }: CatalogEntry): { schema: JsonSchema; $defs: Record<string, JsonSchema> } {
  const { $schema: _, ...made } = z.toJSONSchema(options, { io: "input", unrepresentable: "any" });
  const own = JSON.stringify(made)
    .replaceAll('"#/$defs/', `"#/$defs/${name}-`)
    .replaceAll('"$ref":"#"', `"$ref":"#/$defs/${name}"`);
  const { $defs = {}, ...schema } = JSON.parse(own) as JsonSchema & { $defs?: Record<string, JsonSchema> };
  const moved = Object.entries($defs).map(([key, value]) => [`${name}-${key}`, value] as const);
  return {
    schema,
    $defs: Object.fromEntries([...moved, ...(own.includes(`"#/$defs/${name}"`) ? [[name, schema] as const] : [])]),
  };
}

/** One entry: a map with one key, or the name alone where every option has a default. */
function entrySchema(
  noun: string,
  definitions: readonly CatalogEntry[],
  options: readonly { schema: JsonSchema }[],
): JsonSchema {
  const bare = definitions.filter((definition) => definition.options.safeParse({}).success).map(({ name }) => name);
  const names: JsonSchema[] = bare.length === 0 ? [] : [{ title: `Name of a ${noun}`, type: "string", enum: bare }];
  const maps = definitions.map(({ name, summary }, i): JsonSchema => {
    const about = { title: name, description: summary };
    return {
      ...about,
      type: "object",
      properties: { [name]: { ...about, ...options[i]!.schema } },
      required: [name],
      additionalProperties: false,
    };
  });
  const title = noun.slice(0, 1).toUpperCase() + noun.slice(1);
  return { title, description: `A ${noun} with its options.`, anyOf: [...names, ...maps] };
}

/** The config's JSON Schema, for editors and other programs; made from the same schema that reads it. */
import { z } from "zod";
import type { Catalog } from "./catalog.ts";
import { isMiddlewareEntry } from "./schema/site.ts";
import { configSchema } from "./schema.ts";

export const SCHEMA_ID = "https://lintel.dev/schema/config.json";

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** JSON Schema (draft 2020-12) of what may be written in a config. */
export function jsonSchema(catalog: Catalog): JsonSchema {
  const { $schema, ...schema } = z.toJSONSchema(configSchema(catalog), {
    io: "input",
    unrepresentable: "any",
    override({ zodSchema, jsonSchema: made }) {
      // Read by its own code; zod cannot know what it takes.
      if (isMiddlewareEntry(zodSchema)) Object.assign(made, { $ref: "#/$defs/middleware" });
    },
  }) as JsonSchema & { $defs?: Record<string, JsonSchema> };
  const $defs = { ...schema.$defs, middleware: middlewares(catalog) };
  return {
    $schema: $schema ?? "https://json-schema.org/draft/2020-12/schema",
    $id: SCHEMA_ID,
    ...schema,
    $defs,
  };
}

/** One entry of `use`: a map with one key, or the name alone where every option has a default. */
function middlewares(catalog: Catalog): JsonSchema {
  const definitions = [...catalog.middlewares.values()];
  const bare = definitions
    .filter((definition) => definition.options.safeParse({}).success)
    .map((definition) => definition.name);
  const maps = definitions.map((definition): JsonSchema => {
    const { $schema: _, ...options } = z.toJSONSchema(definition.options, { io: "input", unrepresentable: "any" });
    return {
      title: definition.name,
      description: definition.summary,
      type: "object",
      properties: {
        [definition.name]: { title: definition.name, description: definition.summary, ...(options as JsonSchema) },
      },
      required: [definition.name],
      additionalProperties: false,
    };
  });
  const names: JsonSchema[] = bare.length === 0 ? [] : [{ title: "Name of a middleware", type: "string", enum: bare }];
  return { title: "Middleware", description: "A middleware with its options.", anyOf: [...names, ...maps] };
}

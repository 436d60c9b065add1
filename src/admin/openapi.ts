/** The OpenAPI 3.1 document, made of the list of operations that the server answers with. */
import { z } from "zod";
import type { Access, Operation } from "./operation.ts";
import { PROBLEM_TYPE, PROBLEMS, type ProblemKind } from "./problem.ts";
import { problem } from "./schemas.ts";

type Json = Readonly<Record<string, unknown>>;

/** Problems that any operation may answer with. */
const EVERYWHERE: readonly ProblemKind[] = [
  "token-missing",
  "token-wrong",
  "foreign-origin",
  "misdirected",
  "internal",
];

const ABOUT_ACCESS: Readonly<Record<Access, string>> = {
  read: "",
  private: "\n\nOver TCP only with a token.",
  change: "\n\nOver TCP only with a token.",
};

export function openApiDocument(operations: readonly Operation[], version: string): Json {
  const schemas: Record<string, unknown> = {};
  const paths: Record<string, Record<string, unknown>> = {};
  schemaOf(problem, "output", schemas);
  for (const operation of operations) {
    const path = paths[operation.path] ?? {};
    path[operation.method.toLowerCase()] = describe(operation, schemas);
    paths[operation.path] = path;
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Lintel admin API",
      version,
      summary: "What Lintel knows and can do while it runs.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    // The second alternative: none, where no token is set.
    security: [{ token: [] }, {}],
    paths,
    components: {
      schemas,
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "`admin.token` of the config." } },
    },
  };
}

function describe(operation: Operation, schemas: Record<string, unknown>): Json {
  const { id, summary, access, params, query, content, status, result } = operation;
  return {
    operationId: id,
    summary,
    description: `${summary}${ABOUT_ACCESS[access]}`,
    parameters: [...parameters("path", params), ...parameters("query", query)],
    ...(content === null
      ? {}
      : { requestBody: { required: true, content: json(schemaOf(content, "input", schemas)) } }),
    responses: {
      [status]: { description: summary, content: json(schemaOf(result, "output", schemas)) },
      ...problems(operation),
    },
  };
}

function parameters(place: "path" | "query", object: z.ZodObject): Json[] {
  return Object.entries(object.shape as Record<string, z.ZodType>).map(([name, schema]) => {
    const { $schema: _, description, ...made } = z.toJSONSchema(schema, { io: "input" });
    const required = place === "path" || !schema.safeParse(undefined).success;
    return { name, in: place, required, ...(description === undefined ? {} : { description }), schema: made };
  });
}

/** One response for each status. */
function problems({ problems: own, params, query, content, access }: Operation): Json {
  const takesSomething = [params, query].some(({ shape }) => Object.keys(shape).length > 0) || content !== null;
  const kinds: ProblemKind[] = [
    ...EVERYWHERE,
    ...(access === "read" ? [] : (["no-token-set"] as const)),
    ...(takesSomething ? (["bad-request"] as const) : []),
    ...(content === null ? [] : (["bad-content", "not-json", "content-too-large"] as const)),
    ...own,
    ...(access === "change" ? (["not-available"] as const) : []),
  ];
  const byStatus = new Map<number, ProblemKind[]>();
  for (const kind of kinds) {
    const { status } = PROBLEMS[kind];
    byStatus.set(status, [...(byStatus.get(status) ?? []), kind]);
  }
  const answer = { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } };
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, list]) => [
        status,
        { description: list.map((kind) => `\`${kind}\`: ${PROBLEMS[kind].title}.`).join("\n\n"), content: answer },
      ]),
  );
}

const json = (schema: Json): Json => ({ "application/json": { schema } });

/** JSON Schema of it; what has a name of its own goes to `named`. */
function schemaOf(schema: z.ZodType, io: "input" | "output", named: Record<string, unknown>): Json {
  const made = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  const text = JSON.stringify(made).replaceAll('"#/$defs/', '"#/components/schemas/');
  const { $schema: _, $defs, ...own } = JSON.parse(text) as Record<string, unknown>;
  for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, Record<string, unknown>>)) {
    named[name] = withoutId(definition);
  }
  const { id } = own;
  if (typeof id !== "string") return own;
  named[id] = withoutId(own);
  return { $ref: `#/components/schemas/${id}` };
}

/** `id` is a name to us, and an unknown word to JSON Schema. */
function withoutId({ id: _, ...schema }: Record<string, unknown>): unknown {
  return schema;
}

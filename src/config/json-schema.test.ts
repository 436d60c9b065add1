import { expect, test } from "bun:test";
import { z } from "zod";
import { variables } from "../http/variable-rules.ts";
import { catalogOf } from "./catalog.ts";
import { jsonSchema, SCHEMA_ID } from "./json-schema.ts";
import { testCatalog } from "./testing.ts";

type Json = { readonly [key: string]: Json } & { readonly $ref?: string };
const schema = JSON.parse(JSON.stringify(jsonSchema(testCatalog))) as Json;

function* nodes(node: unknown, path = ""): Generator<{ node: Json; path: string }> {
  if (typeof node !== "object" || node === null) return;
  yield { node: node as Json, path };
  for (const [key, inner] of Object.entries(node)) yield* nodes(inner, `${path}/${key}`);
}

test("it has an identity and a title", () => {
  expect(schema).toMatchObject({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: SCHEMA_ID,
    title: "Lintel",
  });
});

test("every reference leads somewhere", () => {
  for (const { node, path } of nodes(schema)) {
    if (typeof node.$ref !== "string") continue;
    const found = node.$ref
      .slice(2)
      .split("/")
      .reduce<Json | undefined>((at, step) => at?.[step], schema);
    expect({ path, found: typeof found }).toEqual({ path, found: "object" });
  }
});

test("every key of the config is described", () => {
  for (const { node, path } of nodes(schema)) {
    if (!path.endsWith("/properties") || /\/(?:middleware|balancer|provider|check)\//.test(path)) continue;
    for (const [key, value] of Object.entries(node) as [string, Json][]) {
      const described = "description" in value || "$ref" in value;
      expect({ key: `${path}/${key}`, described }).toEqual({ key: `${path}/${key}`, described: true });
    }
  }
});

test("a middleware is a map with its name, or the bare name where all its options have defaults", () => {
  const entries = schema["$defs"]!["middleware"]!["anyOf"] as unknown as Json[];
  expect(entries[0]!["enum"]).toEqual(["body-limit", "headers", "respond"] as never);
  expect(entries.slice(1).map((entry) => Object.keys(entry["properties"]!)[0])).toEqual([
    "body-limit",
    "headers",
    "rewrite",
    "respond",
  ]);
});

const NOTHING_ELSE = {
  balancers: [{ name: "round-robin", summary: "In turn.", options: z.strictObject({}) }],
  providers: [],
  checks: [],
  variables,
};

test("what a middleware's options refer to comes along, under names of its own", () => {
  const tree: z.ZodType = z.strictObject({ next: z.lazy(() => tree).optional() });
  const inner = z.strictObject({ tree });
  const made = JSON.parse(
    JSON.stringify(
      jsonSchema(
        catalogOf({
          ...NOTHING_ELSE,
          middlewares: [
            { name: "deep", summary: "Deep.", options: inner },
            { name: "self", summary: "Self.", options: tree },
          ],
        }),
      ),
    ),
  ) as Json;
  const references = [...nodes(made)].flatMap(({ node }) => (typeof node.$ref === "string" ? [node.$ref] : []));
  expect(references.filter((one) => /deep|self/.test(one))).toHaveLength(4);
  for (const reference of references) {
    expect(
      reference
        .slice(2)
        .split("/")
        .reduce<Json | undefined>((at, step) => at?.[step], made),
    ).toBeObject();
  }
  expect(made["$defs"]!["self"]).toMatchObject({ properties: { next: { $ref: "#/$defs/self" } } });
});

test("balancers and providers are entries as middlewares are; of providers there may be a list", () => {
  const upstream = schema["properties"]!["upstreams"]!["additionalProperties"]!["anyOf"]![2 as never] as Json;
  expect(upstream["properties"]!["balance"]).toMatchObject({ $ref: "#/$defs/balancer" });
  expect(upstream["properties"]!["discover"]!["anyOf"]).toEqual([
    { $ref: "#/$defs/provider" },
    { type: "array", items: { $ref: "#/$defs/provider" } },
  ] as never);
  const balancers = schema["$defs"]!["balancer"]!["anyOf"] as unknown as Json[];
  expect(balancers[0]!["enum"]).toEqual(["round-robin", "least-requests"] as never);
  expect(balancers.find((one) => one["title"] === ("hash" as never))).toMatchObject({
    properties: { hash: { required: ["key"] } },
  });
  expect(schema["$defs"]!["provider"]!["anyOf"]).toHaveLength(2);
});

test("a check is a key among those that say how often", () => {
  const upstream = schema["properties"]!["upstreams"]!["additionalProperties"]!["anyOf"]![2 as never] as Json;
  const check = upstream["properties"]!["health"]!["properties"]!["check"]!["anyOf"] as unknown as Json[];
  expect(check.map((one) => one["const"] ?? one["enum"] ?? Object.keys(one["properties"]!))).toEqual([
    "off",
    ["http", "tcp"],
    ["http", "tcp", "every", "timeout", "rise", "fall", "initial", "port"],
  ] as never);
});

import { describe, expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { openApiDocument } from "./openapi.ts";
import { operations } from "./operations/operations.ts";

const document = JSON.parse(JSON.stringify(openApiDocument(operations, "1.2.3")));

describe("the OpenAPI document", () => {
  test("is OpenAPI 3.1, by the schema of the OpenAPI Initiative, and what it refers to is there", async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(structuredClone(document));
    expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
    expect(validator.version).toBe("3.1");
    validator.resolveRefs();
  });

  test("has every operation of the server, and no other", () => {
    const described = Object.entries(document.paths as Record<string, Record<string, { operationId: string }>>).flatMap(
      ([path, methods]) => Object.entries(methods).map(([method, { operationId }]) => [operationId, method, path]),
    );
    const served = operations.map(({ id, method, path }) => [id, method.toLowerCase(), path]);
    expect(described.sort()).toEqual(served.sort());
  });

  test("every parameter in a path is described, and says what it is", () => {
    for (const { path, params } of operations) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
      expect(Object.keys(params.shape)).toEqual(named);
      for (const schema of Object.values(params.shape)) expect(schema.meta()?.description).toBeString();
    }
  });

  test("every operation has a summary, and says which need a token", () => {
    for (const { id, method, summary, access } of operations) {
      expect([id, summary]).toEqual([id, expect.stringMatching(/^[A-Z].*\.$/)]);
      expect([id, method === "GET" ? access !== "change" : access === "change"]).toEqual([id, true]);
    }
  });
});

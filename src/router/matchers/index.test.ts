import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { z } from "zod";
import { matchOf } from "../../config/schema/match.ts";
import { variables } from "../../http/variable-rules.ts";
import { MATCHERS } from "./index.ts";

test("every file of this folder is in the list, under its own name", () => {
  const files = readdirSync(import.meta.dir).filter((file) => !/^index\.|\.test\.ts$/.test(file));
  expect(MATCHERS.map(({ name }) => `${name}.ts`).toSorted()).toEqual(files.toSorted());
});

test("every key the config knows in `match` is here, and no other", () => {
  const schema = z.toJSONSchema(matchOf(variables), { io: "input" });
  const keys = Object.keys(schema.$defs?.["conditions"]?.properties ?? {});
  expect(MATCHERS.map(({ name }): string => name).toSorted()).toEqual(keys.toSorted());
});

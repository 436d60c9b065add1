import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { z } from "zod";
import { middlewares } from "./index.ts";

const folders = readdirSync(import.meta.dir, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

test("every folder's middleware is in the list, under the folder's name", () => {
  expect(middlewares.map(({ name }) => name)).toEqual(folders);
});

test.each(folders)("%s has its test and its page", async (name) => {
  expect(await Bun.file(`${import.meta.dir}/${name}/${name}.test.ts`).exists()).toBe(true);
  expect(await Bun.file(`${import.meta.dir}/../../docs/middleware/${name}.md`).exists()).toBe(true);
});

test.each(middlewares)("the options of $name have a schema and describe themselves", ({ options }) => {
  const schema = z.toJSONSchema(options, { io: "input" }) as Schema;
  expect(undescribed(schema)).toEqual([]);
});

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly anyOf?: readonly Schema[];
}

/** Names of options without a description. */
function undescribed(schema: Schema): string[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, option]) => [
    ...(describes(option) ? [] : [name]),
    ...undescribed(option).map((inner) => `${name}.${inner}`),
  ]);
  return [...own, ...(schema.anyOf ?? []).flatMap(undescribed)];
}

function describes(option: Schema): boolean {
  return option.description !== undefined || (option.anyOf ?? []).some(describes);
}

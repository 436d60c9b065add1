import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { providers } from "./index.ts";

const folders = readdirSync(import.meta.dir, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

test("every folder's provider is in the list, under the folder's name, and has its test", () => {
  expect(providers.map(({ name }) => name).sort()).toEqual(folders.sort());
  for (const name of folders)
    expect([name, existsSync(join(import.meta.dir, name, `${name}.test.ts`))]).toEqual([name, true]);
});

test.each(providers)("every option of $name is described, and on its page", async ({ options }) => {
  const page = await Bun.file(join(import.meta.dir, "../../../docs/discovery.md")).text();
  const { properties = {} } = z.toJSONSchema(options, { io: "input" });
  for (const [option, schema] of Object.entries(properties)) {
    expect([option, typeof (schema as { description?: string }).description]).toEqual([option, "string"]);
    expect([option, page.includes(`\`${option}\``)]).toEqual([option, true]);
  }
});

import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { MATCHERS } from "./index.ts";

test("every file of this folder is in the list, under its own name", () => {
  const files = readdirSync(import.meta.dir).filter((file) => !/^index\.|\.test\.ts$/.test(file));
  expect(MATCHERS.map(({ name }) => `${name}.ts`).toSorted()).toEqual(files.toSorted());
});

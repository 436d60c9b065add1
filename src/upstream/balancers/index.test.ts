import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { balancers } from "./index.ts";

/** What a balancer is, and what they are made of. */
const NO_BALANCERS = new Set([
  "balancer",
  "bounded-load",
  "contract",
  "crc32",
  "hash-ring",
  "index",
  "least-cost",
  "pass-turns",
  "smooth-turns",
  "testing",
  "turns",
  "weight-slots",
  "weighted-draw",
]);

const files = readdirSync(import.meta.dir)
  .filter((file) => !file.endsWith(".test.ts"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => !NO_BALANCERS.has(name));

test("every file's balancer is in the list, under the file's name, and has its test", async () => {
  expect(balancers.map(({ name }) => name).sort()).toEqual(files.sort());
  for (const name of files) expect(await Bun.file(`${import.meta.dir}/${name}.test.ts`).exists()).toBe(true);
});

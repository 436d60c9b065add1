import { expect, test } from "bun:test";
import { fuzz } from "./run.ts";

const MEGABYTES = 8;

test(`${MEGABYTES} MB of random and mutated octets leave no crash, no hang, no leak (bun test/fuzz/run.ts for more)`, async () => {
  const result = await fuzz(MEGABYTES, 1);
  expect(result.problems).toEqual([]);
  expect(Object.keys(result.statuses)).toContain("400");
  expect(result.growth).toBeLessThan(30_000_000);
}, 120_000);

import { expect, test } from "bun:test";
import { fuzz } from "./run.ts";

const MEGABYTES = 8;

test(`${MEGABYTES} MB of random and mutated octets leave no crash, no hang, no leak (npm run fuzz for more)`, async () => {
  const result = await fuzz(MEGABYTES, 1);
  expect(result.problems).toEqual([]);
  expect(result.octets).toBeGreaterThanOrEqual(MEGABYTES * 1_000_000);
  expect(result.statuses).toContainKeys(["200", "400", "408"]);
}, 240_000);

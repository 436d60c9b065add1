import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createLog } from "../base/log.ts";
import { NO_OVERRIDE } from "./endpoint-merge.ts";
import { readOverrides, writeOverrides } from "./kept-overrides.ts";

const said: string[] = [];
const log = createLog({ level: "warn", format: "json", write: (line) => said.push(JSON.parse(line).message) });
const spec = { address: "a:1", weight: 3, backup: false, priority: 0, locality: null, maxInFlight: Infinity };
const overrides = { app: { "a:1": { ...NO_OVERRIDE, added: spec, persist: true } } };

test("what operators said is read back as it was, Infinity too, and for nobody else's eyes", () => {
  const folder = mkdtempSync(`${tmpdir()}/lintel-overrides-`);
  const path = `${folder}/state/endpoints.json`;
  expect(readOverrides(path, log)).toEqual({});
  writeOverrides(path, overrides, log);
  expect(readOverrides(path, log)).toEqual(overrides);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(`${folder}/state`)).toEqual(["endpoints.json"]);
  rmSync(folder, { recursive: true });
  expect(said).toEqual([]);
});

test("a damaged file, and a folder that cannot be written, cost a warning each", () => {
  const folder = mkdtempSync(`${tmpdir()}/lintel-overrides-`);
  writeFileSync(`${folder}/endpoints.json`, '{"app": {');
  expect(readOverrides(`${folder}/endpoints.json`, log)).toEqual({});
  writeOverrides(`${folder}/endpoints.json/x/endpoints.json`, overrides, log);
  expect(said.splice(0).length).toBe(2);
  rmSync(folder, { recursive: true });
});

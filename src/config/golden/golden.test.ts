/**
 * Whole configs: `bad-x.yaml` (or .json, .ts) beside `bad-x.yaml.txt`, the exact text `lintel check`
 * shows for it; for a good one also the whole config that comes out, every default filled in.
 * `UPDATE_GOLDEN=1 bun test src/config/golden` writes the texts anew.
 */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { renderAll } from "../diagnostic.ts";
import { loadConfig } from "../load.ts";
import { testCatalog } from "../testing.ts";

const FOLDER = import.meta.dir;
const env = { HOME: "/home/lintel", PORT: "3000", UPSTREAM_HOST: "app.internal" };

const configs = readdirSync(FOLDER).filter((name) => /^(?:good|bad)-.*\.(?:yaml|json|config\.ts)$/.test(name));

test.each(configs)("%s says exactly what its .txt says", async (name) => {
  const file = join(FOLDER, name);
  const { config, diagnostics } = await loadConfig({ file }, testCatalog, env);
  const said = renderAll(diagnostics).replaceAll(`${FOLDER}/`, "");
  const shown = config === null ? said : `${said}${JSON.stringify(config, offAsText, 2)}\n`;
  const golden = Bun.file(`${file}.txt`);
  if (process.env["UPDATE_GOLDEN"] === "1") await Bun.write(golden, shown);
  expect(shown).toBe(await golden.text());
  expect(config === null).toBe(name.startsWith("bad-"));
});

const offAsText = (_key: string, value: unknown) => (value === Number.POSITIVE_INFINITY ? "off" : value);

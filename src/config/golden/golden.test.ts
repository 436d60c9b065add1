/**
 * Whole configs: `bad-x.yaml` (or .json, .ts.in) beside `bad-x.yaml.txt`, the exact text `lintel check`
 * shows for it; for a good one also the whole config that comes out, every default filled in.
 * `UPDATE_GOLDEN=1 bun test src/config/golden` writes the texts anew.
 */
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderAll } from "../diagnostic.ts";
import { loadConfig } from "../load.ts";
import { testCatalog } from "../testing.ts";

const FOLDER = import.meta.dir;
const env = { HOME: "/home/lintel", PORT: "3000", UPSTREAM_HOST: "app.internal" };

// A `.ts.in` is a TypeScript config, named so that the project's own checks leave it alone.
const configs = readdirSync(FOLDER).filter((name) => /^(?:good|bad)-.*\.(?:yaml|json|ts\.in)$/.test(name));

const scratch = mkdtempSync(join(tmpdir(), "lintel-golden-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** The file to load: itself, or a copy under the name it stands for. */
function loadable(name: string): string {
  const file = join(FOLDER, name);
  if (!name.endsWith(".in")) return file;
  const copy = join(scratch, name.slice(0, -".in".length));
  copyFileSync(file, copy);
  return copy;
}

test.each(configs)("%s says exactly what its .txt says", async (name) => {
  const { config, diagnostics } = await loadConfig({ file: loadable(name) }, testCatalog, env);
  const said = renderAll(diagnostics).replaceAll(`${FOLDER}/`, "").replaceAll(`${scratch}/`, "");
  const shown = config === null ? said : `${said}${JSON.stringify(config, asShown, 2)}\n`;
  const golden = Bun.file(join(FOLDER, `${name}.txt`));
  if (process.env["UPDATE_GOLDEN"] === "1") await Bun.write(golden, shown);
  expect(shown).toBe(await golden.text());
  expect(config === null).toBe(name.startsWith("bad-"));
});

/** What options were read from stands in the config beside it. */
const asShown = (key: string, value: unknown) =>
  key === "written" ? undefined : value === Number.POSITIVE_INFINITY ? "off" : value;

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { SILENT } from "../base/log.ts";
import { catalogOf } from "../config/catalog.ts";
import { loadConfig } from "../config/load.ts";
import { variables } from "../http/variable-rules.ts";
import { balancers } from "../upstream/balancers/index.ts";
import { providers } from "../upstream/discovery/index.ts";
import { checks } from "../upstream/health/checks/index.ts";
import { middlewares } from "./index.ts";

const catalog = catalogOf({ middlewares, balancers, providers, checks, variables });
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "docs-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe.each(middlewares)("the page of $name", ({ name, options }) => {
  const page = readFileSync(join(import.meta.dir, `../../docs/middleware/${name}.md`), "utf8");
  const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!);

  test("has at least two examples", () => {
    expect(examples.length).toBeGreaterThanOrEqual(2);
  });

  test.each(examples.map((text, i) => [i + 1, text] as const))("example %i is a whole config", async (_, text) => {
    const file = join(directory, "lintel.yaml");
    writeFileSync(file, text);
    for (const [, named] of text.matchAll(/ file: ([\w./-]+)/g)) {
      mkdirSync(dirname(join(directory, named!)), { recursive: true });
      writeFileSync(join(directory, named!), "a page");
    }
    const { config, diagnostics } = await loadConfig({ file }, catalog, {});
    expect(diagnostics.map(({ line, message }) => `${line}: ${message}`)).toEqual([]);
    const used = config!.sites.flatMap((site) => [...site.use, ...site.routes.flatMap((route) => route.use)]);
    expect(used.map((one) => one.name)).toContain(name);
    for (const one of used) {
      const definition = middlewares.find((candidate) => candidate.name === one.name)!;
      definition.create(one.options, { log: SILENT, directory, onDispose() {} });
    }
  });

  test("names every option", () => {
    for (const option of optionNames(z.toJSONSchema(options, { io: "input" }) as Schema))
      expect([page.includes(`\`${option}\``) || page.includes(`\`${option}.`), option]).toEqual([true, option]);
  });
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly anyOf?: readonly Schema[];
}

function optionNames({ properties = {}, anyOf = [] }: Schema): string[] {
  return [...Object.keys(properties), ...anyOf.flatMap(optionNames)];
}

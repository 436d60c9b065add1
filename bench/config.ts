/**
 * What it costs to load a large config, by step: 10,000 routes in 100 sites, 1,000 endpoints in 100
 * upstreams. CPU in ms of all threads, the least of several runs; the first run shows a cold start.
 *
 *   bun bench/config.ts
 */
import { stringify } from "yaml";
import { catalog } from "../src/cli/catalog.ts";
import { readJson } from "../src/config/adapters/json/json.ts";
import { readAnyYaml, readYaml } from "../src/config/adapters/yaml/yaml.ts";
import { check } from "../src/config/check.ts";
import { toPlain } from "../src/config/node.ts";
import { keepSame } from "../src/config/same.ts";
import { gatewaySchema } from "../src/config/schema.ts";
import { Source } from "../src/config/source.ts";

const RUNS = 7;
const hundred = Array.from({ length: 100 }, (_, i) => i);

const tree = {
  upstreams: Object.fromEntries(
    hundred.map((u) => [
      `app${u}`,
      {
        endpoints: hundred.slice(0, 10).map((e) => ({ address: `10.0.${u}.${e}:8080`, weight: 1 + (e % 3) })),
        health: { check: { http: { path: "/healthz" } } },
      },
    ]),
  ),
  sites: hundred.map((s) => ({
    hosts: [`s${s}.example.com`],
    routes: hundred.map((r) => ({
      name: `r${s}-${r}`,
      match: { path: `/p${r}/*`, method: ["GET", "POST"] },
      use: [{ headers: { request: { set: { "x-route": `r${r}` } } } }],
      to: `app${(s + r) % 100}`,
    })),
  })),
};

const json = JSON.stringify(tree, null, 2);
const yaml = stringify(tree);
const schema = gatewaySchema(catalog);

measure("read JSON", () => readJson(json, "x.json"));
measure("read YAML", () => readYaml(yaml, "x.yaml"));
measure("read YAML by the package", () => readAnyYaml(new Source("x.yaml", yaml)));
const { node } = readYaml(yaml, "x.yaml");
measure("to plain data", () => toPlain(node!));
// An object that was read before is not read again (config/same.ts).
const copies = Array.from({ length: RUNS }, () => structuredClone(tree));
measure("schema", () => schema.parse(copies.pop()));
const again = Array.from({ length: RUNS }, () => structuredClone(tree));
measure("same as before", () => keepSame(again.pop(), tree));
measure("schema of the same", () => schema.parse(tree));
measure("check", () => check(tree, catalog));

function measure(name: string, run: () => unknown): void {
  const costs: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    Bun.gc(true);
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    costs.push(Math.round((user + system) / 1000));
  }
  console.log(`${name.padEnd(26)} ${String(Math.min(...costs)).padStart(5)}   first ${costs[0]}`);
}

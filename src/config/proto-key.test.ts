import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { oneLine } from "./diagnostic.ts";
import { loadConfig } from "./load.ts";
import { testCatalog } from "./testing.ts";

const folder = mkdtempSync(join(tmpdir(), "lintel-proto-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What is said of a config, and whether it would be served. */
async function load(name: string, text: string) {
  const file = join(folder, name);
  await Bun.write(file, text);
  const { config, diagnostics } = await loadConfig({ file }, testCatalog, {});
  return { isServed: config !== null, said: diagnostics.map((one) => oneLine(one).replaceAll(file, name)) };
}

const refused = (place: string) => ({
  isServed: false,
  said: [`${place}: error[bad-name]: "__proto__" cannot be used as a name`],
});

describe('a key "__proto__" is refused, as it would vanish', () => {
  const MATCH = (match: string) => `{ sites: [{ routes: [{ match: ${match}, to: "a:1" }] }] }`;

  test.each([
    ["a variable's condition", MATCH('{ variable: { "__proto__": "x" } }')],
    ["a field's", MATCH('{ field: { "__proto__": "x" } }')],
    ["a query parameter's", MATCH('{ query: { "__proto__": "x" } }')],
    ["a cookie's", MATCH('{ path: "/a", cookie: { "__proto__": true } }')],
    ["a nested cookie's", MATCH('{ not: { any: [{ cookie: { "__proto__": true } }] } }')],
    ["a condition", MATCH('{ "__proto__": { path: "/a" } }')],
    ["an upstream", '{ upstreams: { "__proto__": { endpoints: "a:1" } }, sites: [{ to: "a:1" }] }'],
    ["an upstream in use", '{ upstreams: { "__proto__": { endpoints: "a:1" } }, sites: [{ to: "__proto__" }] }'],
    ["an upstream's option", '{ upstreams: { a: { endpoints: "a:1", "__proto__": 1 } }, sites: [{ to: "a" }] }'],
    ["a field to set", '{ sites: [{ to: "a:1", use: [{ headers: { request: { set: { "__proto__": "x" } } } }] }] }'],
    ["a middleware", '{ sites: [{ to: "a:1", use: [{ "__proto__": {} }] }] }'],
    ["an option", '{ "__proto__": {}, sites: [{ to: "a:1" }] }'],
  ])("%s", async (_what, text) => {
    const place = `1:${text.indexOf('"__proto__":') + 1}`;
    expect(await load("c.yaml", text)).toEqual(refused(`c.yaml:${place}`));
    const json = text.replace(/\b[a-z]+(?=:[ ])/g, '"$&"');
    expect(await load("c.json", json)).toEqual(refused(`c.json:1:${json.indexOf('"__proto__":') + 1}`));
    const computed = await load("c.config.ts", `export default ${text.replace('"__proto__":', '["__proto__"]:')};`);
    expect(computed).toMatchObject({ isServed: false, said: [expect.stringContaining('"__proto__" cannot be used')] });
  });

  test("also within items of a list that were read before", async () => {
    const text = "sites:\n  - to: a:1\n    routes:\n      - match: { cookie: { __proto__: x } }\n        to: a:1\n";
    for (const _time of [1, 2]) expect(await load("r.yaml", text)).toEqual(refused("r.yaml:4:28"));
  });

  test("and each is named", async () => {
    const text = MATCH('{ cookie: { "__proto__": "x" }, query: { "__proto__": "x" } }');
    expect((await load("c.yaml", text)).said).toHaveLength(2);
  });
});

test.each(["constructor", "toString", "hasOwnProperty", "__defineGetter__"])(
  "a name that all objects inherit, %s, is a name like any other",
  async (name) => {
    const text = `{ upstreams: { ${name}: { endpoints: "a:1" } }, sites: [{ routes: [{ match: { cookie: { ${name}: "x" } }, to: ${name} }] }] }`;
    expect(await load("c.yaml", text)).toEqual({ isServed: true, said: [] });
    const file = join(folder, "c.yaml");
    const { config } = await loadConfig({ file }, testCatalog, {});
    expect(config!.upstreams.map((one) => one.name)).toEqual([name]);
    expect(Object.entries(config!.sites[0]!.routes[0]!.match.cookie!)).toEqual([[name, ["x"]]]);
  },
);

import { expect, test } from "bun:test";
import fc from "fast-check";
import { readJson } from "./adapters/json/json.ts";
import { readYaml } from "./adapters/yaml/yaml.ts";
import { oneLine } from "./diagnostic.ts";
import { loadConfig } from "./load.ts";
import { testCatalog } from "./testing.ts";

const load = (tree: unknown) => loadConfig({ tree, origin: "test" }, testCatalog, {});
const said = async (tree: unknown) => (await load(tree)).diagnostics.map(oneLine);

test("a resolved tree loads again to the same config", async () => {
  const file = new URL("golden/good-full.yaml", import.meta.url).pathname;
  const first = await loadConfig({ file }, testCatalog, { PORT: "3000" });
  const again = await load(JSON.parse(JSON.stringify(first.tree)));
  expect(again.config).not.toBeNull();
  expect(again.config).toEqual(first.config!);
});

test("variables are not looked for in a tree: they were resolved before", async () => {
  const { config } = await load({ sites: [{ use: [{ respond: { body: "${HOME}" } }] }] });
  expect(config?.sites[0]?.use[0]?.options).toEqual({ status: 200, body: "${HOME}" });
});

test("a file that is not there, or in no known language, is one problem", async () => {
  const missing = await loadConfig({ file: "/nowhere/lintel.yaml" }, testCatalog, {});
  expect(missing.diagnostics.map(oneLine)).toEqual([
    "/nowhere/lintel.yaml: error[unreadable-file]: /nowhere/lintel.yaml cannot be read: there is no such file",
  ]);
  expect((await loadConfig({ file: "lintel.toml" }, testCatalog, {})).diagnostics[0]?.code).toBe("unknown-language");
});

test("a further problem is placed by the path of a route", async () => {
  const file = new URL("golden/good-full.yaml", import.meta.url).pathname;
  const loaded = await loadConfig({ file }, testCatalog, { PORT: "1" });
  const { line, path } = loaded.diagnose("sites[0].routes[1]", { code: "c", message: "m" });
  expect({ line, path }).toEqual({ line: expect.any(Number), path: "sites[0].routes[1]" });
});

test("addresses written in `to` become upstreams; the same ones are the same upstream", async () => {
  const { config } = await load({
    sites: [
      { hosts: "a", to: "localhost:1" },
      { hosts: "b", to: ["localhost:1"] },
      { hosts: "c", to: ["localhost:1", { address: "localhost:2", weight: 3 }] },
    ],
  });
  expect(config?.upstreams.map((upstream) => upstream.name)).toEqual(["localhost:1", "localhost:1,localhost:2*3"]);
  expect(config?.sites.map((site) => site.routes[0]?.to)).toEqual([
    "localhost:1",
    "localhost:1",
    "localhost:1,localhost:2*3",
  ]);
});

test("an upstream's own timeouts win over the gateway's", async () => {
  const { config } = await load({
    timeouts: { connect: "1s", upstreamIdle: "off" },
    upstreams: { a: { endpoints: "a:1", timeouts: { connect: "2s" } } },
    sites: [{ to: "a" }],
  });
  expect(config?.upstreams[0]?.timeouts).toEqual({ connect: 2000, firstOctet: 60_000, idle: Infinity });
});

test("sites and routes get names that are theirs alone", async () => {
  const { config } = await load({
    listeners: [":80", ":81", ":82"],
    sites: [
      { hosts: "a.com", listeners: [":80"], to: "a:1" },
      { hosts: "a.com", listeners: [":81"], to: "a:1", routes: [{ match: "/x", to: "a:1" }] },
      { listeners: [":80"], to: "a:1" },
      { name: "site-4", hosts: "*", listeners: [":82"], to: "a:1" },
    ],
  });
  expect(config?.sites.map((site) => site.name)).toEqual(["a.com", "a.com-2", "site-3", "site-4"]);
  expect(config?.sites[1]?.routes.map((route) => route.name)).toEqual(["a.com-2/1", "a.com-2/2"]);
  expect(config?.sites[3]?.hosts).toEqual([]);
});

test.each([
  [{ sites: [{ to: "a:1" }, { to: "b:1" }] }, 'site 2 takes every host on listener "http", which site 1 takes already'],
  [
    {
      sites: [
        { hosts: "a", to: "a:1" },
        { hosts: ["b", "A."], to: "b:1" },
      ],
    },
    'site "b" takes host "a" on listener "http"',
  ],
  [{ sites: [{ hosts: "a", listeners: ["x"], to: "a:1" }] }, 'site "a" names listener "x", which is not defined'],
  [{ sites: [{ to: "app" }] }, 'site 1 sends to upstream "app", which is not defined'],
  [{ sites: [{}] }, 'site 1 has nothing that answers: no "to", and no middleware that responds'],
  [{ sites: [] }, 'the config needs "sites"'],
  [{}, 'the config needs "sites"'],
  [{ sites: [{ to: "a:1", use: ["rewrite"] }] }, 'middleware "rewrite" needs "stripPrefix"'],
  [{ sites: [{ to: "a:1", use: [{ rewrite: null }] }] }, 'middleware "rewrite" needs "stripPrefix"'],
  [{ sites: [{ to: "a:1", use: [{ rewrite: "x" }] }] }, '"rewrite" must be a map, not the text "x"'],
  [{ sites: [{ to: "" }] }, '"" is neither the name of an upstream nor an address'],
  [{ sites: [{ to: ["app"] }] }, '"app" has no port'],
  [{ sites: [{ to: { address: "a:1" } }] }, '"to" must be text or a list, not a map'],
  [
    { sites: [{ to: "a:1", routes: [{ match: { not: { not: { pth: "/" } } }, to: "a:1" }] }] },
    '"not" has no key "pth"',
  ],
  [
    { sites: [{ to: "a:1", routes: [{ match: { field: { "a b": "x" } }, to: "a:1" }] }] },
    '"a b" cannot be used as a name here',
  ],
])("%j", async (tree, message) => {
  expect((await said(tree)).join("\n")).toContain(message);
});

test("two sites may share a host on different listeners", async () => {
  const sites = [
    { hosts: "a", listeners: [":80"], to: "a:1" },
    { hosts: "a", listeners: [":81"], to: "b:1" },
  ];
  expect(await said({ listeners: [":80", ":81"], sites })).toEqual([]);
});

// Values that mean something somewhere, so that random trees get past the first check.
const word = fc.constantFrom(
  "a",
  "app",
  "a:1",
  "/x",
  "/x/*",
  "~(",
  "~x",
  "*",
  "30s",
  "10MB",
  "off",
  "respond",
  "rewrite",
  "web",
  "__proto__",
  "${A}",
  "",
);
const leaf = fc.oneof(word, fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null));
const key = fc.oneof(
  fc.constantFrom(
    "sites",
    "routes",
    "use",
    "to",
    "match",
    "not",
    "any",
    "hosts",
    "host",
    "path",
    "upstreams",
    "endpoints",
    "address",
    "listeners",
  ),
  fc.constantFrom(
    "name",
    "workers",
    "limits",
    "timeouts",
    "head",
    "rewrite",
    "respond",
    "status",
    "admin",
    "telemetry",
    "accessLog",
    "include",
  ),
  fc.string(),
);
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 6 },
    leaf,
    fc.array(tie("tree"), { maxLength: 4 }),
    fc.dictionary(key, tie("tree"), { maxKeys: 5 }),
  ),
}));

const GOOD = {
  listeners: [":80", { name: "web", address: ":81" }],
  upstreams: { app: "a:1", more: { endpoints: ["b:1", { address: "c:1", weight: 2 }], retry: 1 } },
  sites: [
    {
      hosts: ["a", "*.b"],
      use: [{ headers: {} }],
      routes: [{ match: { path: "/x", any: [{ method: "GET" }] }, use: ["respond"] }],
      to: "app",
    },
    { hosts: "c", to: "more" },
  ],
  telemetry: { accessLog: { format: "json" } },
};

/** The good tree with one random place replaced. */
const damaged = fc.tuple(fc.infiniteStream(fc.nat()), tree).map(([numbers, replacement]) => {
  const copy: unknown = structuredClone(GOOD);
  let place = copy as Record<string, unknown>;
  for (;;) {
    const keys = Object.keys(place);
    if (keys.length === 0) return copy;
    const step = keys[numbers.next().value! % keys.length]!;
    const next = place[step];
    if (typeof next !== "object" || next === null || numbers.next().value! % 4 === 0) {
      place[step] = replacement;
      return copy;
    }
    place = next as Record<string, unknown>;
  }
});

test("no tree makes the loader throw; a bad one has an error in our own words", async () => {
  const ours = async (given: unknown) => {
    const { config, diagnostics } = await load(given);
    expect(config === null).toBe(diagnostics.some((one) => one.severity === "error"));
    for (const one of diagnostics) expect(oneLine(one)).not.toMatch(/Invalid|undefined|\[object|expected/);
  };
  await fc.assert(fc.asyncProperty(fc.oneof(damaged, tree), ours), { numRuns: 500 });
}, 60_000);

test("no text makes an adapter throw", () => {
  const text = fc.string({
    unit: fc.constantFrom(..."ab:-[]{},&*!|>'\"#%@`?\n\n   \t0~<".split(""), "${", "<<: ", "- ", ": "),
  });
  fc.assert(
    fc.property(text, (given) => {
      for (const read of [readYaml, readJson]) {
        const { node, diagnostics } = read(given, "x");
        if (node === null) expect(diagnostics.length).toBeGreaterThan(0);
      }
    }),
    { numRuns: 1000 },
  );
});

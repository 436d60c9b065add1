import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import fc from "fast-check";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { Slices } from "../net/slices.ts";
import { ConfigUnpacker, packConfig } from "./packed-config.ts";

/** As a message between processes does it. */
const sent = <T>(value: T): T => structuredClone(value);

const unpack = (config: GatewayConfig, unpacker = new ConfigUnpacker()) =>
  unpacker.unpack(sent(packConfig(config)), null, new Slices());

const read = async (tree: unknown) => (await loadConfig({ tree, origin: "test" }, catalog, {})).config!;

test("a worker gets the config that the supervisor read", async () => {
  const config = await read({
    upstreams: { app: { endpoints: ["10.0.0.1:80", "10.0.0.2:80"], maxInFlight: 5 } },
    sites: [
      {
        hosts: ["a.example"],
        use: [{ headers: { response: { set: { "x-a": "{request.host}" } } } }],
        routes: [{ match: { path: "/a/*" }, use: [{ rewrite: { stripPrefix: "/a" } }], to: "app" }],
      },
      { hosts: ["b.example"], to: "app" },
    ],
    limits: { content: "off" },
  });
  const unpacked = await unpack(config);
  expect(JSON.stringify(unpacked.sites)).toBe(JSON.stringify(config.sites));
  expect(unpacked.limits.content).toBe(Infinity);
  expect(unpacked.upstreams[0]).toEqual({
    ...config.upstreams[0]!,
    endpoints: [],
    health: { ...config.upstreams[0]!.health, check: null },
  });
});

test("sites of many routes come in pieces, in their order", async () => {
  const routes = Array.from({ length: 250 }, (_, i) => ({ match: { path: `/${i}` }, to: "127.0.0.1:9" }));
  const config = await read({ sites: [{ hosts: ["a.example"], routes }, { to: "127.0.0.1:9" }] });
  expect(packConfig(config).pieces).toHaveLength(6);
  const { sites } = await unpack(config);
  expect(sites.map((site) => site.routes.map(({ name }) => name))).toEqual(
    config.sites.map((site) => site.routes.map(({ name }) => name)),
  );
});

const EXAMPLES = `${import.meta.dir}/../../examples`;
test.each(readdirSync(EXAMPLES).filter((name) => /\.(ya?ml|json)$/.test(name)))(
  "example %s can be sent",
  async (name) => {
    const { config } = await loadConfig({ file: `${EXAMPLES}/${name}` }, catalog, process.env);
    if (config === null) throw new Error("it is not fine");
    const { sites } = await unpack(config);
    expect(JSON.stringify(sites)).toBe(JSON.stringify(config.sites));
  },
);

/** Sites with routes of few names and few things to say, so that configs have much in common. */
const site = (name: string) =>
  fc.record({
    name: fc.constant(name),
    hosts: fc.constantFrom([`${name}.example`], [`${name}.example`, `www.${name}.example`]),
    use: fc.constantFrom([], [{ headers: { response: { set: { "x-site": "1" } } } }]),
    routes: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom("a", "b", "c", "d", "e"),
        match: fc.constantFrom("/a", "/b/*", { path: ["/c"], method: "GET" }, {}),
        use: fc.constantFrom<unknown[]>(
          [],
          [{ headers: { request: { set: { "x-a": "1" } } } }],
          [{ rewrite: { stripPrefix: "/b" } }],
        ),
        to: fc.constantFrom("app", "127.0.0.1:9", "127.0.0.1:10"),
      }),
      { selector: ({ name: route }) => route, minLength: 1, maxLength: 5 },
    ),
  });

const anyConfig = fc
  .tuple(site("x"), site("y"), site("z"), fc.subarray([0, 1, 2], { minLength: 1 }), fc.boolean())
  .map(([x, y, z, which, reversed]) => {
    const sites = which.map((i) => [x, y, z][i]!);
    return { upstreams: { app: "127.0.0.1:9" }, sites: reversed ? sites.reverse() : sites };
  });

/** Where things stand in the file may be as it was before. */
const withoutPaths = (config: GatewayConfig): unknown =>
  JSON.parse(JSON.stringify(config.sites), (key, value: unknown) =>
    key === "path" && typeof value === "string" ? "" : value,
  );

test("a last route that stays at the end of its site does not keep the others", async () => {
  const configs = [
    ["b", "a", "e"],
    ["c", "d", "a"],
  ].map((names) => ({
    sites: [{ hosts: ["a.example"], routes: names.map((name) => ({ name, to: "127.0.0.1:9" })) }],
  }));
  const [before, after] = [await read(configs[0]), await read(configs[1])];
  const unpacker = new ConfigUnpacker();
  const served = await unpack(before, unpacker);
  const { sites } = await unpacker.unpack(sent(packConfig(after, before)), served, new Slices());
  expect(sites[0]!.routes.map(({ name }) => name)).toEqual(["c", "d", "a"]);
});

test("however the config before differs, a worker ends with the config that the supervisor read, and keeps what is in both", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyConfig, { minLength: 2, maxLength: 5 }), async (trees) => {
      const unpacker = new ConfigUnpacker();
      let tree: unknown = null;
      let before: GatewayConfig | null = null;
      let worker: GatewayConfig | null = null;
      for (const next of trees) {
        const loaded = await loadConfig({ tree: next, origin: "test" }, catalog, {}, tree);
        const config = loaded.config!;
        worker = await unpacker.unpack(sent(packConfig(config, before)), worker, new Slices());
        expect(withoutPaths(worker)).toEqual(withoutPaths(config));
        // Who says the same has the same options, so that both share a middleware.
        const entries = worker.sites.flatMap(({ use, routes }) => [...use, ...routes.flatMap((route) => route.use)]);
        const written = new Set(entries.map((one) => JSON.stringify([one.name, one.written])));
        expect(new Set(entries.map(({ options }) => options)).size).toBe(written.size);
        tree = loaded.tree;
        before = config;
      }
      const again = packConfig(before!, before);
      expect(again.pieces).toEqual([{ firstSite: 0, sites: before!.sites.length }]);
      expect((await unpacker.unpack(sent(again), worker, new Slices())).sites).toEqual(worker!.sites);
    }),
    { numRuns: 200 },
  );
}, 60_000);

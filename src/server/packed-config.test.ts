import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { catalog } from "../cli/catalog.ts";
import { loadConfig } from "../config/load.ts";
import { Slices } from "../net/slices.ts";
import { packConfig, unpackConfig } from "./packed-config.ts";

/** As a message between processes does it. */
const sent = <T>(value: T): T => structuredClone(value);

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
  const unpacked = await unpackConfig(sent(packConfig(config)), new Slices());
  expect(JSON.stringify(unpacked.sites)).toBe(JSON.stringify(config.sites));
  expect(unpacked.limits.content).toBe(Infinity);
  expect(unpacked.upstreams[0]).toEqual({
    ...config.upstreams[0]!,
    health: { ...config.upstreams[0]!.health, check: null },
  });
});

test("sites of many routes come in pieces, in their order", async () => {
  const routes = Array.from({ length: 250 }, (_, i) => ({ match: { path: `/${i}` }, to: "127.0.0.1:9" }));
  const config = await read({ sites: [{ hosts: ["a.example"], routes }, { to: "127.0.0.1:9" }] });
  const packed = packConfig(config);
  expect(packed.pieces).toHaveLength(4);
  const { sites } = await unpackConfig(sent(packed), new Slices());
  expect(sites.map((site) => site.routes.map(({ name }) => name))).toEqual(
    config.sites.map((site) => site.routes.map(({ name }) => name)),
  );
});

const EXAMPLES = `${import.meta.dir}/../../examples`;
test.each(readdirSync(EXAMPLES).filter((name) => /\.(ya?ml|json)$/.test(name)))(
  "example %s can be sent",
  async (name) => {
    const { config } = await loadConfig({ file: `${EXAMPLES}/${name}` }, catalog, process.env);
    if (config === null) return;
    const { sites } = await unpackConfig(sent(packConfig(config)), new Slices());
    expect(JSON.stringify(sites)).toBe(JSON.stringify(config.sites));
  },
);

import { expect, test } from "bun:test";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { describeChanges, isSameRoute, isSameSite, keepFixed } from "./config-changes.ts";

async function read(tree: Record<string, unknown>): Promise<GatewayConfig> {
  const { config, diagnostics } = await loadConfig({ tree, origin: "test" }, catalog, {});
  if (config === null) throw new Error(diagnostics.map(({ message }) => message).join());
  return config;
}

const route = (name: string, more: Record<string, unknown> = {}) => ({ name, match: `/${name}/*`, to: "app", ...more });
const tree = (more: Record<string, unknown> = {}, routes: unknown[] = [route("a"), route("b")]) => ({
  upstreams: { app: ["10.0.0.1:80", "10.0.0.2:80"] },
  sites: [{ name: "main", routes }],
  ...more,
});

const changes = async (from: Record<string, unknown>, to: Record<string, unknown>) =>
  describeChanges(await read(from), await read(to));

test("a config that says the same has no changes", async () => {
  expect(await changes(tree(), tree())).toEqual([]);
});

test("what is new, changed and gone is told by its name", async () => {
  const before = tree({ listeners: [{ name: "web", address: ":80" }] }, [route("a"), route("b"), route("c")]);
  const after = tree(
    {
      listeners: [{ name: "local", address: "127.0.0.1:81" }],
      upstreams: { app: ["10.0.0.1:80", "10.0.0.3:80"], other: ["10.0.0.9:80"] },
      timeouts: { head: "3s" },
    },
    [route("a"), route("b", { use: [{ "body-limit": { max: "1KiB" } }] }), route("d", { to: "other" })],
  );
  expect(await changes(before, after)).toEqual([
    'listener "local" is new',
    'listener "web" is gone',
    'upstream "app" is changed',
    'upstream "other" is new',
    'site "main" is changed',
    'route "b" of site "main" is changed',
    'route "d" of site "main" is new',
    'route "c" of site "main" is gone',
    "timeouts is changed",
  ]);
});

test("a route that only moved in the file is no change of it, but their order may be one", async () => {
  expect(await changes(tree(), tree({}, [route("b"), route("a")]))).toEqual([
    'routes of site "main" stand in another order',
  ]);
  expect(await changes(tree({}, [route("b")]), tree())).toEqual(['route "a" of site "main" is new']);
});

test("many changes are told up to a number", async () => {
  const many = Array.from({ length: 150 }, (_, i) => route(`r${i}`));
  const lines = await changes(tree(), tree({}, [route("a"), route("b"), ...many]));
  expect(lines.length).toBe(101);
  expect(lines.at(-1)).toBe("and 50 more changes");
});

test("settings that cannot change while the program runs stay as they are, by name", async () => {
  const current = await read(tree({ workers: 2 }));
  const next = await read(
    tree({ workers: 3, admin: "off", zone: { growth: 8 }, telemetry: { log: { level: "warn" } }, locality: "x" }),
  );
  const { config, kept } = keepFixed(next, current);
  expect(kept).toEqual(["workers", "admin", "zone", "telemetry.log"]);
  expect(config).toMatchObject({ workers: 2, locality: "x" });
  expect([config.admin, config.zone, config.telemetry.log]).toEqual([
    current.admin,
    current.zone,
    current.telemetry.log,
  ]);
  expect(keepFixed(current, current)).toEqual({ config: current, kept: [] });
});

test("whatever is different in a route or a site counts, also what this file does not name; names and places do not", async () => {
  const { sites } = await read(tree());
  const [site] = sites;
  const [one] = site!.routes;
  for (const key of Object.keys(one!)) {
    const isLeftOut = key === "name" || key === "path";
    expect([key, isSameRoute(one!, { ...one!, [key]: key === "use" ? [{ name: "x", options: 1 }] : "other" })]).toEqual(
      [key, isLeftOut],
    );
  }
  for (const key of Object.keys(site!)) {
    const isLeftOut = ["name", "path", "routes"].includes(key);
    expect([
      key,
      isSameSite(site!, { ...site!, [key]: key === "use" ? [{ name: "x", options: 1 }] : "other" }),
    ]).toEqual([key, isLeftOut]);
  }
});

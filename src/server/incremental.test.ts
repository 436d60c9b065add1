/** A reload keeps what did not change, all the way from the text to the worker. What comes out must be what comes out without. */
import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { runSteps } from "../base/steps.ts";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { Slices } from "../net/slices.ts";
import { explainRoute, listRoutes } from "../router/explain.ts";
import { RouteTable } from "../router/table.ts";
import { exchangeOf } from "../router/test-exchange.ts";
import { Allocation, Noting, Told } from "../state/placement.ts";
import { createZone, type Zone } from "../state/zone.ts";
import { GatewayMetrics } from "../telemetry/metrics.ts";
import { ConfigUnpacker, packConfig } from "./packed-config.ts";

/** What supervisor and worker have of one config. */
interface Served {
  readonly tree: unknown;
  readonly config: GatewayConfig;
  readonly metrics: GatewayMetrics;
  readonly places: readonly number[];
  readonly worker: {
    readonly config: GatewayConfig;
    readonly metrics: GatewayMetrics;
    readonly table: RouteTable<string>;
  };
}

/** Both processes, without the processes. */
class Serving {
  readonly #allocation: Allocation;
  readonly #zone: Zone;
  readonly #unpacker = new ConfigUnpacker();

  constructor(zone: Zone, allocation: Allocation) {
    this.#zone = zone;
    this.#allocation = allocation;
  }

  async serve(tree: unknown, before: Served | null): Promise<Served> {
    const loaded = await loadConfig({ tree, origin: "test" }, catalog, {}, before?.tree);
    const config = loaded.config!;
    const noting = new Noting(this.#allocation);
    const metrics = GatewayMetrics.of(config, noting, { before: before?.metrics ?? null });
    metrics.registry.attach(this.#zone, 0);
    const packed = structuredClone(packConfig(config, before?.config ?? null));
    const known = before?.worker ?? null;
    const unpacked = await this.#unpacker.unpack(packed, known?.config ?? null, new Slices());
    const told = new Told(noting.places);
    const counted = GatewayMetrics.of(unpacked, told, { isShown: false, before: known?.metrics ?? null });
    counted.registry.attach(this.#zone, 0);
    const specs = unpacked.sites.map(({ routes, ...site }) => ({
      ...site,
      routes: routes.map(({ name, match, use, to }) => ({
        name,
        match,
        target: JSON.stringify([use.map((one) => [one.name, one.written]), to]),
      })),
    }));
    const table = runSteps(RouteTable.build(specs, known?.table ?? null));
    return {
      tree: loaded.tree,
      config,
      metrics,
      places: noting.places,
      worker: { config: unpacked, metrics: counted, table },
    };
  }
}

const createServing = () => {
  const zone = createZone({ totals: 200_000, levels: 100, shared: 0, times: 0, slots: 1 });
  const allocation = new Allocation(zone.shape, () => {});
  return { zone, create: () => new Serving(zone, allocation) };
};

const route = fc.record({
  name: fc.constantFrom("a", "b", "c", "d", "e", "f"),
  match: fc.constantFrom<unknown>(
    "/a",
    "/b/*",
    "/:id",
    { path: ["/c", "~^/d"], method: "GET" },
    { method: "POST" },
    {},
  ),
  use: fc.constantFrom<unknown[]>(
    [],
    [{ headers: { request: { set: { "x-a": "1" } } } }],
    [{ headers: { request: { set: { "x-a": "2" } } } }, { rewrite: { stripPrefix: "/b" } }],
  ),
  to: fc.constantFrom("app", "127.0.0.1:9", "127.0.0.1:10"),
});
const routes = fc.uniqueArray(route, { selector: ({ name }) => name, minLength: 1, maxLength: 6 });
const site = (name: string) =>
  fc.record({
    name: fc.constant(name),
    hosts: fc.constantFrom([`${name}.test`], [`${name}.test`, `*.${name}.test`]),
    order: fc.constantFrom("specific", "file"),
    routes,
  });
const config = fc
  .tuple(
    fc.tuple(site("x"), site("y")),
    fc.boolean(),
    fc.constantFrom(["127.0.0.1:80"], ["127.0.0.1:80", "127.0.0.1:81"]),
  )
  .map(([sites, isTurned, listeners]) => ({
    listeners,
    upstreams: { app: "127.0.0.1:9" },
    sites: isTurned ? sites.toReversed() : sites,
  }));
const request = fc.record({
  target: fc.constantFrom("/a", "/b", "/b/c", "/d", "/x/y"),
  method: fc.constantFrom("GET", "POST"),
  host: fc.constantFrom("x.test", "www.x.test", "y.test", "z.test"),
});

test("a config that takes over from others routes, explains and counts as it does by itself", async () => {
  const { zone, create } = createServing();
  await fc.assert(
    fc.asyncProperty(
      fc.array(config, { minLength: 2, maxLength: 4 }),
      fc.array(request, { maxLength: 4 }),
      async (trees, requests) => {
        const serving = create();
        let served: Served | null = null;
        for (const tree of trees) {
          served = await serving.serve(tree, served);
          const alone = await create().serve(tree, null);
          expect(listRoutes(served.worker.table)).toEqual(listRoutes(alone.worker.table));
          for (const facts of requests) {
            const [here, there] = [exchangeOf(facts), exchangeOf(facts)];
            expect(served.worker.table.find(here)).toEqual(alone.worker.table.find(there));
            expect([here.site, here.route, here.params]).toEqual([there.site, there.route, there.params]);
            expect(explainRoute(served.worker.table, exchangeOf(facts))).toEqual(
              explainRoute(alone.worker.table, exchangeOf(facts)),
            );
          }
          expect(served.places).toEqual(alone.places);
        }
      },
    ),
    { numRuns: 200 },
  );
  zone.close();
}, 60_000);

test("two hundred reloads leave nothing behind", async () => {
  const { zone, create } = createServing();
  const serving = create();
  const ROUTES = 200;
  const tree = (version: number) => ({
    upstreams: { app: "127.0.0.1:9" },
    sites: [
      {
        hosts: ["x.test"],
        routes: Array.from({ length: ROUTES }, (_, i) => ({
          name: i % 50 === 1 ? `new-${version}-${i}` : `route-${i}`,
          match: `/${i}/*`,
          use: [{ headers: { request: { set: { "x-a": i % 10 === 0 ? `${i}-${version}` : `${i % 7}` } } } }],
          to: "app",
        })),
      },
    ],
  });
  let served: Served | null = null;
  const reload = async (from: number, to: number) => {
    for (let version = from; version < to; version++) {
      const before: Served | null = served;
      served = await serving.serve(tree(version), before);
    }
    Bun.gc(true);
    return heapStats().objectCount;
  };
  // What is read once for all, and the options that are remembered by their text, are there after these.
  const first = await reload(0, 100);
  const second = await reload(100, 300);
  // Not even an object per route and reload: a config that is held on to has a dozen for each route.
  expect(second - first).toBeLessThan(200 * ROUTES);
  zone.close();
}, 60_000);

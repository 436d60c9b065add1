import { expect, test } from "bun:test";
import fc from "fast-check";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { Allocation, Noting, Told } from "../state/placement.ts";
import { createZone, type Zone } from "../state/zone.ts";
import { GatewayMetrics } from "./metrics.ts";

const names = (letters: string, most: number, least = 1) =>
  fc.subarray(letters.split(""), { minLength: least, maxLength: most });

const anyConfig = fc
  .record({ listeners: names("lm", 2, 0), x: names("abcde", 5), y: names("abcde", 5), upstreams: names("uv", 2) })
  .map(({ listeners, x, y, upstreams }) => {
    const site = (name: string, routes: readonly string[]) => ({
      name,
      routes: routes.map((route) => ({ name: route })),
    });
    const named = (list: readonly string[]) => list.map((name) => ({ name }));
    const sites = [site("x", x), site("y", y)];
    return {
      listeners: named(listeners),
      sites,
      tcp: [],
      udp: [],
      upstreams: named(upstreams),
    } as unknown as GatewayConfig;
  });

/** All series with the cells they are in, in any order. */
const cellsOf = ({ registry }: GatewayMetrics): string[] =>
  [...registry.families]
    .flatMap(({ name, kind, series }) => series.map((one) => JSON.stringify([name, kind, one])))
    .sort();

/** The cells after each route has counted. */
function counted(metrics: GatewayMetrics, { sites }: GatewayConfig, zone: Zone): number[] {
  zone.totals[0]!.fill(0);
  for (const { name, routes } of sites) {
    for (const one of routes) {
      const route = metrics.route(name, one.name);
      for (const row of route.requests) row.add(1, 1);
      route.duration.observe(1);
    }
  }
  return [...zone.totals[0]!];
}

test("metrics that go over from config to config are those of a config that is registered by itself", () => {
  fc.assert(
    fc.property(fc.array(anyConfig, { minLength: 2, maxLength: 5 }), (configs) => {
      const zone = createZone({ totals: 20_000, levels: 100, shared: 0, times: 0, slots: 1 });
      const allocation = new Allocation(zone.shape, () => {});
      let before: GatewayMetrics | null = null;
      let worker: GatewayMetrics | null = null;
      for (const config of configs) {
        const noting = new Noting(allocation);
        const metrics: GatewayMetrics = GatewayMetrics.of(config, noting, { before });
        metrics.registry.attach(zone, 0);
        const alone = new Noting(allocation);
        expect(cellsOf(metrics)).toEqual(cellsOf(GatewayMetrics.of(config, alone)));
        expect(noting.places).toEqual(alone.places);
        expect(noting.keys).toEqual(alone.keys);

        worker = GatewayMetrics.of(config, new Told(noting.places), { isShown: false, before: worker });
        worker.registry.attach(zone, 0);
        expect(counted(worker, config, zone)).toEqual(counted(metrics, config, zone));
        before = metrics;
      }
      zone.close();
    }),
    { numRuns: 200 },
  );
}, 60_000);

test("a route that is in both configs keeps its very handles; one that is elsewhere now gets others", () => {
  const config = {
    listeners: [{ name: "l" }],
    sites: [{ name: "x", routes: [{ name: "a" }] }],
    tcp: [],
    udp: [],
    upstreams: [],
  };
  const first = GatewayMetrics.of(config as unknown as GatewayConfig, new Told([...Array(100).keys()]), {
    isShown: false,
  });
  const route = first.route("x", "a");
  const again = (shift: number) => {
    const told = new Told([...Array(100).keys()].map((place) => place + shift));
    return GatewayMetrics.of(config as unknown as GatewayConfig, told, { isShown: false, before: first }).route(
      "x",
      "a",
    );
  };
  expect(again(0)).toBe(route);
  expect(again(1)).not.toBe(route);
});

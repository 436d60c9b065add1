import { afterEach, describe, expect, test } from "bun:test";
import { SILENT } from "../base/log.ts";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { Allocation } from "../state/placement.ts";
import { createZone } from "../state/zone.ts";
import { GatewayMetrics } from "../telemetry/metrics.ts";
import { Authority } from "../tls/testing.ts";
import { NO_MATERIAL } from "../tls/tls-material.ts";
import { placeEndpoint, staticSets, zoneSizes } from "./endpoint-places.ts";
import { Upstreams } from "./upstreams.ts";

const SLOTS = 2;
const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanUps.splice(0).reverse()) clean();
});

const read = async (app: unknown): Promise<GatewayConfig> => {
  const { config } = await loadConfig(
    { tree: { upstreams: { app }, sites: [{ to: "app" }] }, origin: "test" },
    catalog,
    {},
  );
  return config!;
};

async function upstreamsOf(app: unknown, material = NO_MATERIAL) {
  const config = await read(app);
  const zone = createZone({ ...zoneSizes(config, SLOTS), slots: SLOTS });
  const allocation = new Allocation(zone.shape, (area, first, cells) => zone.clear(area, first, cells));
  const upstreams = new Upstreams({ zone, slot: 0, workers: 1, log: SILENT });
  cleanUps.push(() => {
    upstreams.close();
    zone.close();
  });
  const prepare = async (next: unknown) => {
    const config = await read(next);
    const metrics = GatewayMetrics.of(config, allocation);
    metrics.registry.attach(zone, 0);
    const prepared = await upstreams.prepare(config, staticSets(config, allocation, SLOTS), metrics, material);
    return { metrics, prepared };
  };
  const apply = async (next: unknown) => {
    const { prepared } = await prepare(next);
    prepared.commit();
    return prepared.upstreams.get("app")!;
  };
  /** A set as the supervisor sends it. */
  const setOf = (...addresses: string[]) => {
    const [{ cells, endpoints }] = staticSets(config, allocation, SLOTS) as [ReturnType<typeof staticSets>[0]];
    const made = addresses.map((address) => ({
      ...endpoints[0]!,
      address,
      cells: placeEndpoint(allocation, "app", address, SLOTS),
    }));
    return { upstream: "app", cells, endpoints: made };
  };
  return { upstreams, prepare, apply, setOf, first: await apply(app) };
}

const addresses = ({ endpoints }: { endpoints: readonly { address: string }[] }) =>
  endpoints.map(({ address }) => address);

describe("a reload", () => {
  test("goes on counting at the endpoints that stay", async () => {
    const { prepare } = await upstreamsOf(["127.0.0.1:1"]);
    const { metrics, prepared } = await prepare(["127.0.0.1:1", "127.0.0.1:2"]);
    prepared.commit();
    expect(metrics.endpoint("app", "127.0.0.1:1")).toBeDefined();
    expect(metrics.endpoint("app", "127.0.0.1:2")).toBeDefined();
  });

  test("that leaves an upstream as it is leaves everything of it", async () => {
    const { first, apply } = await upstreamsOf(["127.0.0.1:1", "127.0.0.1:2"]);
    const [a, b] = first.endpoints;
    const second = await apply(["127.0.0.1:2", "127.0.0.1:1"]);
    expect(second).toBe(first);
    expect(second.endpoints[0]).toBe(b!);
    expect(second.endpoints[1]).toBe(a!);
  });

  test("that changes how an upstream is used keeps its endpoints with their connections", async () => {
    const { first, apply } = await upstreamsOf(["127.0.0.1:1"]);
    const second = await apply({ endpoints: ["127.0.0.1:1", "127.0.0.1:2"], balance: "least-requests" });
    expect(second).not.toBe(first);
    expect(second.endpoints[0]).toBe(first.endpoints[0]!);
  });

  test("that changes how connections are made opens new ones, and still knows what is in flight", async () => {
    const { first, apply } = await upstreamsOf(["127.0.0.1:1"]);
    first.endpoints[0]!.state.begin();
    const second = await apply({ endpoints: ["127.0.0.1:1"], pool: { maxIdle: 3 } });
    expect(second.endpoints[0]).not.toBe(first.endpoints[0]!);
    expect(second.endpoints[0]!.inFlight).toBe(1);
    first.endpoints[0]!.state.end();
    expect(second.endpoints[0]!.inFlight).toBe(0);
  });

  test("that is called off leaves what is in force", async () => {
    const { first, prepare } = await upstreamsOf(["127.0.0.1:1"]);
    (await prepare(["127.0.0.1:9"])).prepared.abort();
    expect(addresses(first)).toEqual(["127.0.0.1:1"]);
  });
});

describe("a change of endpoints", () => {
  test("is made in place", async () => {
    const { first, upstreams, setOf } = await upstreamsOf(["127.0.0.1:1"]);
    const [a] = first.endpoints;
    await upstreams.change(setOf("127.0.0.1:1", "127.0.0.1:2"));
    expect(addresses(first)).toEqual(["127.0.0.1:1", "127.0.0.1:2"]);
    expect(first.endpoints[0]).toBe(a!);
    await upstreams.change(setOf("127.0.0.1:2"));
    expect(addresses(first)).toEqual(["127.0.0.1:2"]);
  });

  test("is overtaken by a later one that knows its addresses sooner", async () => {
    const { first, upstreams, setOf } = await upstreamsOf(["127.0.0.1:1"]);
    const slow = upstreams.change(setOf("localhost:2"));
    const fast = upstreams.change(setOf("127.0.0.1:3"));
    await Promise.all([slow, fast]);
    expect(addresses(first)).toEqual(["127.0.0.1:3"]);
  });

  test("knows of CAs that were renewed while it looked up names", async () => {
    const ca = "/ca.pem";
    const material = () => ({ ...NO_MATERIAL, files: { [ca]: new Authority().cert } });
    const app = { endpoints: ["127.0.0.1:1"], tls: { ca } };
    const { first, upstreams, setOf } = await upstreamsOf(app, material());
    const before = first.endpoints[0]!.pool.settings;
    const change = upstreams.change(setOf("127.0.0.1:1", "localhost:2"));
    upstreams.useMaterial(material());
    await change;
    const [a, b] = first.endpoints;
    expect(a!.pool.settings).not.toBe(before);
    expect(b!.pool.settings).toBe(a!.pool.settings);
  });

  test("of an upstream that is not there any more is nobody's business", async () => {
    const { upstreams, setOf } = await upstreamsOf(["127.0.0.1:1"]);
    await upstreams.change({ ...setOf("127.0.0.1:2"), upstream: "gone" });
  });
});

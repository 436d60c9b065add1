import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { SILENT } from "../base/log.ts";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { Allocation } from "../state/placement.ts";
import { createZone } from "../state/zone.ts";
import { renderMetrics } from "../telemetry/exposition.ts";
import { GatewayMetrics } from "../telemetry/metrics.ts";
import type { EndpointSet } from "../upstream/endpoint-spec.ts";
import { Status } from "../upstream/endpoint-state.ts";
import { zoneSizes } from "./endpoint-places.ts";
import { type SavedOverrides, UpstreamDirectory } from "./upstream-directory.ts";

const SLOTS = 3;
const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanUps.splice(0).reverse()) clean();
});

const read = async (app: unknown): Promise<GatewayConfig> => {
  const tree = { upstreams: { app }, sites: [{ to: "app" }] };
  const { config, diagnostics } = await loadConfig({ tree, origin: "test" }, catalog, {});
  if (config === null) throw new Error(diagnostics.map(({ message }) => message).join());
  return config;
};

async function directoryOf(app: unknown, folder = ".", saved: SavedOverrides = {}) {
  const config = await read(app);
  const zone = createZone({ ...zoneSizes(config, SLOTS), slots: SLOTS });
  const allocation = new Allocation(zone.shape, (area, first, cells) => zone.clear(area, first, cells));
  const sent: EndpointSet[] = [];
  const kept: SavedOverrides[] = [];
  const directory = new UpstreamDirectory({
    zone,
    allocation,
    slot: SLOTS - 1,
    log: SILENT,
    send: (set) => sent.push(set),
    save: (overrides) => kept.push(overrides),
    saved,
  });
  cleanUps.push(() => {
    directory.stop();
    zone.close();
  });
  let metrics!: GatewayMetrics;
  const apply = async (next: GatewayConfig) => {
    metrics = GatewayMetrics.of(next, allocation);
    metrics.registry.attach(zone, SLOTS - 1);
    const prepared = await directory.prepare(next, folder, metrics);
    return prepared;
  };
  (await apply(config)).commit();
  const addresses = () => directory.view("app").endpoints.map(({ address }) => address);
  return { directory, sent, kept, apply, addresses, zone, text: () => renderMetrics(metrics.registry, zone) };
}

describe("operators", () => {
  test("an endpoint that is drained gets Status.draining, and is disabled when its time is over", async () => {
    const { directory, zone } = await directoryOf(["a:1", "b:1"]);
    directory.setDuty("app", "a:1", "draining", 30, false);
    expect(directory.view("app").endpoints.map(({ condition }) => condition)).toEqual(["draining", "up"]);
    const { shared } = directory.sets()[0]!.endpoints[0]!.cells;
    expect(zone.shared[shared]! & Status.draining).toBe(Status.draining);
    while (directory.view("app").endpoints[0]!.condition !== "disabled") await Bun.sleep(5);
    directory.setDuty("app", "a:1", "enabled", Infinity, false);
    expect(directory.view("app").endpoints[0]!.condition).toBe("up");
  });

  test("what is added, weighed and removed goes to the workers whole", async () => {
    const { directory, sent, addresses } = await directoryOf(["a:1", "b:1"]);
    const [a] = (await read(["c:1"])).upstreams[0]!.endpoints;
    directory.add("app", a!, false);
    directory.weigh("app", "a:1", 5, false);
    directory.remove("app", "b:1", false);
    expect(sent.map(({ endpoints }) => endpoints.map(({ address, weight }) => `${address} ${weight}`))).toEqual([
      ["a:1 1", "b:1 1", "c:1 1"],
      ["a:1 5", "b:1 1", "c:1 1"],
      ["a:1 5", "c:1 1"],
    ]);
    directory.restore("app", "b:1");
    expect(addresses()).toEqual(["a:1", "b:1", "c:1"]);
    expect(() => directory.add("app", a!, false)).toThrow("has an endpoint c:1 already");
    expect(() => directory.weigh("app", "x:1", 1, false)).toThrow('has no endpoint "x:1"; it has a:1, b:1, c:1');
    expect(() => directory.remove("web", "x:1", false)).toThrow('there is no upstream "web"; there are app');
  });

  test("what persists is saved, and in force again at the next start", async () => {
    const { directory, kept } = await directoryOf(["a:1", "b:1"]);
    directory.setDuty("app", "a:1", "disabled", Infinity, true);
    directory.weigh("app", "b:1", 7, false);
    expect(kept).toHaveLength(1);
    const again = await directoryOf(["a:1", "b:1"], ".", JSON.parse(JSON.stringify(kept[0])) as SavedOverrides);
    expect(again.directory.view("app").endpoints.map(({ condition, weight }) => [condition, weight])).toEqual([
      ["disabled", 1],
      ["up", 1],
    ]);
  });
});

describe("a reload", () => {
  test("keeps the place and state of what stays, and gives a new one its own", async () => {
    const { directory, apply, zone } = await directoryOf(["a:1", "b:1"]);
    const before = directory.sets()[0]!.endpoints;
    zone.shared[before[1]!.cells.shared] = Status.down;
    (await apply(await read(["b:1", "c:1"]))).commit();
    const after = directory.sets()[0]!.endpoints;
    expect(after[0]!.cells).toEqual(before[1]!.cells);
    expect(directory.view("app").endpoints.map(({ condition }) => condition)).toEqual(["down", "up"]);
    expect(after[1]!.cells).not.toEqual(before[0]!.cells);
  });

  test("that is called off changes nothing", async () => {
    const { apply, addresses, directory } = await directoryOf(["a:1"]);
    const before = directory.sets();
    (await apply(await read(["z:1"]))).abort();
    expect(addresses()).toEqual(["a:1"]);
    expect(directory.sets()).toEqual(before);
  });

  test("endpoints that come then start slowly, those of the start do not", async () => {
    const app = (endpoints: string[]) => ({ endpoints, slowStart: "10s" });
    const { directory, apply, zone } = await directoryOf(app(["a:1"]));
    (await apply(await read(app(["a:1", "b:1"])))).commit();
    const ramps = directory.sets()[0]!.endpoints.map(({ cells }) => zone.times[cells.times + 1]! > 0);
    expect(ramps).toEqual([false, true]);
  });
});

test("metrics of an endpoint are there as long as it is", async () => {
  const { directory, text } = await directoryOf(["a:1", "b:1"]);
  expect(text()).toContain('lintel_upstream_endpoint_up{upstream="app",endpoint="b:1"} 1');
  directory.setDuty("app", "b:1", "disabled", Infinity, false);
  expect(text()).toContain('lintel_upstream_endpoint_up{upstream="app",endpoint="b:1"} 0');
  directory.remove("app", "b:1", false);
  expect(text()).not.toContain('endpoint="b:1"');
});

test("what a worker that died had in flight is forgotten", async () => {
  const { directory, zone } = await directoryOf(["a:1"]);
  const { shared } = directory.sets()[0]!.endpoints[0]!.cells;
  zone.shared[shared + 8] = 3;
  zone.shared[shared + 9] = 2;
  expect(directory.view("app").endpoints[0]!.inFlight).toBe(5);
  directory.clearSlot(0);
  expect(directory.view("app").endpoints[0]!.inFlight).toBe(2);
});

test("a provider's word reaches the workers, and its last one stays while it is silent", async () => {
  const folder = mkdtempSync(`${tmpdir()}/lintel-directory-`);
  cleanUps.push(() => rmSync(folder, { recursive: true }));
  const write = (text: string) => {
    writeFileSync(`${folder}/next`, text);
    renameSync(`${folder}/next`, `${folder}/endpoints.yaml`);
  };
  write("- 10.0.0.1:80\n");
  const { addresses, sent, apply } = await directoryOf({ discover: { file: { path: "endpoints.yaml" } } }, folder);
  expect(addresses()).toEqual(["10.0.0.1:80"]);
  write("- 10.0.0.1:80\n- 10.0.0.2:80\n");
  while (sent.length === 0) await Bun.sleep(10);
  expect(sent[0]!.endpoints.map(({ address }) => address)).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
  // Another config with the same provider goes on with what it said.
  (await apply(await read({ discover: { file: { path: "endpoints.yaml" } }, balance: "least-requests" }))).commit();
  expect(addresses()).toEqual(["10.0.0.1:80", "10.0.0.2:80"]);
});

test("a provider with other options that cannot say anything yet goes on with the endpoints of before", async () => {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const dead = `127.0.0.1:${probe.port}`;
  probe.stop(true);
  const { apply, addresses } = await directoryOf({ discover: { dns: { name: "localhost", port: 80, family: 4 } } });
  expect(addresses()).toEqual(["127.0.0.1:80"]);
  (await apply(await read({ discover: { dns: { name: "app.example", port: 80, servers: [dead] } } }))).commit();
  expect(addresses()).toEqual(["127.0.0.1:80"]);
}, 20_000);

/** Chaos: endpoints change and workers die under load. Nothing is lost but what a killed worker held. */
import { describe, expect, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needs, program } from "../../src/base/testing.ts";
import { Dnsmasq, dnsmasqPath } from "../../src/upstream/discovery/dns/testing.ts";
import { chaosGateway, event, LATE_MS, metric, nothingInFlight } from "../support/chaos.ts";
import type { Gateway } from "../support/gateway.ts";
import { Load } from "../support/load.ts";
import { type OriginProcess, originProcesses } from "../support/origin-process.ts";
import { exchange, get, RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";

/** Waits until answers come from just these, all of them. */
async function reaches(load: Load, ...origins: OriginProcess[]): Promise<void> {
  const wanted = new Set(origins.map(({ address }) => address));
  const seen = async () => new Set((await load.more(24)).map(({ origin }) => origin));
  await until(async () => Bun.deepEquals(await seen(), wanted), `answers of ${[...wanted]}`, LATE_MS);
}

describe.concurrent("endpoints that change under load", () => {
  needs(program("dnsmasq", dnsmasqPath)).test(
    "by DNS lose no request, although what has gone from it is killed",
    async () => {
      using first = await originProcesses(1);
      using others = await originProcesses(2, first[0]!.port);
      const [a, b, c] = [first[0]!, ...others] as [OriginProcess, OriginProcess, OriginProcess];
      const hosts = (...list: OriginProcess[]) => list.map(({ host }) => `${host} app.test\n`).join("");
      await using server = await Dnsmasq.start(hosts(a, b));
      const dns = { name: "app.test", port: a.port, servers: server.server, floor: "100ms" };
      await using gateway = await chaosGateway({ named: { discover: { dns }, health: { passive: "off" }, retry: 0 } });
      const load = new Load(gateway.port, "/named/");
      await reaches(load, a, b);
      server.setHosts(hosts(b, c));
      await reaches(load, b, c);
      await nothingAt(a, gateway, "named");
      await a.kill();
      server.setHosts(hosts(c));
      await reaches(load, c);
      await nothingAt(b, gateway, "named");
      await b.kill();
      await a.restart();
      await b.restart();
      server.setHosts(hosts(a, b, c));
      await reaches(load, a, b, c);
      await load.stop();
      expect(load.failures).toEqual([]);
      await nothingInFlight(gateway);
    },
  );

  test("by a file that is written anew ten times lose no request", async () => {
    using origins = await originProcesses(3);
    const list = (...some: OriginProcess[]) => JSON.stringify(some.map(({ address }) => address));
    const [a, b, c] = [...origins] as [OriginProcess, OriginProcess, OriginProcess];
    await using gateway = await chaosGateway(
      { listed: { discover: { file: { path: "listed.json" } }, health: { passive: "off" }, retry: 0 } },
      {},
      { "listed.json": list(a, b) },
    );
    const file = join(gateway.directory, "listed.json");
    const load = new Load(gateway.port, "/listed/");
    await reaches(load, a, b);
    const sets = [[b, c], [c], [a, b, c], [a], [b, c]] as const;
    for (const set of [...sets, ...sets]) {
      writeFileSync(`${file}.new`, list(...set));
      renameSync(`${file}.new`, file);
      await reaches(load, ...set);
    }
    await load.stop();
    expect(load.failures).toEqual([]);
    await nothingInFlight(gateway);
  });
});

/** What an endpoint had when it was taken out is done. */
async function nothingAt(origin: OriginProcess, gateway: Gateway, upstream: string): Promise<void> {
  await until(async () => (await origin.counts()).running === 0, `nothing in flight at ${origin.address}`);
  const labels = { upstream, endpoint: origin.address };
  expect(await metric(gateway, "lintel_upstream_in_flight", labels)).toBe(0);
}

/** SIGKILL to one of the two workers; settles when another has its place. */
async function replaceWorker(gateway: Gateway, pid: number): Promise<void> {
  gateway.signal("SIGKILL", pid);
  const isReplaced = async () =>
    !gateway.workers.includes(pid) && (await gateway.metrics()).get("lintel_workers") === 2;
  await until(isReplaced, "another worker", LATE_MS);
}

test.concurrent("workers that are killed leave nothing behind, and what all share stays as it was", async () => {
  using origins = await originProcesses(8);
  type Origins = [OriginProcess, OriginProcess, OriginProcess, OriginProcess, ...OriginProcess[]];
  const [held, dead, well, sick, ...more] = [...origins] as Origins;
  const addresses = more.map(({ address }) => address);
  await using gateway = await chaosGateway({
    held: { endpoints: held.address, maxInFlight: 6, queue: { size: 0 }, retry: 0, health: { passive: "off" } },
    ejected: {
      endpoints: [dead.address, well.address],
      retry: { budget: "100%" },
      health: { passive: { ejectFor: "5m" } },
    },
    open: {
      endpoints: sick.address,
      retry: 0,
      circuit: { failures: "50%", requests: 5, openFor: "5m" },
    },
    bound: { endpoints: addresses, sticky: "cookie" },
    loaded: { endpoints: addresses },
  });
  const ask = (name: string, ...fieldLines: string[]) =>
    exchange(gateway.port, get(`/${name}/`, ...fieldLines), "GET", LATE_MS);
  const inFlight = () => metric(gateway, "lintel_upstream_in_flight", { upstream: "held" });

  await held.behave({ kind: "silent" });
  await sick.behave({ kind: "answer", status: 503 });
  await dead.kill();
  const holders = await Promise.all(Array.from({ length: 6 }, () => RawClient.connect(gateway.port)));
  for (const holder of holders) void holder.send(get("/held/"));
  await until(async () => (await inFlight()) === 6, "six exchanges in flight", LATE_MS);
  expect((await ask("held")).status).toBe(503);
  for (let i = 0; i < 8; i++) expect((await ask("ejected")).text).toBe(well.address);
  await event(gateway, "ejected", "an endpoint is ejected");
  for (let i = 0; i < 6; i++) await ask("open");
  await event(gateway, "open", "the circuit is open");
  const bound = await ask("bound");
  const cookie = `Cookie: ${bound.field("set-cookie")!.split(";")[0]}`;

  const load = new Load(gateway.port, "/loaded/", { clients: 6 });
  await load.more(20);
  for (const pid of gateway.workers) {
    await replaceWorker(gateway, pid);
    const left = () => holders.filter(({ isOpen }) => isOpen).length;
    await until(
      async () => (await inFlight()) === left(),
      () => `${left()} exchanges in flight`,
      LATE_MS,
    );
    await until(async () => (await held.counts()).running === left(), "the origin server to see it too", LATE_MS);
    expect(await metric(gateway, "lintel_upstream_endpoint_up", { endpoint: dead.address })).toBe(0);
    expect((await ask("bound", cookie)).text).toBe(bound.text);
    await load.more(20);
  }
  expect((await gateway.metrics()).get("lintel_worker_restarts_total")).toBe(2);
  await load.stop();
  // Clients lost the connections that a killed worker had; there was never a wrong answer, and nobody was refused.
  expect(load.failures.filter(({ status }) => status !== 0)).toEqual([]);
  expect(load.failures.length).toBeLessThanOrEqual(6 + 6);
  for (const { error } of load.failures) expect(error).toMatch(/^(end|reset) of the connection/);

  // All the room is there again, the ejected one is out, and the circuit is open.
  await held.behave({ kind: "answer", delayMs: 100 });
  const served = await Promise.all(Array.from({ length: 6 }, () => ask("held")));
  expect(served.map(({ status }) => status)).toEqual(Array(6).fill(200));
  await gateway.skipLog();
  for (let i = 0; i < 8; i++) expect((await ask("ejected")).text).toBe(well.address);
  const lines = (await gateway.log(8)).filter((line) => line["upstream"] === "ejected");
  expect(lines.map((line) => line["attempts"])).toEqual(Array(8).fill(1));
  await sick.clear();
  for (let i = 0; i < 8; i++) expect((await ask("open")).status).toBe(503);
  expect((await sick.counts()).requests).toBe(0);
  await nothingInFlight(gateway);
});

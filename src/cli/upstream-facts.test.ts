import { expect, test } from "bun:test";
import { loadConfig } from "../config/load.ts";
import { catalog } from "./catalog.ts";
import { upstreamFacts } from "./upstream-facts.ts";

async function facts(options: unknown, method = "GET", locality?: string): Promise<string[]> {
  const tree = { upstreams: { app: options }, sites: [{ to: "app" }], ...(locality === undefined ? {} : { locality }) };
  const { config } = await loadConfig({ tree, origin: "test" }, catalog, {});
  return upstreamFacts(config!.upstreams[0]!, config!, method).map((row) => row.join(" "));
}

test("one endpoint is itself", async () => {
  expect(await facts("a:1")).toEqual(["upstream app: a:1"]);
});

test("tiers stand in the order in which they are used", async () => {
  const endpoints = [
    { address: "b:1", backup: true },
    { address: "f:1", priority: 1 },
    { address: "n:1", locality: "eu-1", weight: 3, maxInFlight: 5 },
    "o:1",
  ];
  expect(await facts({ endpoints, balance: "least-requests", sticky: "cookie" }, "GET", "eu-1")).toEqual([
    "upstream app: least-requests over n:1 (weight 3, at most 5 at a time)",
    "else o:1",
    "else f:1 (priority 1)",
    "else b:1 (backup)",
    "sticky by cookie lintel",
    "retry up to 2 times after connect, reset, malformed",
  ]);
});

test("what is found while the gateway runs is named by who finds it", async () => {
  const dns = { dns: { name: "app.internal", port: 80 } };
  expect(await facts({ discover: dns })).toContain("upstream app: round-robin over what dns finds");
  expect(await facts({ endpoints: "a:1", discover: dns })).toContain(
    "upstream app: round-robin over a:1, what dns finds",
  );
});

test("a request that must not be made twice is repeated only if it reached nobody", async () => {
  const options = {
    endpoints: ["a:1", "b:1", "c:1"],
    retry: { on: ["connect", "reset", 503] },
    hedge: { after: "200ms" },
  };
  expect((await facts(options)).at(-1)).toBe(
    "retry up to 2 times after connect, reset, 503; beside an attempt of 200 ms",
  );
  expect((await facts(options, "POST")).at(-1)).toBe("retry up to 2 times after connect");
  expect((await facts({ ...options, retry: 0 }, "POST")).at(-1)).toStartWith("upstream");
});

test.each([
  [{}, null],
  [{ protocol: "http2" }, "over HTTP/2"],
  [{ proxyProtocol: "v2" }, "over HTTP/1.1 after a PROXY header of version 2"],
  [{ tls: true }, "over HTTP/1.1 over TLS"],
  [
    { tls: { ca: "ca.pem", serverName: "app.test", cert: "a.pem", key: "a.key" }, protocol: "auto" },
    "over HTTP/2 or HTTP/1.1 over TLS (CA ca.pem, name app.test, client certificate a.pem)",
  ],
  [{ tls: { verify: false }, protocol: "http2" }, "over HTTP/2 over TLS (any certificate)"],
])("how endpoints are connected to is said where it is not plain HTTP/1.1: %j", async (how, said) => {
  expect((await facts({ endpoints: "a:1", ...how }))[1] ?? null).toBe(said);
});

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Balancers,
  type Checks,
  type Config,
  defineConfig,
  type Middlewares,
  type Providers,
  upstream,
} from "lintel";
import type { z } from "zod";
import { oneLine } from "../config/diagnostic.ts";
import { loadConfig } from "../config/load.ts";
import type { configSchema } from "../config/schema.ts";
import { catalog } from "./catalog.ts";
import { prepare } from "./prepare.ts";

/** What the types allow, the schema reads. Upstream objects are taken out before it sees them. */
type Written = z.input<ReturnType<typeof configSchema>>;
type Same<Keys> = { [Key in Exclude<keyof Written, Keys | "$schema">]: Key extends keyof Config ? true : never };
const SAME_KEYS: Same<never> = {
  include: true,
  workers: true,
  user: true,
  listeners: true,
  trustedProxies: true,
  tls: true,
  limits: true,
  timeouts: true,
  upstreams: true,
  sites: true,
  tcp: true,
  udp: true,
  admin: true,
  telemetry: true,
  locality: true,
  state: true,
  reload: true,
  zone: true,
};
const readable = (
  config: Pick<
    Config,
    "workers" | "user" | "listeners" | "tls" | "trustedProxies" | "limits" | "timeouts" | "admin" | "telemetry"
  >,
): Omit<Written, "sites"> => config;

const TYPED: Record<keyof Middlewares, true> = {
  "body-limit": true,
  "error-pages": true,
  "grpc-web": true,
  files: true,
  headers: true,
  redirect: true,
  "request-id": true,
  respond: true,
  rewrite: true,
  timeouts: true,
};
const BALANCERS: Record<keyof Balancers, true> = {
  "round-robin": true,
  "least-requests": true,
  "least-time": true,
  random: true,
  "random-two": true,
  "ip-hash": true,
  hash: true,
  first: true,
};
const PROVIDERS: Record<keyof Providers, true> = { dns: true, "dns-srv": true, file: true };
const CHECKS: Record<keyof Checks, true> = { grpc: true, http: true, tcp: true, tls: true };

test.each([
  ["middleware", TYPED, catalog.middlewares],
  ["balancer", BALANCERS, catalog.balancers],
  ["provider", PROVIDERS, catalog.providers],
  ["check", CHECKS, catalog.checks],
])("every %s can be written in TypeScript", (_noun, typed, definitions) => {
  expect(Object.keys(typed).sort()).toEqual([...definitions.keys()].sort());
});

test("the types have the keys of the schema", () => {
  expect(Object.keys(SAME_KEYS)).toHaveLength(18);
  expect(readable({ workers: 1 })).toEqual({ workers: 1 });
});

test("a config is what was written; an upstream's name is no option", () => {
  const app = upstream("app", { endpoints: ["localhost:3000"], timeouts: { connect: "1m30s" } });
  expect({ ...app }).toEqual({ endpoints: ["localhost:3000"], timeouts: { connect: "1m30s" } } as never);
  const config = defineConfig({ sites: [{ to: app, use: ["request-id", { "body-limit": { max: "1MiB" } }] }] });
  expect(config.sites![0]?.to).toBe(app);
});

test("everything about an upstream compiles, and the schema reads it", async () => {
  const all = upstream("all", {
    endpoints: ["a:1", { address: "b:1", weight: 0, backup: true, priority: 1, locality: "eu-1", maxInFlight: "off" }],
    discover: [{ dns: { name: "app.internal", port: 80 } }, { file: { path: "more.yaml" } }],
    maxInFlight: 100,
    balance: { hash: { key: "{client.address}" } },
    sticky: { cookie: { ttl: "1h", sameSite: "strict" }, secret: "a secret of the right length" },
    slowStart: "30s",
    queue: { size: 10, timeout: "1s" },
    health: {
      check: { http: { path: "/healthz" }, every: "1s", initial: "down" },
      passive: { failures: "off", rate: "25%", statuses: [500, "5xx"], latency: 3, maxEjected: 0.5 },
      whenAllDown: "fail",
    },
    circuit: { failures: 0.5 },
    retry: { attempts: 1, on: ["connect", 503], budget: "10%", content: "64KiB" },
    hedge: { after: "200ms" },
  });
  const short = upstream("short", {
    discover: { dns: { name: "app.internal", port: 80 } },
    balance: "least-requests",
    sticky: "cookie",
    queue: "off",
    health: { check: "tcp", passive: "off" },
    retry: 0,
  });
  const config = defineConfig({
    sites: [{ to: "all", routes: [{ match: "/short", to: "short" }] }],
    upstreams: { all, short },
    admin: { address: "unix:/run/lintel.sock", token: "abc" },
    locality: "eu-1",
    state: "/var/lib/lintel",
    reload: { watch: true },
    zone: { growth: 2 },
  });
  const { diagnostics } = await loadConfig({ tree: config, origin: "test" }, catalog, {});
  expect(diagnostics.map(({ message }) => message)).toEqual([]);
});

test("a route that can never match names the file of the one before it", async () => {
  const place = mkdtempSync(join(tmpdir(), "lintel-typed-"));
  await Bun.write(join(place, "first.ts"), 'export const first = {\n  match: "/*",\n  to: "a:1",\n};\n');
  const file = join(place, "lintel.config.ts");
  const text =
    'import { first } from "./first.ts";\nexport default { sites: [{ order: "file", routes: [\n  first,\n  { match: "/x", to: "a:1" },\n] }] };\n';
  await Bun.write(file, text);
  const { diagnostics } = await prepare({ file });
  rmSync(place, { recursive: true });
  expect(diagnostics.map((one) => oneLine(one).replaceAll(`${place}/`, ""))).toEqual([
    'lintel.config.ts:4:3: error[unreachable-route]: route "site-1/2" can never match: route "site-1/1" at first.ts:1 takes every request first',
  ]);
});

test("what the schema would refuse does not compile", () => {
  // @ts-expect-error: no such key
  defineConfig({ sites: [], worker: 1 });
  // @ts-expect-error: a duration has a unit
  defineConfig({ sites: [], timeouts: { head: "30" } });
  // @ts-expect-error: an endpoint has a port
  upstream("app", { endpoints: "localhost" });
  // @ts-expect-error: no such balancer
  upstream("app", { endpoints: "a:1", balance: "least-request" });
  // @ts-expect-error: the balancer needs a key
  upstream("app", { endpoints: "a:1", balance: "hash" });
  // @ts-expect-error: a share has a sign
  upstream("app", { endpoints: "a:1", circuit: { failures: "50" } });
  // @ts-expect-error: no such option of the check
  upstream("app", { endpoints: "a:1", health: { check: { http: { pth: "/" } } } });
  // @ts-expect-error: no such middleware
  defineConfig({ sites: [{ use: [{ bodylimit: {} }] }] });
  // @ts-expect-error: no such option
  defineConfig({ sites: [{ use: [{ "body-limit": { maximum: 1 } }] }] });
});

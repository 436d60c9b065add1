import { expect, test } from "bun:test";
import { type Config, defineConfig, type Middlewares, upstream } from "lintel";
import type { z } from "zod";
import type { configSchema } from "../config/schema.ts";
import { middlewares } from "../middleware/index.ts";

/** What the types allow, the schema reads. Upstream objects are taken out before it sees them. */
type Written = z.input<ReturnType<typeof configSchema>>;
type Same<Keys> = { [Key in Exclude<keyof Written, Keys | "$schema">]: Key extends keyof Config ? true : never };
const SAME_KEYS: Same<never> = {
  include: true,
  workers: true,
  user: true,
  listeners: true,
  trustedProxies: true,
  limits: true,
  timeouts: true,
  upstreams: true,
  sites: true,
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
    "workers" | "user" | "listeners" | "trustedProxies" | "limits" | "timeouts" | "admin" | "telemetry"
  >,
): Omit<Written, "sites"> => config;

const TYPED: Record<keyof Middlewares, true> = {
  "body-limit": true,
  "error-pages": true,
  files: true,
  headers: true,
  redirect: true,
  "request-id": true,
  respond: true,
  rewrite: true,
  timeouts: true,
};

test("every middleware can be written in TypeScript", () => {
  expect(Object.keys(TYPED).sort()).toEqual(middlewares.map(({ name }) => name).sort());
});

test("the types have the keys of the schema", () => {
  expect(Object.keys(SAME_KEYS)).toHaveLength(15);
  expect(readable({ workers: 1 })).toEqual({ workers: 1 });
});

test("a config is what was written; an upstream's name is no option", () => {
  const app = upstream("app", { endpoints: ["localhost:3000"], timeouts: { connect: "1m30s" } });
  expect({ ...app }).toEqual({ endpoints: ["localhost:3000"], timeouts: { connect: "1m30s" } } as never);
  const config = defineConfig({ sites: [{ to: app, use: ["request-id", { "body-limit": { max: "1MiB" } }] }] });
  expect(config.sites[0]?.to).toBe(app);
});

test("what the schema would refuse does not compile", () => {
  // @ts-expect-error: no such key
  defineConfig({ sites: [], worker: 1 });
  // @ts-expect-error: a duration has a unit
  defineConfig({ sites: [], timeouts: { head: "30" } });
  // @ts-expect-error: an endpoint has a port
  upstream("app", { endpoints: "localhost" });
  // @ts-expect-error: no such middleware
  defineConfig({ sites: [{ use: [{ bodylimit: {} }] }] });
  // @ts-expect-error: no such option
  defineConfig({ sites: [{ use: [{ "body-limit": { maximum: 1 } }] }] });
});

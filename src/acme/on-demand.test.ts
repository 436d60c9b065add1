import { afterEach, expect, test } from "bun:test";
import { createLog, SILENT } from "../base/log.ts";
import type { OnDemandConfig } from "../config/gateway-config.ts";
import { OnDemandRules } from "./on-demand.ts";

const config = (more: Partial<OnDemandConfig>): OnDemandConfig => ({
  allow: null,
  ask: null,
  rate: 10,
  per: 60_000,
  names: 100,
  ...more,
});

const servers: Bun.Server<undefined>[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

/** A program of the operator's that is asked. */
function asked(answer: (name: string) => number | Promise<number>): { url: string; names: string[] } {
  const names: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async ({ url }) => {
      const name = new URL(url).searchParams.get("domain")!;
      names.push(name);
      return new Response("", { status: await answer(name), headers: { location: "/yes" } });
    },
  });
  servers.push(server);
  return { url: `http://127.0.0.1:${server.port}/may?key=1`, names };
}

test("names of the list are allowed: exact, with a wildcard, at any depth, by regex", async () => {
  const rules = new OnDemandRules(
    config({ allow: ["a.example", "*.one.example", ".deep.example", "~^shop-\\d+\\.example$"] }),
    SILENT,
  );
  const allowed = ["a.example", "x.one.example", "x.y.deep.example", "shop-12.example"];
  for (const name of allowed) expect(await rules.allows(name)).toBe(true);
  for (const name of ["b.example", "x.y.one.example", "one.example", "shop-x.example"])
    expect(await rules.allows(name)).toBe(false);
});

test.each([
  "localhost",
  "a_b.example",
  "1.2.3.4",
  "-a.example",
  "a..example",
  `${"a".repeat(64)}.example`,
  "*.example",
  "",
])("%j cannot be certified, so nobody is asked", async (name) => {
  const { url, names } = asked(() => 200);
  expect(await new OnDemandRules(config({ ask: url }), SILENT).allows(name)).toBe(false);
  expect(names).toEqual([]);
});

test("`ask` decides: only 200 is a yes; what it says holds for a while", async () => {
  const { url, names } = asked((name) => (name === "yes.example" ? 200 : name === "away.example" ? 302 : 404));
  const rules = new OnDemandRules(config({ ask: url }), SILENT);
  expect(await rules.allows("yes.example")).toBe(true);
  expect(await rules.allows("no.example")).toBe(false);
  expect(await rules.allows("away.example")).toBe(false);
  expect(await rules.allows("yes.example")).toBe(true);
  expect(await rules.allows("no.example")).toBe(false);
  expect(names).toEqual(["yes.example", "no.example", "away.example"]);
});

test("with a list and `ask`, both must agree, and only names of the list are asked for", async () => {
  const { url, names } = asked(() => 200);
  const rules = new OnDemandRules(config({ allow: ["*.one.example"], ask: url }), SILENT);
  expect(await rules.allows("x.two.example")).toBe(false);
  expect(await rules.allows("x.one.example")).toBe(true);
  expect(names).toEqual(["x.one.example"]);
});

test("if `ask` does not answer there is no certificate, the log says so, and it is asked again", async () => {
  const lines: string[] = [];
  const log = createLog({ level: "info", format: "text", write: (line) => lines.push(line) });
  const rules = new OnDemandRules(config({ ask: "http://127.0.0.1:1/" }), log);
  expect(await rules.allows("a.example")).toBe(false);
  expect(await rules.allows("a.example")).toBe(false);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toContain('"ask" does not answer');
});

test("not more than so many at a time are asked for", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  const { url, names } = asked(() => promise);
  const rules = new OnDemandRules(config({ ask: url }), SILENT);
  const answers = Array.from({ length: 60 }, (_, i) => rules.allows(`n${i}.example`));
  // Those beyond are refused without waiting.
  expect(await Promise.all(answers.slice(50))).toEqual(Array.from({ length: 10 }, () => false));
  resolve(200);
  expect(await Promise.all(answers.slice(0, 50))).toEqual(Array.from({ length: 50 }, () => true));
  expect(names).toHaveLength(50);
});

test("orders are limited over a span of time, and by the names there are; the log says so once a minute", () => {
  const lines: string[] = [];
  const log = createLog({ level: "info", format: "text", write: (line) => lines.push(line) });
  const rules = new OnDemandRules(config({ allow: [".example"], rate: 2, per: 1000, names: 5 }), log);
  expect([0, 100, 200, 999].map((now) => rules.mayOrder("a.example", 0, now))).toEqual([true, true, false, false]);
  expect([1000, 1050, 1100].map((now) => rules.mayOrder("a.example", 0, now))).toEqual([true, false, true]);
  expect(rules.mayOrder("a.example", 5, 10_000)).toBe(false);
  expect(lines).toHaveLength(1);
  expect(rules.mayOrder("a.example", 5, 70_000)).toBe(false);
  expect(lines[1]).toContain("there are certificates for 5 names already");
});

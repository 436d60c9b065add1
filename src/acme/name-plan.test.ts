import { expect, test } from "bun:test";
import { loadConfig } from "../config/load.ts";
import { testCatalog } from "../config/testing.ts";
import { type NamePlan, planNames } from "./name-plan.ts";

const listeners = [
  { name: "web", address: ":80" },
  { name: "secure", address: ":443", tls: true },
];
const dns = { exec: { command: ["hook"] } };
const email = "a@b.c";

async function plan(
  tls: object,
  sites: readonly object[],
  covered: readonly string[] = [],
  more: object = {},
): Promise<NamePlan> {
  const tree = { listeners, tls, sites: sites.map((site) => ({ to: "localhost:1", ...site })), ...more };
  const { config, diagnostics } = await loadConfig({ tree, origin: "test" }, testCatalog, {});
  if (config === null) throw new Error(JSON.stringify(diagnostics));
  return planNames(config, (host) => covered.includes(host));
}

const NOTHING: NamePlan = { acme: [], local: [], localOnDemand: [], acmeOnDemand: [] };

test("without acme and local nothing comes by itself", async () => {
  const pair = { certificates: { cert: "a", key: "b" } };
  expect(await plan(pair, [{ hosts: ["example.com", "app.test"] }])).toEqual(NOTHING);
});

test("hosts that sites spell out get a certificate each, once", async () => {
  const sites = [{ hosts: ["example.com", "www.example.com"] }, { name: "b", hosts: "api.example.com" }];
  expect((await plan({ acme: { email } }, sites)).acme).toEqual(["example.com", "www.example.com", "api.example.com"]);
});

test("not those of a file, of a site that wants none, of a plain listener, or that nobody can certify", async () => {
  const sites = [
    { hosts: ["file.example.com", "own.example.com"] },
    { hosts: "none.example.com", tls: { issuer: "none" } },
    { hosts: "plain.example.com", listeners: ["web"] },
    { hosts: ["192.0.2.1", "[::1]", "*.wild.example.com", ".deep.example.com", "~^x"] },
  ];
  expect(await plan({ acme: { email } }, sites, ["file.example.com"])).toEqual({
    ...NOTHING,
    acme: ["own.example.com"],
  });
});

test("with dns-01 wildcards get one, and what they cover needs none of its own", async () => {
  const sites = [{ hosts: ["*.example.com", "a.example.com", "example.com", "b.a.example.com"] }];
  expect((await plan({ acme: { email, dns } }, sites)).acme).toEqual([
    "*.example.com",
    "example.com",
    "b.a.example.com",
  ]);
});

test("development names are the local CA's, whether or not there is another", async () => {
  const hosts = ["localhost", "app.test", "a.b.localhost", "example.com", "127.0.0.1", "[::1]"];
  const local = ["localhost", "app.test", "a.b.localhost", "127.0.0.1", "::1"];
  expect(await plan({ local: true, acme: { email } }, [{ hosts }])).toEqual({
    ...NOTHING,
    acme: ["example.com"],
    local,
  });
  expect(await plan({ local: true }, [{ hosts }])).toEqual({ ...NOTHING, local });
  const more = await plan({ local: { names: "*.internal" } }, [{ hosts: ["x.internal", "y.x.internal"] }]);
  expect(more.local).toEqual(["x.internal"]);
});

test("patterns of development names are certified when somebody asks", async () => {
  const found = await plan({ local: true }, [{ hosts: ["*.app.test", ".dev.localhost"] }, { name: "any" }]);
  expect(found.localOnDemand).toEqual(["*.app.test", ".dev.localhost", "localhost", ".localhost", ".test"]);
});

test("a site may have all of its names from the local CA", async () => {
  const sites = [{ hosts: ["intranet.example.com", "~^x"], tls: { issuer: "local" } }];
  const found = await plan({ local: true, acme: { email } }, sites);
  expect(found).toEqual({ ...NOTHING, local: ["intranet.example.com"], localOnDemand: ["*"] });
});

test("names of routes at layer 4 that end TLS are certified, too; what passes through is not", async () => {
  const routes = [{ match: { serverName: ["db.example.com", "*.db.example.com"] }, to: "localhost:1" }];
  const through = [{ match: { serverName: "through.example.com" }, to: "localhost:1" }];
  const tcp = [
    { name: "ends", listen: ":5432", tls: true, routes },
    { name: "passes", listen: ":5433", routes: through },
  ];
  const found = await plan({ acme: { email } }, [{ hosts: "example.com" }], [], { tcp });
  expect(found.acme).toEqual(["example.com", "db.example.com"]);
});

test("on demand are names that no site spells out, as far as the rules could allow them", async () => {
  const sites = [{ hosts: "example.com" }, { hosts: "*.shop.example.com" }, { name: "any" }];
  const listed = await plan({ acme: { email, onDemand: { allow: ["*.customers.test"] } } }, sites);
  expect(listed.acmeOnDemand).toEqual(["*.shop.example.com", "*.customers.test"]);
  const asked = await plan({ acme: { email, onDemand: { ask: "http://127.0.0.1/" } } }, sites);
  expect(asked.acmeOnDemand).toEqual(["*.shop.example.com", "*"]);
  expect(asked.acme).toEqual(["example.com"]);
});

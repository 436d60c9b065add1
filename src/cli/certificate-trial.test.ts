import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../config/load.ts";
import { Authority } from "../tls/testing.ts";
import { catalog } from "./catalog.ts";
import { tryCertificates } from "./certificate-trial.ts";

const authority = new Authority();
const folder = mkdtempSync(join(tmpdir(), "lintel-trial-"));
afterAll(() => rmSync(folder, { recursive: true }));
const put = (name: string, { cert, key }: { cert: string; key: string }) => {
  writeFileSync(join(folder, `${name}.pem`), cert);
  writeFileSync(join(folder, `${name}.key`), key);
};
put("a", authority.issue(["a.test"]));
put("late", authority.issue(["a.test"], { until: -0.5 }));
writeFileSync(join(folder, "ca.pem"), authority.cert);

async function tried(tls: object, more: object = {}, site: object = {}) {
  const tree = {
    listeners: [{ name: "secure", address: ":443", tls: true }],
    tls,
    sites: [{ hosts: ["a.test"], to: "localhost:1", ...site }],
    ...more,
  };
  const { config, diagnostics } = await loadConfig({ tree, origin: "test" }, catalog, {});
  if (config === null) throw new Error(JSON.stringify(diagnostics));
  return tryCertificates(config, folder).map(
    ({ path, problem: { code, message } }) => `${path}: ${code}: ${message.replace(/\d{4}-.*/, "…")}`,
  );
}

const pair = (name: string) => ({ cert: `${name}.pem`, key: `${name}.key` });

test.each<[string, object, object, object, string[]]>([
  ["that can be served", { certificates: pair("a") }, {}, {}, []],
  [
    "without its key",
    { certificates: [pair("a"), { cert: "a.pem", key: "no.key" }] },
    {},
    {},
    ["tls.certificates[1].key: unusable-file: no.key: there is no such file"],
  ],
  [
    "with another's key",
    { certificates: { cert: "a.pem", key: "late.key" } },
    {},
    {},
    ["tls.certificates[0].cert: unusable-file: a.pem: the key is not the certificate's"],
  ],
  [
    "that has expired",
    { certificates: pair("late") },
    {},
    {},
    ["tls.certificates[0].cert: invalid-certificate: the certificate late.pem + late.key expired on …"],
  ],
  [
    "that not every host has",
    { certificates: pair("a") },
    {},
    { hosts: ["a.test", "b.test"] },
    ["sites[0].hosts: uncovered-host: no certificate is for b.test: its clients are warned, or refused"],
  ],
  [
    "with ciphers that nobody knows",
    { certificates: pair("a") },
    { listeners: [{ address: ":443", tls: { profile: "custom", custom: { ciphers: "NO-SUCH" } } }] },
    {},
    ["tls: unusable-tls: no cipher of the list is known"],
  ],
  [
    "for an origin server, with another's key",
    { certificates: pair("a") },
    { upstreams: { app: { endpoints: "b.test:443", tls: { cert: "a.pem", key: "late.key" } } } },
    { to: "app" },
    ["upstreams.app.tls: unusable-tls: the key is not the certificate's"],
  ],
  [
    "with a CA that is not there",
    { certificates: pair("a") },
    {},
    { tls: { clientAuth: { ca: "no.pem" } } },
    ["sites[0].tls.clientAuth.ca: unusable-file: no.pem: there is no such file"],
  ],
])("a certificate %s", async (_, tls, more, site, expected) => {
  expect(await tried(tls, more, site)).toEqual(expected);
});

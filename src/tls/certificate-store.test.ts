import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLog, SILENT } from "../base/log.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { testCatalog } from "../config/testing.ts";
import { CertificateStore } from "./certificate-store.ts";
import { MaterialWatch } from "./material-watch.ts";
import { NameTable } from "./name-table.ts";
import { readCertificate } from "./server-certificate.ts";
import { Authority, type Pair } from "./testing.ts";
import { materialCertificate, NO_MATERIAL, readMaterial } from "./tls-material.ts";

const authority = new Authority();
const folder = mkdtempSync(join(tmpdir(), "lintel-certificates-"));
afterAll(() => rmSync(folder, { recursive: true }));

const pairs: Record<string, Pair> = {};
function put(name: string, pair: Pair): void {
  pairs[name] = pair;
  writeFileSync(join(folder, `${name}.pem`), pair.cert + authority.cert);
  writeFileSync(join(folder, `${name}.key`), pair.key);
}
beforeAll(() => {
  put("app", authority.issue(["app.test", "www.app.test"]));
  put("app-rsa", authority.issue(["app.test"], { kind: "rsa" }));
  put("wild", authority.issue(["*.wild.test"]));
  put("own", authority.issue(["app.test"], { until: 5 }));
  put("plain", authority.issue([], { subject: "no names" }));
  writeFileSync(join(folder, "ca.pem"), authority.cert);
  writeFileSync(join(folder, "crl.pem"), authority.revoke(1));
});

const at = (...names: string[]) => names.map((name) => ({ cert: `${name}.pem`, key: `${name}.key` }));

async function configOf(tree: object): Promise<GatewayConfig> {
  const whole = {
    listeners: [{ name: "web", address: ":8443", tls: true }],
    tls: { certificates: at("app", "wild") },
    sites: [{ hosts: "app.test", to: "localhost:1" }],
    ...tree,
  };
  const { config, diagnostics } = await loadConfig({ tree: whole, origin: "test" }, testCatalog, {});
  if (config === null) throw new Error(JSON.stringify(diagnostics));
  return config;
}

async function storeOf(tree: object = {}, before: CertificateStore | null = null) {
  const config = await configOf(tree);
  const { material, problems } = readMaterial(config, folder, null);
  return { store: new CertificateStore(config, material, before), problems, config };
}

const origins = (store: CertificateStore, name: string | null) =>
  store.choose("web", { serverName: name })?.origins.map((origin) => origin.split(".")[0]) ?? null;

describe("names", () => {
  test.each<[string | null, string[]]>([
    ["app.test", ["app"]],
    ["www.app.test", ["app"]],
    ["one.wild.test", ["wild"]],
    ["two.one.wild.test", ["app"]],
    ["wild.test", ["app"]],
    ["unknown.test", ["app"]],
    [null, ["app"]],
  ])("%s gets %j", async (name, expected) => {
    expect(origins((await storeOf()).store, name)).toEqual(expected);
  });

  test("unknown ones may be refused; clients that name none are not", async () => {
    const tree = {
      listeners: [{ name: "web", address: ":8443", tls: { unknownNames: "refuse", default: "a.wild.test" } }],
    };
    const { store } = await storeOf(tree);
    expect([origins(store, "unknown.test"), origins(store, null), origins(store, "app.test")]).toEqual([
      null,
      ["wild"],
      ["app"],
    ]);
  });

  test("may be given where the certificate has none, or others", async () => {
    const [pair] = at("plain");
    const { store, problems } = await storeOf({ tls: { certificates: [{ ...pair, names: "given.test" }] } });
    expect([origins(store, "given.test"), problems]).toEqual([["plain"], []]);
  });

  test("RSA and ECDSA of one name go together, a site's own before the config's", async () => {
    const { store } = await storeOf({
      tls: { certificates: at("app", "app-rsa") },
      sites: [{ hosts: "app.test", to: "localhost:1", tls: { certificates: at("own") } }],
    });
    expect(origins(store, "app.test")).toEqual(["own", "app-rsa"]);
    expect(origins(store, "www.app.test")).toEqual(["app"]);
    expect(store.lookUp("App.test").map(({ kind, site }) => [kind, site])).toEqual([
      ["ecdsa", "app.test"],
      ["rsa", null],
    ]);
  });

  test("hosts without a certificate are told", async () => {
    const { store } = await storeOf({
      sites: [
        {
          name: "s",
          hosts: ["app.test", "other.test", "*.wild.test", "*.app.test", "~x", ".deep.test"],
          to: "localhost:1",
        },
      ],
    });
    expect(store.uncovered()).toEqual([
      { site: "s", host: "other.test" },
      { site: "s", host: "*.app.test" },
    ]);
  });

  test("a table prefers the exact name, and a wildcard is one label (RFC 9525 §6.3)", () => {
    const table = new NameTable<number>();
    table.set("*.a.test", 1);
    table.set("b.a.test", 2);
    expect(["b.a.test", "c.a.test", "d.c.a.test", "a.test", ".a.test"].map((name) => table.match(name))).toEqual([
      2,
      1,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe("rules", () => {
  const sites = [
    { name: "open", hosts: "app.test", to: "localhost:1" },
    {
      name: "staff",
      hosts: "www.app.test",
      to: "localhost:1",
      tls: { minVersion: "1.3", clientAuth: { ca: "ca.pem", crl: "crl.pem" } },
    },
    { name: "deep", hosts: ".deep.test", to: "localhost:1", tls: { clientAuth: { mode: "optional", ca: "ca.pem" } } },
    { name: "regex", hosts: "~^r\\d", to: "localhost:1", tls: { minVersion: "1.3" } },
  ];

  test("are those of the site that the name belongs to", async () => {
    const { store } = await storeOf({ sites });
    const rules = (serverName: string) => {
      const { rules, clientCertificate } = store.choose("web", { serverName })!;
      return [rules === "" ? "" : JSON.parse(rules)[0], clientCertificate];
    };
    expect(rules("app.test")).toEqual(["", "none"]);
    expect(rules("www.app.test")).toEqual(["staff", "required"]);
    expect(rules("a.b.deep.test")).toEqual(["deep", "optional"]);
    expect(rules("r2.test")).toEqual(["regex", "none"]);
  });

  test("that differ have contexts of their own, and the same ones share one", async () => {
    const { store } = await storeOf({ sites });
    const context = (serverName: string) => store.choose("web", { serverName })!.context;
    expect(context("app.test")).not.toBe(context("www.app.test"));
    expect(context("app.test")).toBe(context("unknown.test"));
  });

  test("whose CA cannot be read let nobody in", async () => {
    const [, staff] = sites;
    const { store, problems } = await storeOf({
      sites: [{ ...staff, tls: { clientAuth: { ca: "missing.pem" } } }],
    });
    expect(problems).toEqual([{ file: "missing.pem", reason: "there is no such file", kept: false }]);
    expect(() => store.choose("web", { serverName: "www.app.test" })).toThrow("missing.pem could not be read");
    expect(store.tryAll()).toEqual(["missing.pem could not be read"]);
  });

  test("that the library does not know are told before anybody asks", async () => {
    const custom = { profile: "custom", custom: { ciphers: "NO-SUCH-CIPHER" } };
    const { store } = await storeOf({ listeners: [{ name: "web", address: ":8443", tls: custom }] });
    expect(store.tryAll()).toEqual(["no cipher of the list is known"]);
  });
});

test("a store that takes another's place keeps the contexts of what is the same", async () => {
  const { store } = await storeOf();
  const app = store.choose("web", { serverName: "app.test" })!.context;
  const wild = store.choose("web", { serverName: "a.wild.test" })!.context;
  put("wild", authority.issue(["*.wild.test"]));
  const { store: next } = await storeOf({}, store);
  expect(next.choose("web", { serverName: "app.test" })!.context).toBe(app);
  expect(next.choose("web", { serverName: "a.wild.test" })!.context).not.toBe(wild);
});

test("contexts that nobody asks for outlive the renewals of others, not those of their own", async () => {
  const { store, config } = await storeOf();
  const chosen = (one: CertificateStore, name: string) => one.choose("web", { serverName: name })!.context;
  const app = chosen(store, "app.test");
  let next = store;
  const renew = (): void => {
    const { material } = readMaterial(config, folder, null);
    next = new CertificateStore(config, material, next);
  };
  for (let i = 0; i < 5; i++) {
    put("wild", authority.issue(["*.wild.test"]));
    renew();
  }
  expect(chosen(next, "app.test")).toBe(app);
  put("app", authority.issue(["app.test", "www.app.test"]));
  renew();
  expect(chosen(next, "app.test")).not.toBe(app);
});

describe("a certificate is refused", () => {
  const good = authority.issue(["a.test"]);
  const other = authority.issue(["a.test"]);
  test.each<[string, Pair, string]>([
    ["with another's key", { cert: good.cert, key: other.key }, "the key is not the certificate's"],
    ["without one", { cert: "", key: good.key }, "there is no certificate in it"],
    ["with garbage for a key", { cert: good.cert, key: "x" }, "the key cannot be read"],
    [
      "with an encrypted key",
      { cert: good.cert, key: "-----BEGIN ENCRYPTED PRIVATE KEY-----" },
      "the key is encrypted",
    ],
    [
      "cut off",
      { cert: good.cert.replace(/\n[^-\n]*\n-/, "\n-"), key: good.key },
      "certificate 1 of it cannot be read",
    ],
    [
      "out of order",
      { cert: good.cert + other.cert, key: good.key },
      "certificate 2 of it has not signed the one before",
    ],
  ])("%s", (_what, pair, reason) => {
    expect(() => readCertificate(pair)).toThrow(reason);
  });

  test("else it is described", () => {
    expect(readCertificate({ ...good, cert: good.cert + authority.cert })).toMatchObject({
      kind: "ecdsa",
      names: ["a.test"],
      subject: "CN=a.test",
      issuer: "CN=Lintel tests",
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });
});

describe("files that change", () => {
  async function watch(name: string) {
    put(name, authority.issue([`${name}.test`]));
    const lines: string[] = [];
    const changes: number[] = [];
    const watch = new MaterialWatch({
      config: await configOf({ tls: { certificates: at(name) } }),
      directory: folder,
      everyMs: 3_600_000,
      log: createLog({ level: "info", format: "text", write: (line) => lines.push(line.replace(/^\S+ /, "")) }),
      onChange: () => changes.push(1),
    });
    const cert = () => watch.material.certificates[0]?.cert.slice(0, pairs[name]!.cert.length);
    return { watch, lines, changes, cert };
  }
  const look = (watch: MaterialWatch) => {
    watch.look();
    watch.look();
  };

  test("are read anew once both are there", async () => {
    const { watch: it, changes, cert } = await watch("renewed");
    const first = pairs["renewed"]!;
    look(it);
    expect(changes).toEqual([]);
    const next = authority.issue(["renewed.test"]);
    writeFileSync(join(folder, "renewed.pem"), next.cert);
    it.look();
    expect(cert()).toBe(first.cert);
    writeFileSync(join(folder, "renewed.key"), next.key);
    look(it);
    expect(changes).toEqual([1]);
    expect(it.material.certificates[0]).toMatchObject({ cert: next.cert, key: next.key });
    it.stop();
  });

  test("and are broken, or do not belong together, leave what was there, and it is said once", async () => {
    const { watch: it, lines, changes, cert } = await watch("broken");
    const first = pairs["broken"]!;
    writeFileSync(join(folder, "broken.pem"), "garbage");
    look(it);
    look(it);
    expect(lines).toEqual([
      'error a changed file cannot be used; what was read before stays file=broken.pem reason="there is no certificate in it"\n',
    ]);
    writeFileSync(join(folder, "broken.pem"), authority.issue(["broken.test"]).cert);
    look(it);
    unlinkSync(join(folder, "broken.key"));
    look(it);
    expect([cert(), changes]).toEqual([first.cert, []]);
    expect(lines.slice(1).map((line) => /reason=(.*)\n/.exec(line)?.[1])).toEqual([
      '"the key is not the certificate\'s"',
      '"there is no such file"',
    ]);
    put("broken", authority.issue(["broken.test"]));
    look(it);
    expect(changes).toEqual([1]);
    it.stop();
  });

  test("are seen through links that are replaced, as certbot and Kubernetes do", async () => {
    put("v1", authority.issue(["linked.test"]));
    put("v2", authority.issue(["linked.test"]));
    for (const end of ["pem", "key"]) symlinkSync(`v1.${end}`, join(folder, `linked.${end}`));
    const config = await configOf({ tls: { certificates: at("linked") } });
    const it = new MaterialWatch({ config, directory: folder, everyMs: 3_600_000, log: SILENT, onChange() {} });
    for (const end of ["pem", "key"]) {
      symlinkSync(`v2.${end}`, join(folder, `next.${end}`));
      renameSync(join(folder, `next.${end}`), join(folder, `linked.${end}`));
    }
    look(it);
    expect(it.material.certificates[0]!.key).toBe(pairs["v2"]!.key);
    it.stop();
  });
});

test("thousands of certificates are chosen from", () => {
  const certificate = materialCertificate({ source: "file", origin: "", ...authority.issue(["x.test"]) });
  const certificates = Array.from({ length: 2000 }, (_, i) => ({
    ...certificate,
    origin: `${i}`,
    names: [`${i}.a.test`, `${i}.b.test`, `*.${i}.c.test`],
  }));
  const config = {
    listeners: [
      { name: "web", tls: { profile: "modern", custom: null, default: null, unknownNames: "refuse", alpn: ["h2"] } },
    ],
    sites: [],
    tcp: [],
  } as unknown as GatewayConfig;
  const store = new CertificateStore(config, { ...NO_MATERIAL, certificates });
  expect(origins(store, "1999.b.test")).toEqual(["1999"]);
  expect(origins(store, "x.7.c.test")).toEqual(["7"]);
  expect(origins(store, "2000.a.test")).toBeNull();
});

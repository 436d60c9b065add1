import { describe, expect, test } from "bun:test";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import { NO_BODY } from "../http/body.ts";
import type { Handler } from "../http/define.ts";
import { type ClientCertificateFacts, Exchange, type TlsFacts } from "../http/exchange.ts";
import { FieldSection } from "../http/field-section.ts";
import { HttpRequest, HttpResponse, type Scheme } from "../http/message.ts";
import { rulesOf } from "../tls/listener-names.ts";
import { siteSurroundings } from "./around-site.ts";

async function read(tls: object, site: object = {}, more: object = {}): Promise<GatewayConfig> {
  const tree = {
    listeners: [
      { name: "plain", address: ":80" },
      { name: "secure", address: ":443", tls: true },
    ],
    tls: { certificates: { cert: "a.pem", key: "a.key" }, ...tls },
    sites: [
      { name: "a", hosts: "a.test", to: "localhost:1", ...site },
      { name: "other", hosts: "other.test", to: "localhost:1" },
    ],
    ...more,
  };
  const { config, diagnostics } = await loadConfig({ tree, origin: "test" }, catalog, {});
  if (config === null) throw new Error(JSON.stringify(diagnostics));
  return config;
}

const tlsOf = (facts: Partial<TlsFacts> = {}): TlsFacts => ({
  version: "TLSv1.3",
  cipher: "",
  serverName: "a.test",
  alpn: "",
  resumed: false,
  rules: "",
  clientCertificate: null,
  ...facts,
});

interface Asked {
  readonly method?: string;
  readonly target?: string;
  readonly scheme?: Scheme;
  readonly tls?: TlsFacts | null;
  readonly fields?: Record<string, string>;
  readonly site?: string;
  readonly trusted?: boolean;
}

async function ask(config: GatewayConfig, asked: Asked) {
  const { method = "GET", target = "/x?y", tls = null, fields = {}, trusted = false } = asked;
  const scheme = asked.scheme ?? (tls === null ? "http" : "https");
  const request = new HttpRequest(method, scheme, "a.test", target, FieldSection.of(fields), NO_BODY);
  const client = { listener: "", peer: "192.0.2.1", peerPort: 1, localAddress: "", localPort: 0, tls };
  const exchange = new Exchange(client, "HTTP/1.1", request, 0);
  const surroundings = siteSurroundings({
    config,
    covers: (host) => host === "a.test",
    trusts: () => trusted,
  });
  const site = config.sites.find(({ name }) => name === (asked.site ?? "a"))!;
  let served = false;
  const last: Handler = () => {
    served = true;
    return new HttpResponse(200);
  };
  const handler = surroundings(site).reduceRight((next, around) => around(next), last);
  const response = await handler(exchange);
  return { response, served, request };
}

describe("a plain request", () => {
  test.each<[string, object, object, Asked, number, string | undefined]>([
    ["goes to HTTPS", {}, {}, {}, 308, "https://a.test/x?y"],
    ["goes there whatever its method", {}, {}, { method: "POST" }, 308, "https://a.test/x?y"],
    ["goes to the port that is said", { redirect: { port: 8443 } }, {}, {}, 308, "https://a.test:8443/x?y"],
    ["goes there by the status that is said", { redirect: { status: 301 } }, {}, {}, 301, "https://a.test/x?y"],
    ["cannot bend the location", {}, {}, { target: "//evil.test/\\" }, 308, "https://a.test//evil.test/%5C"],
    ["is served if it came to a trusted proxy by HTTPS", {}, {}, { scheme: "https" }, 200, undefined],
    ["is served if it is for no path", {}, {}, { method: "OPTIONS", target: "*" }, 200, undefined],
    ["is served if the config wants it", { redirect: false }, {}, {}, 200, undefined],
    ["is served if the site wants it", {}, { tls: { redirect: false } }, {}, 200, undefined],
    [
      "goes to HTTPS if only the site wants it",
      { redirect: false },
      { tls: { redirect: true } },
      {},
      308,
      "https://a.test/x?y",
    ],
    ["is served if the site has no TLS", {}, { listeners: ["plain"] }, {}, 200, undefined],
  ])("%s", async (_, tls, site, asked, status, location) => {
    const { response } = await ask(await read(tls, site), asked);
    expect([response.status, response.fields.get("location")]).toEqual([status, location]);
  });

  test("is served where clients cannot know the port", async () => {
    const listeners = ["127.0.0.1:80", { address: "127.0.0.1:0", tls: true }];
    expect((await ask(await read({}, {}, { listeners }), {})).served).toBe(true);
  });
});

const certificate: ClientCertificateFacts = {
  subject: "CN=Jörg, O=Example",
  issuer: "CN=CA",
  serial: "07",
  fingerprint: "ab",
  distrust: "",
  pem: "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n",
};

describe("rules of a site's own", () => {
  const clientAuth = { ca: "ca.pem" };

  test.each<[string, object, object, ClientCertificateFacts | null, boolean]>([
    ["hold for what was made by them", { clientAuth }, { clientAuth }, certificate, true],
    ["whatever else is new", { minVersion: "1.3", hsts: true }, { minVersion: "1.3" }, null, true],
    ["not if there is another CA", { clientAuth: { ca: "new.pem" } }, { clientAuth }, certificate, false],
    ["nor if there is a list", { clientAuth: { ...clientAuth, crl: "crl.pem" } }, { clientAuth }, certificate, false],
    ["nor another version", { minVersion: "1.3" }, { minVersion: "1.2" }, null, false],
    ["nor if a certificate is asked for now", { clientAuth, minVersion: "1.3" }, { minVersion: "1.3" }, null, false],
    ["nor if one must be shown now", { clientAuth }, { clientAuth: { ...clientAuth, mode: "optional" } }, null, false],
    ["nor without one, whatever is said of it", { clientAuth }, { clientAuth }, null, false],
    ["nor with any", { clientAuth }, { clientAuth }, { ...certificate, distrust: "it has expired" }, false],
  ])("%s, over a connection of before a reload", async (_, now, before, clientCertificate, isServed) => {
    const rules = rulesOf((await read({}, { tls: before })).sites[0]!);
    const outcome = ask(await read({}, { tls: now }), { tls: tlsOf({ rules, clientCertificate }) }).then(
      ({ served }) => served,
      (thrown) => thrown.code,
    );
    expect(await outcome).toBe(isServed ? true : "misdirected-request");
  });

  test.each<[string, object, Asked, boolean]>([
    ["not over one for no site in particular", { clientAuth }, { tls: tlsOf() }, false],
    ["not over another site's", { minVersion: "1.3" }, { tls: tlsOf({ rules: '["other","1.3"]' }) }, false],
    ["nor in the clear", { clientAuth, redirect: false }, {}, false],
    ["though a version is of no matter there", { minVersion: "1.3", redirect: false }, {}, true],
    ["nor do optional certificates", { clientAuth: { ...clientAuth, mode: "optional" }, redirect: false }, {}, true],
    ["certificates alone are no rules", { certificates: { cert: "b.pem", key: "b.key" } }, { tls: tlsOf() }, true],
  ])("%s", async (_, tls, asked, isServed) => {
    const outcome = ask(await read({}, { tls }), asked).then(
      ({ served }) => served,
      (thrown) => thrown.code,
    );
    expect(await outcome).toBe(isServed ? true : "misdirected-request");
  });
});

test.each<[string, object, object, string | undefined]>([
  ["not unless it is asked for", {}, {}, undefined],
  ["for a year", { hsts: true }, {}, "max-age=31536000"],
  [
    "as it says",
    { hsts: { maxAge: "730d", subdomains: true, preload: true } },
    {},
    "max-age=63072000; includeSubDomains; preload",
  ],
  ["as the site says", { hsts: true }, { tls: { hsts: { maxAge: "0s" } } }, "max-age=0"],
  ["not if the site says so", { hsts: true }, { tls: { hsts: false } }, undefined],
])("HSTS is sent %s (RFC 6797)", async (_, tls, site, expected) => {
  const config = await read(tls, site);
  const over = async (asked: Asked) => (await ask(config, asked)).response.fields.get("strict-transport-security");
  expect(await over({ tls: tlsOf() })).toBe(expected);
  expect(await over({ target: "*", method: "OPTIONS" })).toBeUndefined();
});

test.each([
  [{ preload: true }, '"preload" needs "subdomains: true"'],
  [{ maxAge: "off" }, '"maxAge" must end some time'],
])("HSTS of %j is refused", async (hsts, message) => {
  await expect(read({ hsts })).rejects.toThrow(JSON.stringify(message).slice(1, -1));
});

describe("the client's certificate", () => {
  const lies = { "X-Client-Verified": "yes", x_client_subject: "CN=root", "client-cert-chain": ":AAAA:", "x-app": "1" };
  const told = async (forward: readonly string[] | undefined, asked: Asked) => {
    const auth = { ca: "ca.pem", mode: "optional", ...(forward === undefined ? {} : { forward }) };
    const config = await read({}, { tls: { clientAuth: auth, redirect: false } });
    const site = config.sites.find(({ name }) => name === (asked.site ?? "a"))!;
    const tls = asked.tls == null ? null : { ...asked.tls, rules: rulesOf(site) };
    const { request } = await ask(config, { fields: lies, ...asked, tls });
    const fields: Record<string, string> = {};
    request.fields.eachLine({ onLine: (_id, name, value) => void (fields[name] = value) }, null);
    return fields;
  };
  const shown = (facts: Partial<ClientCertificateFacts> = {}) =>
    tlsOf({ clientCertificate: { ...certificate, ...facts } });

  test("is told of: whether it is trusted, whose it is, which it is", async () => {
    expect(await told(undefined, { tls: shown() })).toEqual({
      "x-app": "1",
      "x-client-verified": "yes",
      "x-client-subject": "CN=J\\C3\\B6rg, O=Example",
      "x-client-fingerprint": "ab",
    });
  });

  test("is told as much of as is wanted, and as a whole (RFC 9440)", async () => {
    expect(await told(["issuer", "serial", "certificate"], { tls: shown() })).toEqual({
      "x-app": "1",
      "x-client-issuer": "CN=CA",
      "x-client-serial": "07",
      "client-cert": ":AAAABBBB:",
    });
  });

  test("that is not trusted could have any name in it", async () => {
    expect(await told(undefined, { tls: shown({ distrust: "it has expired" }) })).toEqual({
      "x-app": "1",
      "x-client-verified": "no",
    });
  });

  test("that is not there is not told of, and nobody else's word counts", async () => {
    expect(await told(undefined, { tls: tlsOf() })).toEqual({ "x-app": "1" });
    expect(await told(undefined, { site: "other", tls: tlsOf() })).toEqual({ "x-app": "1" });
  });

  test("may be told of by a trusted proxy, where we do not ask for it ourselves", async () => {
    const verified = { "x-app": "1", "x-client-verified": "yes", "client-cert-chain": ":AAAA:" };
    expect(await told(undefined, { site: "other", trusted: true, tls: tlsOf() })).toEqual(verified);
    expect(await told(undefined, { trusted: true, tls: tlsOf() })).toEqual({ "x-app": "1" });
  });
});

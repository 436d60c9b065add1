import { expect, test } from "bun:test";
import { oneLine } from "../diagnostic.ts";
import { loadConfig } from "../load.ts";
import { testCatalog } from "../testing.ts";

const site = { to: "localhost:1" };
const load = (tree: object) => loadConfig({ tree: { sites: [site], ...tree }, origin: "test" }, testCatalog, {});
const said = async (tree: object) => (await load(tree)).diagnostics.map(oneLine);
const pair = { cert: "a.pem", key: "a.key" };

test("TLS on a listener is one word, with everything by default", async () => {
  const { config, diagnostics } = await load({
    listeners: [{ name: "web", address: ":8443", tls: true }],
    tls: { certificates: pair },
  });
  expect(diagnostics).toEqual([]);
  expect(config?.listeners[0]?.tls).toEqual({
    profile: "intermediate",
    custom: null,
    default: null,
    unknownNames: "default",
    alpn: ["h2", "http/1.1"],
    handshakeTimeout: 10_000,
    maxHandshakes: 500,
  });
  expect(config?.tls.certificates).toEqual([{ ...pair, names: null }]);
  expect((await load({})).config?.listeners[0]).toMatchObject({ tls: null, proxyProtocol: [] });
});

test("TLS to endpoints is one word, and verifies", async () => {
  const { config } = await load({ upstreams: { a: { endpoints: "a:443", tls: true } }, sites: [{ to: "a" }] });
  expect(config?.upstreams[0]?.tls).toEqual({
    verify: true,
    ca: null,
    pins: [],
    identity: null,
    serverName: null,
    minVersion: "TLSv1.2",
    handshakeTimeout: 5000,
  });
});

test("a pin stands instead of a CA, unless there is one", async () => {
  const pins = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  const of = async (tls: object) =>
    (await load({ upstreams: { a: { endpoints: "a:443", tls } }, sites: [{ to: "a" }] })).config?.upstreams[0]?.tls;
  expect(await of({ pins })).toMatchObject({ verify: false, pins: [pins.slice(8)] });
  expect(await of({ pins, ca: "ca.pem" })).toMatchObject({ verify: true, pins: [pins.slice(8)] });
});

test.each<[object, RegExp]>([
  [{ listeners: [{ address: ":1", tls: true }] }, /error\[no-certificate\]: .* has TLS, and there is no certificate/],
  [
    { sites: [{ ...site, tls: { minVersion: 1.3 } }] },
    /warning\[unused-tls\]: site 1 has "tls", but none of its listeners does/,
  ],
  [{ listeners: [{ address: ":1", tls: { profile: "custom" } }], tls: { certificates: pair } }, /error\[bad-profile\]/],
  [{ listeners: [{ address: ":1", tls: { custom: {} } }], tls: { certificates: pair } }, /error\[bad-profile\]/],
  [{ tls: { certificates: { ...pair, names: "~x" } } }, /is not a name for a certificate/],
  [{ tls: { certificates: { cert: "a.pem" } } }, /key/],
  [
    { upstreams: { a: { endpoints: "a:1", tls: { cert: "x" } } }, sites: [{ to: "a" }] },
    /error\[incomplete-certificate\]: "cert" needs "key" too/,
  ],
  [{ upstreams: { a: { endpoints: "a:1", tls: { pins: "abc" } } }, sites: [{ to: "a" }] }, /error\[bad-pin\]/],
  [{ upstreams: { a: { endpoints: "a:1", protocol: "auto" } }, sites: [{ to: "a" }] }, /warning\[unused-auto\]/],
  [
    { upstreams: { a: { endpoints: "a:1", pool: { streams: 5 } } }, sites: [{ to: "a" }] },
    /warning\[unused-streams\]: "streams" is for connections of HTTP\/2/,
  ],
  [{ listeners: [{ address: ":1", proxyProtocol: ["all"] }] }, /error\[bad-cidr\]/],
])("%j: %s", async (tree, expected) => {
  expect(await said(tree)).toEqual(expect.arrayContaining([expect.stringMatching(expected)]));
});

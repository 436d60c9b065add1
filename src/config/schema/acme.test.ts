import { expect, test } from "bun:test";
import { oneLine } from "../diagnostic.ts";
import { loadConfig } from "../load.ts";
import { testCatalog } from "../testing.ts";

const site = { hosts: "example.com", to: "localhost:1" };
const listeners = [":80", { address: ":443", tls: true }];
const load = (tls: object, more: object = {}) =>
  loadConfig({ tree: { listeners, sites: [site], tls, ...more }, origin: "test" }, testCatalog, {});
const said = async (tls: object, more: object = {}) => (await load(tls, more)).diagnostics.map(oneLine);

test("an e-mail address is enough for automatic certificates", async () => {
  const { config, diagnostics } = await load({ acme: { email: "mailto:ops@example.com" } });
  expect(diagnostics).toEqual([]);
  expect(config?.tls.acme).toEqual({
    email: "ops@example.com",
    cas: [
      {
        name: "letsencrypt",
        directory: "https://acme-v02.api.letsencrypt.org/directory",
        roots: null,
        accountBinding: null,
        preferredChain: null,
      },
    ],
    challenges: ["tls-alpn-01", "http-01"],
    dns: null,
    keyKind: "ecdsa-p256",
    onDemand: null,
    orders: 4,
    timeout: 300_000,
  });
  expect((await load({ certificates: { cert: "a", key: "b" } })).config?.tls).toMatchObject({
    acme: null,
    local: null,
  });
});

test("several CAs are asked in order; one that knows its customers gets their key", async () => {
  const accountBinding = { id: "kid-1", key: "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W" };
  const own = { directory: "https://ca.internal:9000/acme/directory", roots: "roots.pem", accountBinding };
  const { config } = await load({ acme: { ca: ["letsencrypt-staging", own] } });
  expect(config?.tls.acme?.cas.map(({ name }) => name)).toEqual(["letsencrypt-staging", "ca.internal:9000"]);
  expect(config?.tls.acme?.cas[1]).toMatchObject({ ...own, preferredChain: null });
});

test("with a way to set records, dns-01 is used", async () => {
  const dns = { rfc2136: { server: "10.0.0.53", key: { name: "lintel", secret: "c2VjcmV0IGtleQ==" } } };
  const { config } = await load({ acme: { email: "a@b.c", dns } });
  expect(config?.tls.acme?.challenges).toEqual(["dns-01"]);
  expect(config?.tls.acme?.dns).toEqual({
    provider: {
      kind: "rfc2136",
      server: "10.0.0.53:53",
      zone: null,
      key: { name: "lintel", algorithm: "hmac-sha256", secret: "c2VjcmV0IGtleQ==" },
      ttl: 60_000,
      timeout: 10_000,
    },
    propagation: 120_000,
    resolvers: null,
  });
});

test.each([
  ["[2001:db8::1]", "[2001:db8::1]:53"],
  ["2001:db8::1", "[2001:db8::1]:53"],
  ["ns1.example.com:5353", "ns1.example.com:5353"],
])("%j is a DNS server", async (server, address) => {
  const { config } = await load({ acme: { email: "a@b.c", dns: { rfc2136: { server } } } });
  expect(config?.tls.acme?.dns?.provider).toMatchObject({ server: address });
});

test("a CA of this machine's own is one word", async () => {
  expect((await load({ local: true })).config?.tls.local).toEqual({ names: [], lifetime: 604_800_000 });
  expect((await load({ local: { names: "*.internal" } })).config?.tls.local?.names).toEqual(["*.internal"]);
  expect((await load({ local: false, acme: { email: "a@b.c" } })).config?.tls.local).toBeNull();
});

test("what cannot work is refused with a way out", async () => {
  const of = async (acme: object) => (await said({ acme }))[0];
  expect(await of({})).toContain('error[no-ca]: "acme" says neither "email" nor "ca"');
  expect(await of({ email: "ops" })).toContain('error[bad-email]: "ops" is not an e-mail address');
  expect(await of({ ca: "letsencript" })).toContain('error[bad-ca]: "letsencript" is no CA');
  expect(await of({ ca: "http://ca/dir" })).toContain("a CA is only spoken to over HTTPS");
  expect(await of({ email: "a@b.c", challenges: "dns-01" })).toContain("error[no-dns-provider]");
  expect(await of({ email: "a@b.c", dns: {} })).toContain('Give either "rfc2136" or "exec"');
  expect(await of({ email: "a@b.c", onDemand: {} })).toContain("error[open-on-demand]: who may get a certificate?");
  expect(await of({ email: "a@b.c", onDemand: { allow: "*" } })).toContain('"*" would allow everybody');
  const key = { name: "k", secret: "no base64 !" };
  const shown = await said({ acme: { email: "a@b.c", dns: { rfc2136: { server: "10.0.0.53", key } } } });
  expect(shown[0]).toContain("error[bad-key]: this is not base64");
});

test("names that no CA would certify are told, and ports that no CA could reach", async () => {
  const acme = { email: "a@b.c" };
  const hosts = (...names: string[]) => ({ sites: [{ ...site, hosts: names }] });
  const [privateName] = await said({ acme }, hosts("app.test"));
  expect(privateName).toContain('warning[private-name]: no public CA certifies "app.test"');
  expect(await said({ acme, local: true }, hosts("app.test"))).toEqual([]);
  expect((await said({ acme }, hosts("*.example.com")))[0]).toContain("warning[wildcard-without-dns]");
  const plain = { listeners: [":80"] };
  expect((await said({ acme }, plain))[0]).toContain('"tls.acme" gets no certificates: no listener has TLS');
  const secure = { listeners: [{ address: ":443", tls: true }] };
  expect((await said({ acme: { ...acme, challenges: "http-01" } }, secure))[0]).toContain(
    "error[unreachable-challenge]: http-01 needs a listener without TLS, and there is none",
  );
});

test("a site can say who certifies its names, but only somebody who is set", async () => {
  const wants = (issuer: string) => ({ sites: [{ ...site, tls: { issuer } }] });
  const { config } = await load({ acme: { email: "a@b.c" } }, wants("none"));
  expect(config?.sites[0]?.tls).toMatchObject({ issuer: "none" });
  expect((await said({ acme: { email: "a@b.c" } }, wants("local")))[0]).toContain('issuer "local" is not set');
  expect((await said({ local: true }, wants("acme")))[0]).toContain('issuer "acme" is not set');
});

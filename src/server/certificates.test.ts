import { beforeAll, expect, test } from "bun:test";
import { catalog } from "../cli/catalog.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { loadConfig } from "../config/load.ts";
import type { ClientHello } from "../net/tls-client-hello.ts";
import { Authority } from "../tls/testing.ts";
import { materialCertificate, NO_MATERIAL, type TlsMaterial } from "../tls/tls-material.ts";
import { Certificates } from "./certificates.ts";

const authority = new Authority();
const of = (name: string) => materialCertificate({ source: "test", origin: name, ...authority.issue([name]) });
const first = of("first.test");
const material: TlsMaterial = { ...NO_MATERIAL, certificates: [first], onDemand: [".demand.test", "one.test"] };
const hello = (serverName: string | null, alpn: readonly string[] = []): ClientHello => ({
  serverName,
  alpn,
  version: 0x0304,
});

let config: GatewayConfig;
beforeAll(async () => {
  const tree = {
    listeners: [{ name: "secure", address: ":443", tls: true }],
    tls: { certificates: { cert: "a.pem", key: "a.key" } },
    sites: [{ to: "localhost:1" }],
  };
  config = (await loadConfig({ tree, origin: "test" }, catalog, {})).config!;
});

function create() {
  const asked: string[] = [];
  const certificates = new Certificates((name) => asked.push(name));
  certificates.prepare(config, material).commit();
  const choose = (name: string | null) => certificates.choose("secure", hello(name));
  return { certificates, asked, choose };
}

test("a name with a certificate gets it at once, and nobody is asked for those that are not to be got", () => {
  const { choose, asked } = create();
  for (const name of ["first.test", "other.test", "demand.test", null])
    expect(choose(name)).toMatchObject({ origins: ["first.test"] });
  expect(asked).toEqual([]);
});

test("clients that ask for a name of those that can be got wait for one answer", async () => {
  const { certificates, choose, asked } = create();
  const waiting = [choose("a.demand.test"), choose("a.demand.test"), choose("one.test")];
  expect(waiting.every((one) => one instanceof Promise)).toBe(true);
  expect(asked).toEqual(["a.demand.test", "one.test"]);
  certificates.change({ ...material, certificates: [first, of("a.demand.test")] });
  certificates.answered("a.demand.test");
  certificates.answered("one.test");
  expect((await Promise.all(waiting)).map((one) => one?.origins[0])).toEqual([
    "a.demand.test",
    "a.demand.test",
    // There is none: the default.
    "first.test",
  ]);
});

test("a name that was refused is not asked for again for a while", async () => {
  const { certificates, choose, asked } = create();
  const waiting = choose("one.test");
  certificates.answered("one.test");
  await waiting;
  expect(choose("one.test")).not.toBeInstanceOf(Promise);
  // Something has changed: it may be had now.
  certificates.change({ ...material });
  expect(choose("one.test")).toBeInstanceOf(Promise);
  expect(asked).toEqual(["one.test", "one.test"]);
});

test("strangers who make up names make few be asked for at a time", () => {
  const { choose, asked } = create();
  const waiting = Array.from({ length: 500 }, (_, i) => choose(`${i}.demand.test`));
  expect([asked.length, waiting.filter((one) => one instanceof Promise).length]).toEqual([100, 100]);
});

test("the certificate of a challenge is for its name and protocol alone (RFC 8737)", () => {
  const { certificates } = create();
  const { cert, key } = authority.issue(["first.test"]);
  certificates.change({ ...material, challenges: [{ name: "first.test", cert, key }] });
  const choose = (name: string, ...alpn: string[]) => certificates.choose("secure", hello(name, alpn));
  expect(choose("first.test", "acme-tls/1")).toMatchObject({ origins: ["a challenge of tls-alpn-01"] });
  expect(choose("other.test", "acme-tls/1")).toBeNull();
  expect(choose("first.test", "acme-tls/1", "h2")).toMatchObject({ origins: ["first.test"] });
  certificates.change(material);
  expect(choose("first.test", "acme-tls/1")).toBeNull();
});

test("what is covered has a certificate, or can have one", () => {
  const { certificates } = create();
  const names = ["first.test", "x.demand.test", "other.test", ""];
  expect(names.map(certificates.covers)).toEqual([true, true, false, false]);
});

test("with no config nothing is covered, and nobody gets in", () => {
  const certificates = new Certificates(() => {});
  expect(certificates.covers("first.test")).toBe(false);
  expect(certificates.choose("secure", hello("first.test"))).toBeNull();
  certificates.change(material);
  expect(certificates.store).toBeNull();
});

/**
 * Every behaviour (behaviours.ts) in every lane: clients of HTTP/1.1 and HTTP/2, plain and over TLS, and of HTTP/3,
 * to origin servers of HTTP/1.1 and HTTP/2, plain and over TLS. Both ends are Node's, so that no
 * mistake of ours can cancel itself out; the client of HTTP/3 is the runtime's, as the server's QUIC is.
 */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { join } from "node:path";
import { Gateway } from "../support/gateway.ts";
import { CertificateFolder } from "../support/tls.ts";
import { behaviours } from "./behaviours.ts";
import { type Downstream, Lane, type Upstream } from "./lane.ts";
import { Told } from "./told.ts";

const TEST_MS = 90_000;

const files = new CertificateFolder();
const names = ["matrix.test", "*.matrix.test"];
const certificate = files.put("matrix", files.authority.issue(names, { subject: "matrix" }));
const ca = files.file("ca.pem");

const UPSTREAMS = [
  { name: "h1", version: "1.1", isSecure: false, tunnelVersion: "1.1", host: "h1.matrix.test" },
  { name: "h1 over TLS", version: "1.1", isSecure: true, tunnelVersion: "1.1", host: "h1s.matrix.test" },
  { name: "h2c", version: "2", isSecure: false, tunnelVersion: "2.0", host: "h2c.matrix.test" },
  { name: "h2 over TLS", version: "2", isSecure: true, tunnelVersion: "2.0", host: "h2s.matrix.test" },
  { name: "either over TLS", version: "2", isSecure: true, tunnelVersion: "1.1", host: "both.matrix.test" },
] as const satisfies readonly Upstream[];

const DOWNSTREAMS = [
  { name: "h1", version: "1.1", isSecure: false, protocol: "h1" },
  { name: "h1 over TLS", version: "1.1", isSecure: true, protocol: "h1" },
  { name: "h2c", version: "2", isSecure: false, protocol: "h2" },
  { name: "h2 over TLS", version: "2", isSecure: true, protocol: "h2" },
  { name: "h3", version: "3", isSecure: true, protocol: "h3" },
] as const;

let origin: Told;
let client: Told;
let http3Client: Told;
let gateway: Gateway;

beforeAll(async () => {
  origin = new Told(join(import.meta.dir, "origin.mjs"), [certificate.cert, certificate.key]);
  client = new Told(join(import.meta.dir, "client.mjs"));
  http3Client = new Told(join(import.meta.dir, "http3-client.mjs"), [], process.execPath);
  const ports = (await origin.hears(undefined, "ports"))["ports"] as Record<string, number>;
  const tls = { ca, serverName: "matrix.test" };
  const kinds = {
    h1: {},
    h1s: { tls },
    h2c: { protocol: "http2" },
    h2s: { protocol: "http2", tls },
    both: { protocol: "auto", tls },
  };
  const upstreams: Record<string, object> = {};
  for (const [kind, how] of Object.entries(kinds)) {
    const [here, there] = [`127.0.0.1:${ports[kind]}`, `localhost:${ports[kind]}`];
    upstreams[kind] = { endpoints: here, retry: 0, ...how };
    // Their failures are asked for: nobody is ejected.
    const again = { retry: { attempts: 1, on: ["reset"] }, health: { passive: "off" } };
    upstreams[`${kind}-again`] = { endpoints: [here, there], ...again, ...how };
    // The first of them is nobody's.
    upstreams[`${kind}-elsewhere`] = { endpoints: ["127.0.0.1:9", here], balance: "first", retry: 1, ...how };
  }
  gateway = await Gateway.start({
    workers: 1,
    timeouts: { drain: "1s" },
    listeners: [
      { name: "plain", address: "127.0.0.1:0" },
      { name: "secure", address: "127.0.0.1:0", tls: true, http3: true },
    ],
    tls: { certificates: [certificate], redirect: false },
    upstreams,
    sites: UPSTREAMS.map(({ host }) => site(host, host.replace(".matrix.test", ""))),
  });
}, 30_000);

/** Behaviours that need rules of their own have a path of their own. */
function site(host: string, upstream: string) {
  const impatient = (limit: string) => [{ timeouts: { [limit]: "200ms" } }];
  return {
    hosts: [host],
    routes: [
      { match: "/late/first-octet", use: impatient("firstOctet"), to: upstream },
      { match: "/gate/idle", use: impatient("upstreamIdle"), to: upstream },
      { match: "/gate/exchange", use: impatient("exchange"), to: upstream },
      { match: "/echo/content-idle", use: impatient("contentIdle"), to: upstream },
      { match: "/echo/small", use: [{ "body-limit": 1000 }], to: upstream },
      { match: "/flaky", to: `${upstream}-again` },
      { match: "/echo/elsewhere", to: `${upstream}-elsewhere` },
      { to: upstream },
    ],
  };
}

afterAll(async () => {
  await gateway?.stop();
  origin?.stop();
  client?.stop();
  http3Client?.stop();
  files.remove();
});

for (const { protocol, ...facts } of DOWNSTREAMS) {
  for (const upstream of UPSTREAMS) {
    const laneOf = (): Lane => {
      const url = gateway.url(facts.isSecure ? "listener=secure" : "listener=plain").replace("127.0.0.1", "127.0.0.1");
      const place = { protocol, url, ca: files.authority.cert };
      const downstream: Downstream = {
        ...facts,
        hasTunnels: true,
        client: protocol === "h3" ? http3Client : client,
        place,
      };
      return new Lane(downstream, upstream, origin);
    };
    const fixed = { downstream: { ...facts, hasTunnels: true }, upstream } as unknown as Lane;
    describe(`${facts.name} to ${upstream.name}`, () => {
      for (const { name, holdsIn, run } of behaviours) {
        if (holdsIn?.(fixed) !== false) test(name, () => run(laneOf()), TEST_MS);
      }
    });
  }
}

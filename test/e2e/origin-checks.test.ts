/** Active checks connect as exchanges do: over TLS, in HTTP/2, after a PROXY header. Origin servers are the matrix's. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { readProxyHeader } from "../../src/net/proxy-protocol.ts";
import { Told } from "../matrix/told.ts";
import { Gateway } from "../support/gateway.ts";
import { Origin } from "../support/origin.ts";
import { CertificateFolder } from "../support/tls.ts";

const files = new CertificateFolder();
const certificate = files.put("matrix", files.authority.issue(["matrix.test"], { subject: "matrix" }));
let origin: Told;
let ports: Record<string, number>;

beforeAll(async () => {
  origin = new Told(join(import.meta.dir, "../matrix/origin.mjs"), [certificate.cert, certificate.key]);
  ports = (await origin.hears(undefined, "ports"))["ports"] as Record<string, number>;
});
afterAll(() => {
  origin.stop();
  files.remove();
});

const check = (id: string, path: string) => ({
  check: { http: { path, fields: { "X-Id": id } }, every: "100ms", timeout: "10s", rise: 1, fall: 1, initial: "down" },
});
const secure = { ca: files.file("ca.pem"), serverName: "matrix.test" };

test.each([
  ["h1s", { tls: secure }, "1.1", true],
  ["h2c", { protocol: "http2" }, "2.0", false],
  ["h2s", { protocol: "http2", tls: secure }, "2.0", true],
  ["both", { protocol: "auto", tls: secure }, "2.0", true],
])(
  "%s is asked as its exchanges would be, and comes up",
  async (kind, how, version, isSecure) => {
    await using gateway = await Gateway.start({
      workers: 1,
      upstreams: { app: { endpoints: `127.0.0.1:${ports[kind]}`, ...how, health: check(kind, "/octets/10") } },
      sites: [{ to: "app" }],
    });
    await gateway.says("an endpoint is up");
    expect(await origin.hears(kind, "head")).toMatchObject({ version, secure: isSecure, method: "GET" });
  },
  60_000,
);

test("a certificate that is not trusted keeps an endpoint down, and the log says why", async () => {
  await using gateway = await Gateway.start({
    workers: 1,
    upstreams: { app: { endpoints: `127.0.0.1:${ports["h1s"]}`, tls: true, health: check("never", "/status/200") } },
    sites: [{ to: "app" }],
  });
  await gateway.says(/TLS failed: the CA of the certificate is not (?:known|trusted)/);
  expect(origin.said("never", "head")).toEqual([]);
}, 60_000);

test("with PROXY headers a check says that it is our own (LOCAL)", async () => {
  using raw = await Origin.start();
  let seen: ReturnType<typeof readProxyHeader> = null;
  raw.onConnection = (connection) => {
    void (async () => {
      await connection.inbox
        .until(() => (connection.received.includes("GET /") ? true : null), "a check", 15_000)
        .catch(() => {});
      seen ??= readProxyHeader(connection.received);
      await connection.send("HTTP/1.1 204 No Content\r\n\r\n");
    })();
    return false;
  };
  await using gateway = await Gateway.start({
    workers: 1,
    upstreams: { app: { endpoints: raw.address, proxyProtocol: "v2", health: check("proxy", "/") } },
    sites: [{ to: "app" }],
  });
  await gateway.says("an endpoint is up");
  expect(seen).toMatchObject({ header: { addresses: null } });
}, 60_000);

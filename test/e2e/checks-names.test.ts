/** Active checks call an origin server what the upstream's requests call it: Host and SNI, unless the check has its own. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import { Gateway, type TestConfig } from "../support/gateway.ts";
import { Origin } from "../support/origin.ts";
import { exchange, get, wire } from "../support/raw.ts";
import { CertificateFolder } from "../support/tls.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const SHOP = "shop.vendor.test";

/** No traffic until a check has passed, and nothing is kept from one that failed. */
const health = (check: object) => ({
  whenAllDown: "fail",
  passive: "off",
  check: { every: "50ms", initial: "down", rise: 1, ...check },
});

const serve = (app: object): Promise<Gateway> => Gateway.start({ upstreams: { app }, sites: [{ to: "app" }] });

const isUp = (gateway: Gateway): Promise<void> =>
  until(
    async () => (await exchange(gateway.port, get("/"))).status === 200,
    () => `a check passes:\n${gateway.output}`,
  );

/** A host of several vendors: who asks for none of them is at the wrong place (RFC 9110 §15.5.20). */
describe("over plain HTTP", () => {
  let origin: Origin;
  beforeAll(async () => {
    origin = await Origin.start();
  });
  beforeEach(() => {
    origin.clear();
    origin.script = (request) => request.reply({ status: request.field("host") === SHOP ? 200 : 421 });
  });
  afterAll(() => origin.stop());

  const names = () => new Set(origin.requests.map((request) => request.field("host")));

  test.each<[string, TestConfig]>([
    ["the branding", { branding: { as: `http://${SHOP}` } }],
    ["`host`", { host: SHOP }],
  ])("Host is that of %s", async (_, named) => {
    await using gateway = await serve({ endpoints: origin.address, ...named, health: health({ http: {} }) });
    await isUp(gateway);
    expect(names()).toEqual(new Set([SHOP]));
  });

  test("the check's own `host` goes before that", async () => {
    origin.script = (request) => request.reply();
    const check = health({ http: { path: "/healthz", host: "health.vendor.test" } });
    await using gateway = await serve({ endpoints: origin.address, branding: { as: `http://${SHOP}` }, health: check });
    await isUp(gateway);
    const asked = (path: string) => origin.requests.find(({ target }) => target === path)?.field("host");
    expect([asked("/healthz"), asked("/")]).toEqual(["health.vendor.test", SHOP]);
  });

  test("without either it is the endpoint's address", async () => {
    origin.script = (request) => request.reply();
    const check = health({ http: { path: "/healthz" } });
    await using gateway = await serve({ endpoints: origin.address, health: check });
    await isUp(gateway);
    expect(origin.requests.find(({ target }) => target === "/healthz")?.field("host")).toBe(origin.address);
  });

  test("a branding that a reload changes is asked for under its new name", async () => {
    const token = "checks";
    const config = (as: string): TestConfig => ({
      listeners: ["127.0.0.1:0"],
      admin: { address: "127.0.0.1:0", token },
      upstreams: { app: { endpoints: origin.address, branding: { as }, health: health({ http: {} }) } },
      sites: [{ to: "app" }],
    });
    await using gateway = await Gateway.start(config(`http://${SHOP}`));
    await isUp(gateway);
    await Bun.write(`${gateway.directory}/lintel.json`, JSON.stringify(config("http://blog.vendor.test")));
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${gateway.adminUrl}/v1/reload`, { method: "POST", headers })).status).toBe(200);
    await gateway.says("answered 421, wanted 2xx or 3xx");
    expect(origin.last.field("host")).toBe("blog.vendor.test");
  });
});

describe("over TLS", () => {
  const files = new CertificateFolder();
  const sockets = new Set<Socket>();
  const asked = new Set<string>();
  const server = tls.createServer(files.authority.issue(["hosting.test"]), (socket) => {
    socket.on("error", () => {});
    socket.on("data", (octets) => {
      const { servername } = socket as { servername?: string | false };
      const host = /^Host: (.*)\r$/im.exec(octets.toString("latin1"))?.[1];
      asked.add(`${servername} ${host}`);
      const isRight = servername === SHOP && host === SHOP;
      socket.write(wire(isRight ? "HTTP/1.1 200 OK" : "HTTP/1.1 421 No", "Content-Length: 0", "", ""));
    });
  });
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.on("tlsClientError", () => {});
  server.addContext(SHOP, files.authority.issue([SHOP]));
  let port = 0;
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ({ port } = server.address() as AddressInfo);
  });
  beforeEach(() => asked.clear());
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    files.remove();
  });

  const ca = files.file("ca.pem");
  test.each<[string, () => object]>([
    ["connects as exchanges do", () => ({ http: {} })],
    ["has a `tls` of its own", () => ({ http: { tls: { ca } } })],
    ["is asked at a port of its own", () => ({ http: { tls: { ca } }, port })],
    ["is a handshake alone", () => ({ tls: { ca } })],
  ])("a check that %s asks for the name of the branding, by SNI and Host (RFC 6066 §3)", async (_, check) => {
    await using gateway = await serve({
      endpoints: `127.0.0.1:${port}`,
      branding: { as: `https://${SHOP}` },
      tls: { ca },
      health: health(check()),
    });
    await isUp(gateway);
    expect(asked).toEqual(new Set([`${SHOP} ${SHOP}`]));
    expect(gateway.output).not.toContain("is down");
  });
});

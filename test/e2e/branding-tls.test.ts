/** Identity branding over TLS: the origin server is one of several behind an address, chosen by the name that is asked for. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import { Gateway } from "../support/gateway.ts";
import { closeClients, exchange, wire } from "../support/raw.ts";
import { CertificateFolder } from "../support/tls.ts";

const SHOP = "shop.vendor.test";
const BLOG = "blog.vendor.test";

const files = new CertificateFolder();
const sockets = new Set<Socket>();
/** What was asked for: server name of the connection, Host of the request. */
const asked: [serverName: string | false | undefined, host: string | undefined][] = [];

/** A host of several vendors: SNI decides which certificate is shown; who names none gets that of the host itself. */
const server = tls.createServer(files.authority.issue(["hosting.test"]), (socket) => {
  socket.on("error", () => {});
  socket.on("data", (octets) => {
    const serverName = (socket as { servername?: string | false }).servername;
    asked.push([serverName, /^Host: (.*)$/im.exec(octets.toString("latin1"))?.[1]?.trim()]);
    const cookie = `Set-Cookie: sid=1; Domain=${serverName}; Secure`;
    socket.write(
      wire("HTTP/1.1 302 Found", `Location: https://${serverName}/cart`, cookie, "Content-Length: 0", "", ""),
    );
  });
});
server.on("connection", (socket: Socket) => sockets.add(socket));
server.on("tlsClientError", () => {});
for (const name of [SHOP, BLOG]) server.addContext(name, files.authority.issue([name]));

let gateway: Gateway;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoints = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ca = files.file("ca.pem");
  const vendor = (as: string, secure: object) => ({
    endpoints,
    branding: { as },
    tls: { ca, ...secure },
    retry: 0,
    health: { passive: "off" },
  });
  const upstreams = {
    shop: vendor(`https://${SHOP}`, {}),
    blog: vendor(`https://${BLOG}`, {}),
    "told-otherwise": vendor("https://app.elsewhere.test", { serverName: BLOG }),
    unknown: vendor("https://nobody.vendor.test", {}),
  };
  gateway = await Gateway.start({
    workers: 1,
    upstreams,
    sites: Object.keys(upstreams).map((name) => ({ name, hosts: [`${name}.ours.test`], to: name })),
  });
}, 30_000);

afterEach(closeClients);
afterAll(async () => {
  await gateway?.stop();
  for (const socket of sockets) socket.destroy();
  server.close();
  files.remove();
});

const visit = (name: string) =>
  exchange(gateway.port, wire(`GET /${name} HTTP/1.1`, `Host: ${name}.ours.test`, "", ""));

test.each([
  ["shop", SHOP],
  ["blog", BLOG],
])(
  "%s: the name of the branding is that of SNI, of the certificate and of Host (RFC 6066 §3)",
  async (name, vendor) => {
    asked.length = 0;
    const response = await visit(name);
    expect(asked).toEqual([[vendor, vendor]]);
    expect({
      status: response.status,
      location: response.field("location"),
      cookie: response.field("set-cookie"),
    }).toEqual({ status: 302, location: `http://${name}.ours.test/cart`, cookie: "sid=1" });
  },
);

test("a server name that is given goes before that of the branding; Host does not change", async () => {
  asked.length = 0;
  expect((await visit("told-otherwise")).status).toBe(302);
  expect(asked).toEqual([[BLOG, "app.elsewhere.test"]]);
});

test("a certificate for another name than that of the branding is refused, and nothing is sent", async () => {
  asked.length = 0;
  expect((await visit("unknown")).status).toBe(502);
  expect(await gateway.logOf("/unknown")).toMatchObject({
    outcome: { code: "upstream-untrusted", message: expect.stringContaining("the certificate is for other names") },
  });
  expect(asked).toEqual([]);
});

/** TLS to origin servers, and PROXY headers for them, through the whole program. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { readProxyHeader } from "../../src/net/proxy-protocol.ts";
import { pinOf } from "../../src/net/tls-client.ts";
import { Authority, type Pair } from "../../src/tls/testing.ts";
import { Gateway } from "../support/gateway.ts";
import { closeClients, exchange, get, post, RawClient, wire } from "../support/raw.ts";
import { CertificateFolder } from "../support/tls.ts";
import { until } from "../support/until.ts";

const files = new CertificateFolder();
const { authority } = files;
const stranger = new Authority("Stranger");
const gatewayPair = files.put("gateway", authority.issue([], { subject: "gateway", use: "client" }));
const good = authority.issue(["app.test", "127.0.0.1"], { subject: "good" });

interface TlsOrigin {
  readonly port: number;
  /** Connections, with whether their session was resumed. */
  readonly handshakes: boolean[];
  /** What was asked, each with the name and the client certificate of its connection. */
  readonly asked: string[];
  stop(): void;
}

const origins: TlsOrigin[] = [];

/** Answers every request with 200, over TLS. */
function tlsOrigin(pair: Pair, options: tls.TlsOptions = {}): Promise<TlsOrigin> {
  const handshakes: boolean[] = [];
  const asked: string[] = [];
  const sockets = new Set<net.Socket>();
  const server = tls.createServer({ ...pair, ...options }, (socket) => {
    handshakes.push(socket.isSessionReused());
    socket.on("error", () => {});
    socket.on("data", (octets) => {
      const name = (socket as { servername?: string | false }).servername;
      asked.push(`${octets.toString("latin1").split(" ", 1)[0]} ${name} ${socket.authorized}`);
      const close = /\/close/.test(octets.toString("latin1")) ? "Connection: close\r\n" : "";
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 6\r\n${close}\r\nsecure`);
      if (close !== "") socket.end();
    });
  });
  server.on("connection", (socket) => sockets.add(socket));
  server.on("tlsClientError", () => {});
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const origin = {
        port: (server.address() as net.AddressInfo).port,
        handshakes,
        asked,
        stop() {
          for (const socket of sockets) socket.destroy();
          server.close();
        },
      };
      origins.push(origin);
      resolve(origin);
    });
  });
}

const servers: net.Server[] = [];

async function listening(serve: (socket: net.Socket) => void): Promise<{ readonly port: number }> {
  const server = net.createServer((socket) => serve(socket.on("error", () => {})));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as net.AddressInfo).port };
}

afterEach(closeClients);
afterAll(() => {
  for (const origin of origins) origin.stop();
  for (const server of servers) server.close();
  files.remove();
});

describe("TLS to origin servers", () => {
  const app = { ca: files.file("ca.pem"), serverName: "app.test" };
  let gateway: Gateway;
  const at: Record<string, TlsOrigin> = {};

  beforeAll(async () => {
    const pin = pinOf(new X509Certificate(good.cert));
    at["good"] = await tlsOrigin(good);
    at["expired"] = await tlsOrigin(authority.issue(["app.test"], { until: -0.5 }));
    at["other"] = await tlsOrigin(authority.issue(["other.test"]));
    at["stranger"] = await tlsOrigin(stranger.issue(["app.test"]));
    at["wants"] = await tlsOrigin(good, { requestCert: true, rejectUnauthorized: true, ca: authority.cert });
    at["old"] = await tlsOrigin(good, { maxVersion: "TLSv1.2" });
    const plain = await listening((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    });
    const mute = await listening(() => {});
    const to = (port: number, how: unknown, more: object = {}) => ({
      endpoints: `127.0.0.1:${port}`,
      tls: how,
      retry: 0,
      health: { passive: "off" },
      ...more,
    });
    const upstreams = {
      good: to(at["good"].port, app),
      "by-address": to(at["good"].port, { ca: app.ca }),
      usual: to(at["good"].port, true),
      "any-certificate": to(at["stranger"].port, { verify: false }),
      pinned: to(at["stranger"].port, { pins: `sha256//${pin}` }),
      "pinned-well": to(at["good"].port, { pins: pin }),
      expired: to(at["expired"].port, app),
      "other-name": to(at["other"].port, app),
      stranger: to(at["stranger"].port, app),
      "without-certificate": to(at["wants"].port, { ...app, ...gatewayPair }),
      "too-old": to(at["old"].port, { ...app, minVersion: 1.3 }),
      "plain-http": to(plain.port, app),
      mute: to(mute.port, { ...app, handshakeTimeout: "50ms" }),
      both: to(0, app, { endpoints: [`127.0.0.1:${at["expired"].port}`, `127.0.0.1:${at["good"].port}`], retry: 1 }),
    };
    gateway = await Gateway.start({
      workers: 1,
      upstreams,
      sites: [{ routes: Object.keys(upstreams).map((name) => ({ match: `/${name}/*`, to: name })) }],
    });
  }, 30_000);
  afterAll(() => gateway?.stop());

  test.each([
    ["good", "GET app.test false"],
    ["by-address", "GET false false"],
    ["any-certificate", "GET false false"],
    ["pinned-well", "GET false false"],
    ["without-certificate", "GET app.test true"],
  ])("%s: answered", async (name, asked) => {
    const response = await exchange(gateway.port, get(`/${name}/`));
    expect({ status: response.status, text: response.text }).toEqual({ status: 200, text: "secure" });
    const all = Object.values(at).flatMap((one) => one.asked);
    expect(all).toContain(asked);
  });

  test.each([
    ["usual", 502, "upstream-untrusted", "the CA of the certificate is not known"],
    ["expired", 502, "upstream-untrusted", "the certificate has expired"],
    ["other-name", 502, "upstream-untrusted", "the certificate is for other names"],
    ["stranger", 502, "upstream-untrusted", "the CA of the certificate is not known"],
    ["pinned", 502, "upstream-untrusted", "the server's public key is not one that is pinned"],
    ["too-old", 502, "upstream-tls-refused", "the peer does not speak the version (protocol_version)"],
    ["plain-http", 502, "upstream-tls-failed", "what was sent is not TLS"],
    ["mute", 504, "upstream-tls-timeout", "the handshake took too long"],
  ])("%s: %i, with its own code, and the reason in the log", async (name, status, code, reason) => {
    const response = await exchange(gateway.port, get(`/${name}/why`));
    expect(response.status).toBe(status);
    expect(response.field("proxy-status")).toBe(`lintel; error=${code}`);
    const line = await gateway.logOf(`/${name}/why`);
    expect(line).toMatchObject({ outcome: { code, message: expect.stringContaining(`TLS failed: ${reason}`) } });
  });

  test("nothing was sent when a handshake fails, so that any request may go to another endpoint", async () => {
    // Each endpoint has its turn.
    for (let i = 0; i < 4; i++) expect((await exchange(gateway.port, post("/both/", "content"))).status).toBe(200);
    expect(at["expired"]!.asked).toEqual([]);
  });

  test("connections are kept, and sessions resumed where one has to be opened (RFC 8446 §2.2)", async () => {
    const before = at["good"]!.handshakes.length;
    using client = await RawClient.connect(gateway.port);
    for (let i = 0; i < 3; i++) {
      client.send(get("/good/"));
      expect((await client.response()).status).toBe(200);
    }
    expect(at["good"]!.handshakes.length - before).toBeLessThanOrEqual(1);
    for (let i = 0; i < 3; i++) {
      client.send(get("/good/close"));
      expect((await client.response()).status).toBe(200);
    }
    client.send(get("/good/"));
    await client.response();
    expect(at["good"]!.handshakes.slice(before)).toContain(true);
  });
});

test("a CA that changes is used without a reload, and one that is broken is not", async () => {
  const folder = new CertificateFolder();
  const origin = await tlsOrigin(authority.issue(["app.test"]));
  await using gateway = await Gateway.start({
    workers: 1,
    upstreams: {
      app: {
        endpoints: `127.0.0.1:${origin.port}`,
        tls: { ca: folder.file("ca.pem"), serverName: "app.test" },
        health: { passive: "off" },
      },
    },
    sites: [{ to: "app" }],
  });
  const status = async () => (await exchange(gateway.port, get("/"))).status;
  expect(await status()).toBe(502);
  folder.write("ca.pem", authority.cert);
  await until(async () => (await status()) === 200, "the new CA is used");
  folder.write("ca.pem", "not a certificate");
  await gateway.says("a changed file cannot be used");
  expect(await status()).toBe(200);
  folder.remove();
}, 60_000);

test("a config whose CA is not there is refused", async () => {
  const gateway = Gateway.launch({
    upstreams: { app: { endpoints: "127.0.0.1:9", tls: { ca: "nowhere.pem" } } },
    sites: [{ to: "app" }],
  });
  await gateway.says("nowhere.pem");
  expect(await gateway.exited()).not.toBe(0);
}, 30_000);

/** Answers every request with 200, in HTTP/2 without TLS. */
async function http2Origin(): Promise<{ readonly port: number }> {
  const server = http2.createServer((_request, response) => response.end("multiplexed"));
  servers.push(server as unknown as net.Server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as net.AddressInfo).port };
}

describe("PROXY headers", () => {
  test.each([
    ["v1", "HTTP/1.1"],
    ["v2", "HTTP/1.1"],
    ["v2", "HTTP/1.1 over TLS"],
    ["v2", "HTTP/2"],
  ])(
    "%s tell origin servers who the client is, before everything else (%s)",
    async (version, spoken) => {
      const headers: (string | null)[] = [];
      const { port } = await listening((socket) => {
        socket.once("data", (octets: Buffer) => {
          const read = readProxyHeader(octets)!;
          headers.push(read.header.addresses === null ? null : read.header.addresses.source);
          const rest = octets.subarray(read.length);
          if (origin === null) {
            socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
            if (rest.length > 0) socket.emit("data", rest);
          } else {
            socket.pause();
            if (rest.length > 0) socket.unshift(rest);
            // A server in front of which the header is taken off.
            const inner = net.connect(origin!.port, "127.0.0.1");
            inner.on("error", () => {});
            socket.pipe(inner).pipe(socket);
          }
        });
      });
      const secure = spoken === "HTTP/1.1 over TLS";
      const origin = spoken === "HTTP/1.1" ? null : await (secure ? tlsOrigin(good) : http2Origin());
      await using gateway = await Gateway.start({
        workers: 1,
        trustedProxies: ["127.0.0.1/32"],
        upstreams: {
          app: {
            endpoints: `127.0.0.1:${port}`,
            proxyProtocol: version,
            ...(spoken === "HTTP/2" ? { protocol: "http2" } : {}),
            ...(!secure ? {} : { tls: { ca: files.file("ca.pem"), serverName: "app.test" } }),
          },
        },
        sites: [{ to: "app" }],
      });
      const from = (address: string) => wire("GET / HTTP/1.1", "Host: a", `X-Forwarded-For: ${address}`, "", "");
      using client = await RawClient.connect(gateway.port);
      for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "192.0.2.2"]) {
        client.send(from(address));
        expect((await client.response()).status).toBe(200);
      }
      // One connection for each client, and none shared.
      expect(headers).toEqual(["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    },
    30_000,
  );
});

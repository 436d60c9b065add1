/** TLS to origin servers: Node's and openssl's. */
import { afterEach, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { needs, program } from "../base/testing.ts";
import { Authority, type Pair } from "../tls/testing.ts";
import { encodeSockaddr } from "./address.ts";
import { openSockets, Recorder, until, wait } from "./testing.ts";
import { type OriginFacts, pinOf, type TlsClientSettings, TlsConnecting } from "./tls-client.ts";
import type { TlsConnection } from "./tls-connection.ts";
import { alpnWire, createTlsContext, type TlsContextOptions } from "./tls-runtime.ts";

const authority = new Authority();
const app = authority.issue(["app.test", "*.wild.test", "127.0.0.1"]);

const closers: (() => void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await wait(5);
});

/** @returns its port */
function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    closers.push(() => server.close());
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

function origin(pair: Pair, options: tls.TlsOptions = {}): Promise<number> {
  const server = tls.createServer({ ...pair, ...options }, (socket) => {
    socket.on("error", () => {});
    socket.end(`name ${(socket as { servername?: string | false }).servername} ${socket.authorized}`);
  });
  server.on("tlsClientError", () => {});
  return listen(server);
}

const settings = (
  more: Partial<TlsClientSettings> = {},
  context: Partial<TlsContextOptions> = {},
): TlsClientSettings => ({
  context: createTlsContext({
    certificates: [],
    keys: [],
    ca: authority.cert,
    crl: null,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.3",
    ciphers: null,
    groups: null,
    ...context,
  }),
  verify: true,
  pins: [],
  alpn: undefined,
  handshakeTimeoutMs: 2000,
  ...more,
});

interface Dialled {
  readonly connection: TlsConnection;
  readonly facts: OriginFacts;
  readonly heard: Recorder;
}

/** What came of it: a connection, or the reason why not. */
function dial(port: number, name: string, how: TlsClientSettings): Promise<Dialled | string> {
  const sockaddr = encodeSockaddr({ kind: "tcp", host: "127.0.0.1", port });
  return new Promise((resolve, reject) => {
    new TlsConnecting(sockaddr, 2000, name, how, null, {
      onConnected(connection, facts) {
        const heard = new Recorder();
        connection.handler = heard;
        closers.push(() => connection.destroy(true));
        resolve({ connection, facts, heard });
      },
      onConnectFailed: (error) => resolve(`no connection: ${error}`),
      onHandshakeFailed: (problem, reason) => resolve(`${problem}: ${reason}`),
      fault: reject,
    });
  });
}

const outcome = async (port: number, name: string, how = settings()) => {
  const result = await dial(port, name, how);
  return typeof result === "string" ? result : "connected";
};

describe("the certificate", () => {
  test("is verified, and the name is sent", async () => {
    const result = await dial(await origin(app), "app.test", settings());
    if (typeof result === "string") throw new Error(result);
    expect(result.facts).toMatchObject({ version: "TLSv1.3", alpn: "", resumed: false });
    await until(() => result.heard.events.includes("end"));
    expect(result.heard.text).toBe("name app.test false");
  });

  test.each([
    ["app.test", "connected"],
    ["APP.test", "connected"],
    ["one.wild.test", "connected"],
    ["wild.test", "untrusted: the certificate is for other names"],
    ["two.labels.wild.test", "untrusted: the certificate is for other names"],
    ["other.test", "untrusted: the certificate is for other names"],
    ["127.0.0.1", "connected"],
    ["127.0.0.2", "untrusted: the certificate is for other names"],
  ])("for %s: %s (RFC 9525 §6)", async (name, expected) => {
    expect(await outcome(await origin(app), name)).toBe(expected);
  });

  test("is not sent an address as server name (RFC 6066 §3)", async () => {
    const result = await dial(await origin(app), "127.0.0.1", settings());
    if (typeof result === "string") throw new Error(result);
    await until(() => result.heard.events.includes("end"));
    expect(result.heard.text).toBe("name false false");
  });

  test.each([
    [
      "expired",
      authority.issue(["app.test", "127.0.0.1", "localhost"], { until: -0.5 }),
      "untrusted: the certificate has expired",
    ],
    [
      "not valid yet",
      authority.issue(["app.test", "127.0.0.1", "localhost"], { from: 1 }),
      "untrusted: the certificate is not valid yet",
    ],
    [
      "of another CA",
      new Authority("Other").issue(["app.test", "127.0.0.1", "localhost"]),
      "untrusted: the CA of the certificate is not known",
    ],
    [
      "meant for clients",
      authority.issue(["app.test", "127.0.0.1", "localhost"], { use: "client" }),
      "untrusted: the certificate is not meant for this use",
    ],
  ])("that is %s is refused", async (_what, pair, reason) => {
    const port = await origin(pair);
    expect(await outcome(port, "app.test")).toBe(reason);
    expect(await outcome(port, "127.0.0.1")).toBe(reason);
    for (const name of ["app.test", "other.test", "127.0.0.1"]) {
      const result = await dial(port, name, settings({ verify: false }));
      if (typeof result === "string") throw new Error(result);
      await until(() => result.heard.events.includes("end"));
      expect(result.heard.text).toStartWith("name ");
    }
  });

  test("is checked against the CAs of the runtime if none are given", async () => {
    expect(await outcome(await origin(app), "app.test", settings({}, { ca: null }))).toMatch(/^untrusted: the CA/);
  });

  test("with another key than the pinned one is refused, whoever signed it", async () => {
    const port = await origin(app);
    const pin = pinOf(new X509Certificate(app.cert));
    const wrong = pinOf(new X509Certificate(authority.cert));
    expect(await outcome(port, "app.test", settings({ verify: false, pins: [wrong, pin] }))).toBe("connected");
    expect(await outcome(port, "app.test", settings({ verify: true, pins: [wrong] }))).toBe(
      "untrusted: the server's public key is not one that is pinned",
    );
    expect(await outcome(port, "other.test", settings({ verify: false, pins: [pin] }))).toBe("connected");
  });
});

describe("the handshake", () => {
  test("agrees on a protocol", async () => {
    const port = await origin(app, { ALPNProtocols: ["http/1.1", "h2"] });
    const result = await dial(port, "app.test", settings({ alpn: alpnWire(["h2", "http/1.1"]) }));
    if (typeof result === "string") throw new Error(result);
    expect(["h2", "http/1.1"]).toContain(result.facts.alpn);
  });

  test("agrees on none if the server knows nothing of it", async () => {
    const result = await dial(await origin(app), "app.test", settings({ alpn: alpnWire(["h2"]) }));
    if (typeof result === "string") throw new Error(result);
    expect(result.facts.alpn).toBe("");
  });

  test("shows a client certificate", async () => {
    const client = authority.issue([], { subject: "gateway", use: "client" });
    const port = await origin(app, { requestCert: true, rejectUnauthorized: true, ca: authority.cert });
    const how = settings({}, { certificates: [client.cert], keys: [client.key] });
    const result = await dial(port, "app.test", how);
    if (typeof result === "string") throw new Error(result);
    await until(() => result.heard.events.includes("end"));
    expect(result.heard.text).toBe("name app.test true");
  });

  test("without the client certificate that the server wants fails, in TLS 1.3 after it seemed to be done", async () => {
    const required = { requestCert: true, rejectUnauthorized: true, ca: authority.cert };
    const old = await dial(await origin(app, { ...required, maxVersion: "TLSv1.2" }), "app.test", settings());
    expect(old).toBeString();
    const result = await dial(await origin(app, required), "app.test", settings());
    if (typeof result === "string") return;
    await until(() => result.heard.events.length > 0);
    expect(result.heard.events[0]).toMatch(/^lost|^end/);
  });

  test("with a version the server does not have fails", async () => {
    const port = await origin(app, { maxVersion: "TLSv1.2" });
    expect(await outcome(port, "app.test", settings({}, { minVersion: "TLSv1.3" }))).toBe(
      "refused: the peer does not speak the version (protocol_version)",
    );
  });

  test("with a server that speaks plain HTTP, garbage, nothing, or leaves, fails with its reason", async () => {
    const peer = (serve: (socket: import("node:net").Socket) => void) =>
      listen(createServer((socket) => serve(socket.on("error", () => {}).resume())));
    const before = openSockets();
    const http = await peer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(await outcome(http, "app.test")).toBe("protocol: what was sent is not TLS");
    const garbage = await peer((socket) => socket.write(Buffer.alloc(100, 0xee)));
    expect(await outcome(garbage, "app.test")).toBe("protocol: what was sent is not TLS");
    const leaves = await peer((socket) => socket.end());
    expect(await outcome(leaves, "app.test")).toBe("protocol: the server closed the connection during the handshake");
    const resets = await peer((socket) => socket.once("data", () => socket.resetAndDestroy()));
    expect(await outcome(resets, "app.test")).toBe(
      "protocol: the connection was lost during the handshake (ECONNRESET)",
    );
    const silent = await peer(() => {});
    expect(await outcome(silent, "app.test", settings({ handshakeTimeoutMs: 50 }))).toBe(
      "timeout: the handshake took too long",
    );
    for (const close of closers.splice(0)) close();
    await until(() => openSockets() <= before);
  });

  test("comes after what has to go before it", async () => {
    let port = 0;
    const first = await new Promise<string>((resolve) => {
      const server = createServer((socket) => {
        socket
          .on("error", () => {})
          .once("data", (octets) => {
            resolve(octets.toString("latin1"));
            socket.destroy();
          });
      });
      void listen(server).then((found) => {
        port = found;
        const sockaddr = encodeSockaddr({ kind: "tcp", host: "127.0.0.1", port });
        const quiet = { onConnected() {}, onConnectFailed() {}, onHandshakeFailed() {}, fault() {} };
        new TlsConnecting(sockaddr, 2000, "app.test", settings(), null, quiet, Buffer.from("PROXY UNKNOWN\r\n"));
      });
    });
    // Both may come in one read.
    expect(first).toStartWith("PROXY UNKNOWN\r\n");
    expect(["", "\x16"]).toContain(first.slice(15, 16));
  });

  test("can be called off at any moment, and nobody hears of it", async () => {
    const port = await origin(app);
    const before = openSockets();
    const sockaddr = encodeSockaddr({ kind: "tcp", host: "127.0.0.1", port });
    const heard: string[] = [];
    for (let ms = 0; ms < 8; ms++) {
      const connecting = new TlsConnecting(sockaddr, 2000, "app.test", settings(), null, {
        onConnected: (connection) => connection.destroy(),
        onConnectFailed: (error) => heard.push(error),
        onHandshakeFailed: (_problem, reason) => heard.push(reason),
        fault: (thrown) => heard.push(String(thrown)),
      });
      if (ms > 0) await wait(ms);
      connecting.cancel();
    }
    await wait(20);
    expect(heard).toEqual([]);
    await until(() => openSockets() <= before);
  });
});

needs(program("openssl")).test("openssl as origin server: content, then its end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lintel-tls-"));
  writeFileSync(join(folder, "cert.pem"), app.cert);
  writeFileSync(join(folder, "key.pem"), app.key);
  const free = createServer();
  const port = await listen(free);
  free.close();
  const server = spawn(
    "openssl",
    ["s_server", "-accept", `127.0.0.1:${port}`, "-cert", "cert.pem", "-key", "key.pem", "-www", "-alpn", "http/1.1"],
    {
      cwd: folder,
      stdio: "ignore",
    },
  );
  closers.push(() => {
    server.kill();
    rmSync(folder, { recursive: true });
  });
  let result: Dialled | string = "";
  for (let tries = 0; tries < 100 && typeof result === "string"; tries++, await wait(20))
    result = await dial(port, "app.test", settings({ alpn: alpnWire(["h2", "http/1.1"]) }));
  if (typeof result === "string") throw new Error(result);
  const { connection, heard, facts } = result;
  expect(facts.alpn).toBe("http/1.1");
  connection.writeText("GET / HTTP/1.0\r\n\r\n");
  await until(() => heard.events.includes("end"));
  expect(heard.text).toStartWith("HTTP/1.0 200 ok");
});

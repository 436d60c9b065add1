/** The examples of docs/origin-connections.md are served: what comes to the origin servers is what the page says. */
import { afterAll, expect, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import type { AddressInfo, Socket } from "node:net";
import tls from "node:tls";
import type { Pair } from "../src/tls/testing.ts";
import { startGrpcOrigin } from "./support/grpc-origin.ts";
import { PageReader } from "./support/page-reader.ts";
import { wire } from "./support/raw.ts";
import { CertificateFolder } from "./support/tls.ts";
import { WireServer } from "./support/wire.ts";

const files = new CertificateFolder();
const stops: (() => void)[] = [];
afterAll(() => {
  for (const stop of stops) stop();
  files.remove();
});

/** Origin server over TLS: it notes what each connection was like, and answers HTTP/1.1 alone. */
class Secured {
  readonly seen: { readonly name: unknown; readonly alpn: unknown; readonly client: string; readonly start: string }[] =
    [];
  address = "";

  static async start(pair: Pair, options: tls.TlsOptions = {}): Promise<Secured> {
    const made = new Secured();
    const sockets = new Set<Socket>();
    const server = tls.createServer({ ...pair, ...options }, (socket) => {
      socket.on("error", () => {});
      socket.once("data", (octets: Buffer) => {
        const start = octets.toString("latin1").slice(0, 14);
        const client = socket.getPeerCertificate()?.subject?.CN;
        const { servername, alpnProtocol } = socket as { servername?: unknown } & tls.TLSSocket;
        made.seen.push({ name: servername, alpn: alpnProtocol, client: String(client ?? ""), start });
        if (start.startsWith("PRI")) return socket.destroy();
        socket.write(wire("HTTP/1.1 200 OK", "Content-Length: 7", "", "secured"));
      });
    });
    server.on("connection", (socket: Socket) => sockets.add(socket));
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    made.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    stops.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return made;
  }
}

const pinOf = ({ cert }: Pair): string => {
  const key = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
  return `sha256//${createHash("sha256").update(key).digest("base64")}`;
};

test("docs/origin-connections.md", async () => {
  const { authority } = files;
  await using reader = await PageReader.open("origin-connections.md");

  // TLS and ALPN, HTTP/2 by prior knowledge, a PROXY header, and none of it.
  const vendor = await Secured.start(authority.issue(["api.vendor.example"]), { ALPNProtocols: ["h2", "http/1.1"] });
  const old = await Secured.start(authority.issue(["api.vendor.example"]), { ALPNProtocols: ["http/1.1"] });
  const legacy = await WireServer.start((peer) =>
    peer.socket.on("data", () => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlegacy")),
  );
  stops.push(() => legacy.stop());
  using grpc = await startGrpcOrigin();
  const trusting = `tls: { ca: "${files.file("ca.pem")}", serverName: api.vendor.example }`;
  const first = (text: string, place: string) =>
    text
      .replace("api.vendor.example:443", place)
      .replace("tls: true", trusting)
      .replace('"10.0.0.5:50051", "10.0.0.6:50051"', `"${grpc.address}"`)
      .replace("10.0.0.9:8080", legacy.address);
  await reader.nextWithFleet((text) => first(text, vendor.address));
  expect((await reader.ask("GET /x")).text).toBe("one /x");
  await reader.ask("GET /vendor/x");
  expect(vendor.seen[0]).toMatchObject({ name: "api.vendor.example", alpn: "h2", start: "PRI * HTTP/2.0" });
  // What answers there is a server of gRPC, and this no call.
  expect((await reader.ask("GET /shop.Cart/x")).status).toBe(415);
  expect((await reader.ask("GET /legacy/x")).text).toBe("legacy");
  const { octets } = legacy.wires[0]!;
  expect(octets.subarray(0, 12).toString("latin1")).toBe("\r\n\r\n\0\r\nQUIT\n");
  expect([...octets.subarray(16, 20)]).toEqual([127, 0, 0, 1]);
  expect(octets.toString("latin1")).toContain("GET /legacy/x HTTP/1.1\r\n");
  await reader.again((text) => first(text, old.address));
  expect((await reader.ask("GET /vendor/x")).text).toBe("secured");
  expect(old.seen[0]).toMatchObject({ alpn: "http/1.1" });

  // A CA, a name and a certificate of our own; a pinned key.
  const internal = await Secured.start(authority.issue(["app.internal"]), { requestCert: true, ca: authority.cert });
  const pair = authority.issue(["anything.example"]);
  const pinned = await Secured.start(pair);
  const own = authority.issue([], { subject: "gateway", use: "client" });
  reader.put("internal-ca.pem", authority.cert);
  reader.put("gateway.pem", own.cert);
  reader.put("gateway.key", own.key);
  const second = (text: string) =>
    text.replace('"10.0.0.1:8443", "10.0.0.2:8443"', `"${internal.address}"`).replace("10.0.0.9:8443", pinned.address);
  await reader.nextWithFleet(second);
  expect((await reader.ask("GET /x")).text).toBe("secured");
  expect(internal.seen[0]).toMatchObject({ name: "app.internal", client: "gateway", start: "GET /x HTTP/1." });
  expect((await reader.ask("GET /pinned/x")).status).toBe(502);
  expect(pinned.seen).toEqual([]);
  await reader.again((text) => second(text).replace(/sha256\/[\w+/=]+/, pinOf(pair)));
  expect((await reader.ask("GET /pinned/x")).text).toBe("secured");

  // HTTP/2 or nothing.
  const modern = await Secured.start(authority.issue([], { subject: "app" }), { ALPNProtocols: ["h2"] });
  const third = (text: string, place: string) =>
    text.replace("10.0.0.5:8443", place).replace("internal-ca.pem }", "internal-ca.pem, serverName: app.internal }");
  const speaker = await Secured.start(authority.issue(["app.internal"]), { ALPNProtocols: ["h2"] });
  await reader.nextWithFleet((text) => third(text, speaker.address));
  await reader.ask("GET /x");
  expect(speaker.seen[0]).toMatchObject({ alpn: "h2", start: "PRI * HTTP/2.0" });
  await reader.again((text) => third(text, internal.address));
  const before = internal.seen.length;
  expect((await reader.ask("GET /x")).status).toBe(502);
  expect(internal.seen).toHaveLength(before);
  // And not to somebody of another name.
  await reader.again((text) => third(text, modern.address));
  expect((await reader.ask("GET /x")).status).toBe(502);
  expect(modern.seen).toEqual([]);
  expect(reader.left).toBe(0);
}, 60_000);

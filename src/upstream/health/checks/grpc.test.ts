import { afterEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createSecureServer, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { grpc } from "./grpc.ts";
import { folder, freePort, runCheck, says, saysAndEnds, stalls, testEndpoint } from "./testing.ts";
import { AUTHORITY, GOOD } from "./testing-certificates.ts";

const servers: { close(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

interface Asked {
  readonly path: string;
  readonly authority: string;
  readonly contentType: string;
  readonly te: string;
  readonly content: string;
}

/** A server of HTTP/2 that answers each call so. @returns its address, and what was asked last */
async function server(
  answer: (stream: ServerHttp2Stream) => void,
  tls: { cert: string; key: string } | null = null,
): Promise<{ address: string; asked: () => Asked; quiet(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const made: Http2Server = tls === null ? createServer() : (createSecureServer(tls) as unknown as Http2Server);
  let asked: Asked | null = null;
  made.on(tls === null ? "connection" : "secureConnection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  made.on("stream", (stream, head) => {
    const pieces: Buffer[] = [];
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.on("error", () => {});
    stream.on("end", () => {
      asked = {
        path: String(head[":path"]),
        authority: String(head[":authority"]),
        contentType: String(head["content-type"]),
        te: String(head["te"]),
        content: Buffer.concat(pieces).toString("hex"),
      };
      answer(stream as ServerHttp2Stream);
    });
  });
  await new Promise<void>((resolve) => made.listen(0, "127.0.0.1", resolve));
  servers.push({
    close() {
      made.close();
      for (const socket of sockets) socket.destroy();
    },
  });
  return {
    address: `127.0.0.1:${(made.address() as AddressInfo).port}`,
    asked: () => asked!,
    async quiet() {
      for (let tries = 0; sockets.size > 0 && tries < 1000; tries++) await Bun.sleep(10);
      expect(sockets.size).toBe(0);
    },
  };
}

/** Says a message, given as hexadecimal, and a status after it. */
const says200 =
  (message: string, status = "0") =>
  (stream: ServerHttp2Stream): void => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
    stream.end(Buffer.from(message, "hex"));
  };
/** A status without a message. */
const trailersOnly =
  (status: string) =>
  (stream: ServerHttp2Stream): void =>
    stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": status }, { endStream: true });

const SERVING = "00000000020801";

describe("what is asked", () => {
  test("the health of the whole server, on a connection that is closed after it", async () => {
    const peer = await server(says200(SERVING));
    expect(await runCheck(grpc, {}, peer.address)).toBeNull();
    expect(peer.asked()).toEqual({
      path: "/grpc.health.v1.Health/Check",
      authority: peer.address,
      contentType: "application/grpc",
      te: "trailers",
      content: "0000000000",
    });
    await peer.quiet();
  });

  test("that of a service, under another authority", async () => {
    const peer = await server(says200(SERVING));
    const service = `a.${"b".repeat(200)}`;
    expect(await runCheck(grpc, { service, authority: "shop.example" }, peer.address)).toBeNull();
    const { authority, content } = peer.asked();
    expect(authority).toBe("shop.example");
    expect(content).toBe(`00000000cd0aca01${Buffer.from(service).toString("hex")}`);
  });

  test("over TLS, with the certificate looked at", async () => {
    const peer = await server(says200(SERVING), GOOD);
    const ca = join(folder(), "ca.pem");
    writeFileSync(ca, AUTHORITY);
    const tls = { ca, serverName: "app.test" };
    expect(await runCheck(grpc, { tls }, peer.address)).toBeNull();
    expect(await runCheck(grpc, { tls: true }, peer.address)).toStartWith("TLS failed: ");
    expect(await runCheck(grpc, { tls: { verify: false } }, peer.address)).toBeNull();
  });
});

test.each([
  ["NOT_SERVING", says200("00000000020802"), "the server is NOT_SERVING"],
  ["no value, which is 0", says200("0000000000"), "the server is UNKNOWN"],
  ["a value from the future", says200("00000000020809"), "the server is 9"],
  ["another status", says200("", "13"), "answered with gRPC status 13"],
  ["NOT_FOUND", trailersOnly("5"), "the server is not known to it"],
  ["UNIMPLEMENTED", trailersOnly("12"), "it has no health service (grpc.health.v1)"],
  ["another message", says200("0000000003abcdef"), "the answer is not one about health"],
  ["less than a message", says200("000000"), "the answer is not one about health"],
  ["too much", says200("00".repeat(5000)), "the answer is too long for one about health"],
  [
    "an error page",
    (stream: ServerHttp2Stream) => stream.respond({ ":status": 503 }, { endStream: true }),
    "answered 503, not by gRPC",
  ],
])("%s does not pass", async (_, answer, reason) => {
  const peer = await server(answer);
  expect(await runCheck(grpc, {}, peer.address)).toBe(reason);
  await peer.quiet();
});

test("a stream that is reset, or ends without a status, does not pass", async () => {
  const reset = await server((stream) => stream.close(2));
  expect(await runCheck(grpc, {}, reset.address)).not.toBeNull();
  const cut = await server((stream) => {
    stream.respond({ ":status": 200 });
    stream.end(Buffer.from(SERVING, "hex"));
  });
  expect(await runCheck(grpc, {}, cut.address)).toBe("the answer was cut off");
});

test("whoever does not speak HTTP/2, says nothing or is not there does not pass", async () => {
  const http1 = await testEndpoint(says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
  expect(await runCheck(grpc, {}, http1.address, 2000)).not.toBeNull();
  const ends = await testEndpoint(saysAndEnds(""));
  expect(await runCheck(grpc, {}, ends.address)).not.toBeNull();
  const silent = await testEndpoint(stalls);
  expect(await runCheck(grpc, {}, silent.address, 100)).toMatch(/^no answer within/);
  expect(await runCheck(grpc, {}, `127.0.0.1:${await freePort()}`)).toBe("connect failed: ECONNREFUSED");
  for (const endpoint of [http1, ends, silent]) await endpoint.quiet();
});

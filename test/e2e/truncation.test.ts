/** A truncated response never looks complete (RFC 9112 §8), whoever frames it. */
import { describe, expect, test } from "bun:test";
import { pair } from "../support/pair.ts";
import { exchange, get, RawClient, wire } from "../support/raw.ts";

const it = pair();

/** What the origin sends before it breaks off. */
const CUTS: readonly (readonly [name: string, octets: string])[] = [
  ["Content-Length, after the head", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"],
  ["Content-Length, within the content", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"],
  ["Content-Length, one octet short", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello wor"],
  ["chunked, after the head", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["chunked, within a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1"],
  ["chunked, within a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"],
  ["chunked, between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
  ["chunked, after the last chunk's size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"],
  ["chunked, within the trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n"],
  ["chunked, malformed later", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n"],
];

for (const how of ["end", "reset"] as const) {
  describe(`the origin breaks off by ${how}`, () => {
    test.each(CUTS)("%s: an HTTP/1.1 client sees an incomplete message", async (_name, octets) => {
      it.origin.script = async (request) => {
        await request.send(octets);
        await Bun.sleep(15);
        if (how === "end") request.connection.end();
        else request.connection.reset();
      };
      using client = await RawClient.connect(it.gateway.port);
      client.send(get("/"));
      // Either nothing was sent yet, and an honest 502 comes; or the message stays incomplete.
      const outcome = await client.response().then(
        ({ status }) => status,
        (why: Error) => why.message,
      );
      if (typeof outcome === "number") expect(outcome).toBe(502);
      else expect(outcome).toMatch(/^(end|reset) of the connection/);
    });

    test.each(CUTS)(
      "%s: an HTTP/1.0 client, whose content ends with the connection, sees a reset",
      async (name, octets) => {
        it.origin.script = async (request) => {
          await request.send(octets);
          await Bun.sleep(15);
          if (how === "end") request.connection.end();
          else request.connection.reset();
        };
        using client = await RawClient.connect(it.gateway.port);
        client.send(wire("GET / HTTP/1.0", "Host: a", "", ""));
        const outcome = await client.response().then(
          ({ status }) => status,
          (why: Error) => why.message,
        );
        if (typeof outcome === "number") expect(outcome).toBe(502);
        else expect(outcome).toMatch(name.startsWith("chunked") ? /^reset / : /^(end|reset) /);
      },
    );
  });
}

test("a reset within content that the close would end is not a close", async () => {
  it.origin.script = async (request) => {
    await request.send("HTTP/1.1 200 OK\r\n\r\nhalf of it");
    await Bun.sleep(15);
    request.connection.reset();
  };
  await expect(exchange(it.gateway.port, get("/"))).rejects.toThrow(/^(end|reset) of the connection/);
});

test("the log tells a truncated response from a whole one", async () => {
  await it.gateway.skipLog();
  it.origin.script = async (request) => {
    await request.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    request.connection.end();
  };
  await exchange(it.gateway.port, get("/")).catch(() => {});
  expect(JSON.stringify(await it.gateway.logLine())).toMatch(/upstream-truncated/);
});

test("a response whose head never came is a 502 with nothing of it", async () => {
  it.origin.script = async (request) => {
    await request.send("HTTP/1.1 200 OK\r\nX-Secret: 1\r\n");
    request.connection.reset();
  };
  const response = await exchange(it.gateway.port, get("/"));
  expect(response.status).toBe(502);
  expect(response.field("x-secret")).toBeUndefined();
});

/**
 * HTTP/1.1 clients before HTTP/2 origin servers: what is said about a connection stays behind, what
 * frames a message is made anew, and a hostile origin server's frames make one response or none.
 *
 * RFC 9113 §8.2, §8.3, §10.3; RFC 9110 §7.6.1; RFC 9112 §11.1 (response splitting), §8.
 */
import { expect, test } from "bun:test";
import { wire } from "../../../src/protocol/http1/testing.ts";
import { readMessages } from "../../../src/protocol/http1/testing-bodies.ts";
import { Forwarded, Http1Peer } from "./forwarding.ts";
import { HostileServer, OK, ok } from "./hostile-server.ts";
import { Code, data, type FieldLine, Flag, goaway, headers, rstStream, Type } from "./wire.ts";

function gateway(): { client: Http1Peer; server: HostileServer; forwarded: Forwarded[] } {
  const server = HostileServer.connected();
  const forwarded: Forwarded[] = [];
  const client = new Http1Peer((exchange) => {
    const one = new Forwarded(exchange);
    forwarded.push(one);
    const stream = server.client.ask(exchange.request, one);
    exchange.waitsFor = stream;
    return one;
  });
  return { client, server, forwarded };
}

const fieldsOf = (server: HostileServer, stream = 1): FieldLine[] =>
  server
    .receive()
    .head(stream)
    .filter(([name]) => !name.startsWith(":"));

test("RFC 9113 §8.3.1 the request line and Host become pseudo-fields", () => {
  const { client, server } = gateway();
  client.send(wire("GET /a?b HTTP/1.1", "Host: a.test:81", "X-Mixed: Yes", "", ""));
  expect(server.receive().head(1)).toEqual([
    [":method", "GET"],
    [":scheme", "http"],
    [":authority", "a.test:81"],
    [":path", "/a?b"],
    ["x-mixed", "Yes"],
  ]);
  expect(server.ended(1)).toBe(true);
});

test("RFC 9113 §8.3.1 an absolute-form target wins over Host", () => {
  const { client, server } = gateway();
  client.send(wire("GET http://b.test/x HTTP/1.1", "Host: a.test", "", ""));
  expect(server.receive().head(1)).toContainEqual([":authority", "b.test"]);
  expect(server.head(1)).toContainEqual([":path", "/x"]);
});

test("RFC 9113 §8.2.2 what is about the connection stays behind, and what Connection names", () => {
  const { client, server } = gateway();
  client.send(
    wire(
      "GET / HTTP/1.1",
      "Host: a.test",
      "Connection: keep-alive, x-hop, upgrade, http2-settings",
      "Keep-Alive: timeout=5",
      "Proxy-Connection: close",
      "X-Hop: 1",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABk",
      "TE: gzip, trailers",
      "",
      "",
    ),
  );
  expect(fieldsOf(server)).toEqual([["te", "trailers"]]);
});

test("RFC 9113 §8.1 chunked content becomes DATA, its trailers a field section", () => {
  const { client, server } = gateway();
  client.send(
    wire(
      "POST / HTTP/1.1",
      "Host: a.test",
      "Transfer-Encoding: chunked",
      "Trailer: X-Sum",
      "",
      "3",
      "abc",
      "0",
      "X-Sum: 3",
      "Content-Length: 9",
      "",
      "",
    ),
  );
  server.receive();
  expect([server.content(1), server.ended(1)]).toEqual(["abc", true]);
  expect(server.requestTrailers(1)).toEqual([["x-sum", "3"]]);
  expect(fieldsOf(server).map(([name]) => name)).not.toContain("transfer-encoding");
});

const NOTHING_ARRIVES: Readonly<Record<string, string>> = {
  "both Transfer-Encoding and Content-Length": wire(
    "POST / HTTP/1.1",
    "Host: a",
    "Transfer-Encoding: chunked",
    "Content-Length: 3",
    "",
    "0",
    "",
    "",
  ),
  "a name that looks like a pseudo-field": wire("GET / HTTP/1.1", "Host: a", ":path: /admin", "", ""),
  "SP before the colon": wire("POST / HTTP/1.1", "Host: a", "Content-Length : 3", "", "abc"),
  "a bare CR in a value": wire("GET / HTTP/1.1", "Host: a", "X-A: b\rc", "", ""),
  "NUL in a value": wire("GET / HTTP/1.1", "Host: a", "X-A: b\0c", "", ""),
  "an obsolete line fold": wire("GET / HTTP/1.1", "Host: a", "X-A: b", " c", "", ""),
  "two Hosts": wire("GET / HTTP/1.1", "Host: a", "Host: b", "", ""),
  "userinfo in Host": wire("GET / HTTP/1.1", "Host: user@a", "", ""),
  "no Host": wire("GET / HTTP/1.1", "", ""),
};

for (const [name, request] of Object.entries(NOTHING_ARRIVES)) {
  test(`RFC 9112 §11.2 ${name}: no stream is opened`, () => {
    const { client, server } = gateway();
    client.send(request);
    expect(server.receive().of(Type.headers)).toEqual([]);
    expect(client.statuses).toEqual([400]);
  });
}

test("RFC 9112 §8 content that the client cuts leaves a stream that is reset, not ended", () => {
  for (const framing of ["Content-Length: 10", "Transfer-Encoding: chunked"]) {
    const { client, server } = gateway();
    client.send(wire("POST / HTTP/1.1", "Host: a", framing, "", framing.startsWith("C") ? "abc" : "3\r\nabc\r\n"));
    client.connection.lose();
    server.receive();
    expect([server.content(1), server.ended(1), server.resetCode(1)]).toEqual(["abc", false, Code.cancel]);
  }
});

test("RFC 9113 §8.1 pipelined requests are streams of their own, answered in order", () => {
  const { client, server } = gateway();
  client.send(wire("GET /1 HTTP/1.1", "Host: a", "", "").repeat(2));
  server.answer(1, "one").answer(3, "two");
  const { messages, rest } = readMessages(client.received, ["GET", "GET"]);
  expect([messages.map(({ content }) => content), rest]).toEqual([["one", "two"], ""]);
});

// ── responses ────────────────────────────────────────────────────────────────────────────────

const ask = (...frames: Buffer[]) => {
  const { client, server, forwarded } = gateway();
  client.send(wire("GET / HTTP/1.1", "Host: a", "TE: trailers", "Connection: te", "", ""));
  server.send(...frames);
  return { client, server, forwarded: forwarded[0]!, received: client.received };
};

test("RFC 9113 §8.1 content without a length becomes chunks, trailers the trailer section", () => {
  const { received } = ask(headers(1, ok(["x-a", "b"]), Flag.endHeaders), data(1, "abc"), headers(1, [["x-sum", "3"]]));
  const { messages, rest } = readMessages(received, ["GET"]);
  expect(messages[0]).toMatchObject({
    content: "abc",
    trailers: "x-sum: 3\r\n",
    fields: { "transfer-encoding": "chunked" },
  });
  expect([messages[0]!.fields["content-length"], rest]).toEqual([undefined, ""]);
});

test("RFC 9113 §8.1 interim responses pass, whatever number of them", () => {
  const hints = headers(
    1,
    [
      [":status", "103"],
      ["link", "</a>"],
    ],
    Flag.endHeaders,
  );
  const { client } = ask(hints, hints, headers(1, [[":status", "204"]]));
  expect(client.statuses).toEqual([103, 103, 204]);
});

const SPLIT = "b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nowned";

const REFUSED: Readonly<Record<string, Buffer[]>> = {
  "a response in a value": [headers(1, ok(["x-a", SPLIT]))],
  "a field line in a value": [headers(1, ok(["x-a", "b\r\nset-cookie: c=d"]))],
  "LF in a value": [headers(1, ok(["x-a", "b\nset-cookie: c=d"]))],
  "NUL in a value": [headers(1, ok(["x-a", "b\0"]))],
  "a field line in a name": [headers(1, ok(["x-a: b\r\nset-cookie", "c=d"]))],
  "Transfer-Encoding": [
    headers(1, ok(["transfer-encoding", "chunked"]), Flag.endHeaders),
    data(1, "0\r\n\r\n", Flag.endStream),
  ],
  "Connection: close": [headers(1, ok(["connection", "close"]))],
  "two lengths": [
    headers(1, ok(["content-length", "0"], ["content-length", "5"]), Flag.endHeaders),
    data(1, "owned", Flag.endStream),
  ],
  "a length and no content": [headers(1, ok(["content-length", "5"]))],
  "101 Switching Protocols": [headers(1, [[":status", "101"]], Flag.endHeaders)],
  "a status with text behind it": [headers(1, [[":status", "200 OK\r\nx-a: b"]])],
  "no status": [headers(1, [["x-a", "b"]])],
};

for (const [name, frames] of Object.entries(REFUSED)) {
  test(`RFC 9113 §10.3, §8.1.1 ${name} in a response: one 502, and nothing of it`, () => {
    const { client, server, received } = ask(...frames);
    expect(client.statuses).toEqual([502]);
    expect(received).not.toMatch(/owned|c=d|x-a/);
    expect(server.resetCode(1)).toBe(Code.protocol);
    expect([server.connection.fate, server.goawayCode]).toEqual(["open", null]);
  });
}

const CUT: Readonly<Record<string, Buffer[]>> = {
  RST_STREAM: [headers(1, OK, Flag.endHeaders), data(1, "abc"), rstStream(1, Code.internal)],
  "RST_STREAM with NO_ERROR": [headers(1, OK, Flag.endHeaders), data(1, "abc"), rstStream(1, Code.noError)],
  "less content than its length": [
    headers(1, ok(["content-length", "10"]), Flag.endHeaders),
    data(1, "abc", Flag.endStream),
  ],
  "trailers before the end of its length": [
    headers(1, ok(["content-length", "10"]), Flag.endHeaders),
    data(1, "abc"),
    headers(1, [["a", "b"]]),
  ],
  "malformed trailers": [headers(1, OK, Flag.endHeaders), data(1, "abc"), headers(1, [["a", "b\r\n\r\n"]])],
  "a connection error": [headers(1, OK, Flag.endHeaders), data(1, "abc"), data(0, "abc")],
};

for (const [name, frames] of Object.entries(CUT)) {
  test(`RFC 9112 §8 content that ends with ${name} never looks complete`, () => {
    const { client, received, forwarded } = ask(...frames);
    const { messages, rest } = readMessages(received, ["GET"]);
    expect([messages, rest.endsWith("0\r\n\r\n"), rest.includes("abc")]).toEqual([[], false, true]);
    expect(client.connection.fate).not.toBe("open");
    expect(forwarded.ended).not.toBe("end");
  });
}

test("RFC 9113 §8.1.1 more content than its length: what is too much does not pass", () => {
  const { received } = ask(
    headers(1, ok(["content-length", "3"]), Flag.endHeaders),
    data(1, "abc"),
    data(1, "HTTP/1.1 200 OK\r\n\r\n", Flag.endStream),
  );
  const { messages, rest } = readMessages(received, ["GET"]);
  expect([messages.length, rest]).toEqual([1, ""]);
  expect(messages[0]!.content).toBe("abc");
});

test("RFC 9113 §6.8 the end of the connection cuts what was under way", () => {
  const { client, server } = ask(headers(1, OK, Flag.endHeaders), data(1, "abc"), goaway(1));
  server.connection.end();
  const { messages, rest } = readMessages(client.received, ["GET"]);
  expect([messages, rest.endsWith("0\r\n\r\n")]).toEqual([[], false]);
});

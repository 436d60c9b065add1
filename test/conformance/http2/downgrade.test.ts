/**
 * HTTP/2 clients before HTTP/1.1 origin servers: whatever a client puts into its frames, the origin
 * server reads the one request that was meant, or none; and what it answers is the one response.
 *
 * RFC 9113 §10.3 (intermediary encapsulation attacks), §8.1.1, §8.2, §8.3; RFC 9112 §11.2.
 */
import { expect, test } from "bun:test";
import { wire } from "../../../src/protocol/http1/testing.ts";
import { readMessages } from "../../../src/protocol/http1/testing-bodies.ts";
import { Application } from "./application.ts";
import { Http1Origin } from "./forwarding.ts";
import { GET, get, HostileClient, post } from "./hostile-client.ts";
import { Code, data, type FieldLine, Flag, headers, rstStream } from "./wire.ts";

function gateway(): { client: HostileClient; origin: Http1Origin } {
  const origin = new Http1Origin();
  const application = new Application();
  application.handle = origin.handle;
  const client = new HostileClient(application).send(
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    Buffer.from("000000040000000000", "hex"),
  );
  return { client, origin };
}

const withPseudo = (name: string, value: string): FieldLine[] =>
  GET.map((line) => (line[0] === name ? [name, value] : line));

const SMUGGLED = "GET /admin HTTP/1.1\r\nhost: a.test\r\n\r\n";

/** Malformed heads (RFC 9113 §8.1.1), many with a second request in them for whoever writes them to HTTP/1.1 without looking. */
const HEADS: Readonly<Record<string, readonly FieldLine[]>> = {
  "a request in a value": get("/", ["x-a", `b\r\n\r\n${SMUGGLED}`]),
  "a request behind a bare LF in a value": get("/", ["x-a", `b\n\n${SMUGGLED.replaceAll("\r", "")}`]),
  "a field line behind CR in a value": get("/", ["x-a", "b\rtransfer-encoding: chunked"]),
  "NUL in a value": get("/", ["x-a", "b\0c"]),
  "a field line in a name": get("/", ["x-a: b\r\ntransfer-encoding", "chunked"]),
  "a colon in a name": get("/", ["transfer-encoding: chunked\r\nx-a", "b"]),
  "SP after a name": get("/", ["transfer-encoding ", "chunked"]),
  "HTAB before a name": get("/", ["\ttransfer-encoding", "chunked"]),
  "Transfer-Encoding": get("/", ["transfer-encoding", "chunked"]),
  "Transfer-Encoding in another spelling": get("/", ["Transfer-Encoding", "chunked"]),
  "Transfer-Encoding and Content-Length": post("/", ["transfer-encoding", "chunked"], ["content-length", "0"]),
  "Connection that names Content-Length": post("/", ["connection", "content-length"]),
  "Upgrade: h2c": get("/", ["upgrade", "h2c"], ["connection", "upgrade"]),
  "a request in :path": withPseudo(":path", `/ HTTP/1.1\r\nhost: a.test\r\n\r\n${SMUGGLED}`),
  "SP and a version in :path": withPseudo(":path", "/admin HTTP/1.1"),
  "a request in :method": withPseudo(":method", `GET /admin HTTP/1.1\r\nhost: a.test\r\n\r\nGET`),
  "SP in :method": withPseudo(":method", "GET /admin"),
  "a request in :authority": withPseudo(":authority", `a.test\r\n\r\n${SMUGGLED}`),
  "a field line in :authority": withPseudo(":authority", "a.test\r\nx-a: b"),
  "userinfo in :authority": withPseudo(":authority", "admin@a.test"),
  "a path in :authority": withPseudo(":authority", "a.test/admin"),
  "a request in :scheme": withPseudo(":scheme", `http\r\n\r\n${SMUGGLED}`),
  "Host that is not :authority": get("/", ["host", "b.test"]),
  "Host twice": get("/", ["host", "a.test"], ["host", "b.test"]),
  "no authority at all": GET.slice(0, 3),
  "a list of lengths": post("/", ["content-length", "0, 5"]),
  "two lengths": post("/", ["content-length", "0"], ["content-length", "5"]),
  "a length with a sign": post("/", ["content-length", "+5"]),
  "a length in hexadecimal": post("/", ["content-length", "0x5"]),
  "an absolute URI as :path": withPseudo(":path", "http://b.test/admin"),
};

for (const [name, fields] of Object.entries(HEADS)) {
  test(`RFC 9113 §8.1.1, §10.3 ${name}: a stream error, and no octet reaches the origin server`, () => {
    const { client, origin } = gateway();
    client.send(headers(1, fields, Flag.endHeaders), data(1, SMUGGLED, Flag.endStream));
    expect(origin.connections.map((_, at) => origin.arrived(at)).join("")).toBe("");
    const { reset, status } = client.answer(1);
    expect([reset, status]).toEqual([Code.protocol, 0]);
    expect([client.connection.fate, client.goawayCode]).toEqual(["open", null]);
  });
}

test("a path of two readings is well-formed: it is answered 400, and no octet reaches the origin server", () => {
  const { client, origin } = gateway();
  client.send(headers(1, withPseudo(":path", "/admin/..;/public")));
  expect(origin.connections).toEqual([]);
  const { reset, status } = client.answer(1);
  expect([reset, status, client.connection.fate]).toEqual([null, 400, "open"]);
});

/** Content that is not as long as it says: the origin server must not take what it has for a whole request. */
const LENGTHS: Readonly<
  Record<string, { declared: string; pieces: readonly string[]; trailers?: boolean; whole?: string[] }>
> = {
  "shorter content": { declared: "100", pieces: ["abc"] },
  "no content": { declared: "100", pieces: [] },
  "longer content": { declared: "3", pieces: [`abc${SMUGGLED}`] },
  "longer content in a second frame": { declared: "3", pieces: ["abc", SMUGGLED], whole: ["abc"] },
  "content after a length of 0": { declared: "0", pieces: [SMUGGLED], whole: [""] },
  "shorter content, then trailers": { declared: "100", pieces: ["abc"], trailers: true },
};

for (const [name, { declared, pieces, trailers = false, whole = [] }] of Object.entries(LENGTHS)) {
  test(`RFC 9113 §8.1.1 ${name} than Content-Length: stream error, and no whole request`, () => {
    const { client, origin } = gateway();
    client.send(
      headers(
        1,
        post("/upload", ["content-length", declared]),
        Flag.endHeaders | (pieces.length === 0 ? Flag.endStream : 0),
      ),
    );
    pieces.forEach((piece, at) => {
      client.send(data(1, piece, at === pieces.length - 1 && !trailers ? Flag.endStream : 0));
    });
    if (trailers) client.send(headers(1, [["x-a", "b"]]));
    expect(client.answer(1).reset).toBe(Code.protocol);
    for (const [at, connection] of origin.connections.entries()) {
      const octets = origin.arrived(at);
      expect(octets).not.toContain("/admin");
      // Only where the declared length was there before the frame that was too much.
      expect(readMessages(octets).messages.map(({ content }) => content)).toEqual(whole);
      // What it has of the request, it will never have more of.
      expect(connection.fate).not.toBe("open");
    }
    expect([client.connection.fate, client.goawayCode]).toEqual(["open", null]);
  });
}

test("RFC 9113 §8.1 content without a length goes on in chunks, whatever it holds", () => {
  const { client, origin } = gateway();
  client.send(
    headers(1, post("/upload"), Flag.endHeaders),
    data(1, `0\r\n\r\n${SMUGGLED}`),
    data(1, "0\r\n\r\n", Flag.endStream),
  );
  const { messages, rest } = readMessages(origin.arrived());
  expect([messages.map(({ startLine, content }) => [startLine, content]), rest]).toEqual([
    [["POST /upload HTTP/1.1", `0\r\n\r\n${SMUGGLED}0\r\n\r\n`]],
    "",
  ]);
});

test("RFC 9113 §8.1 content with a length goes on with that length", () => {
  const { client, origin } = gateway();
  client.send(
    headers(1, post("/upload", ["content-length", "6"]), Flag.endHeaders),
    data(1, "abc"),
    data(1, "def", Flag.endStream),
  );
  const { messages, rest } = readMessages(origin.arrived());
  expect(messages[0]).toMatchObject({ content: "abcdef", fields: { "content-length": "6", host: "a.test" } });
  expect([messages.length, rest, messages[0]!.fields["transfer-encoding"]]).toEqual([1, "", undefined]);
});

test("RFC 9113 §8.2.3 cookies arrive as one field line, and fields in one spelling", () => {
  const { client, origin } = gateway();
  client.request(1, "/a?b=c", ["cookie", "a=1"], ["cookie", "b=2"], ["x-a", "1"], ["x-a", "2"]);
  const [head] = origin.arrived().split("\r\n\r\n");
  expect(head!.split("\r\n")[0]).toBe("GET /a?b=c HTTP/1.1");
  expect(head!.split("\r\n").slice(1).sort()).toEqual(["cookie: a=1; b=2", "host: a.test", "x-a: 1", "x-a: 2"]);
});

test("RFC 9113 §8.1 trailers go on after the last chunk, without what frames a message", () => {
  const { client, origin } = gateway();
  client.send(
    headers(1, post("/upload"), Flag.endHeaders),
    data(1, "abc"),
    headers(1, [
      ["x-sum", "3"],
      ["content-length", "3"],
      ["host", "b.test"],
    ]),
  );
  const octets = origin.arrived();
  const { messages, rest } = readMessages(octets);
  expect([messages[0]?.content, messages[0]?.trailers, rest]).toEqual(["abc", "x-sum: 3\r\n", ""]);
});

test("RFC 9113 §5.4.2 a stream that the client resets leaves no whole request behind", () => {
  const { client, origin } = gateway();
  client.send(headers(1, post("/upload"), Flag.endHeaders), data(1, "abc"), rstStream(1));
  expect(readMessages(origin.arrived()).messages).toEqual([]);
  expect(origin.connections[0]!.fate).not.toBe("open");
});

// ── responses ────────────────────────────────────────────────────────────────────────────────

const ask = (response: string, end = false) => {
  const { client, origin } = gateway();
  client.request(1, "/", ["te", "trailers"]);
  origin.arrived();
  origin.answer(response);
  if (end) origin.connections[0]!.end();
  return client.receive().answer(1);
};

test("RFC 9113 §8.2.2 what an HTTP/1.1 response says about its connection stays behind", () => {
  const { head, content, ended } = ask(
    wire(
      "HTTP/1.1 200 OK",
      "Connection: keep-alive, X-Hop",
      "Keep-Alive: timeout=5",
      "X-Hop: 1",
      "Transfer-Encoding: chunked",
      "X-Mixed: Yes",
      "",
      "3",
      "abc",
      "0",
      "X-Sum: 3",
      "",
      "",
    ),
  );
  expect(head!.filter(([name]) => name !== "date")).toEqual([
    [":status", "200"],
    ["x-mixed", "Yes"],
  ]);
  expect([content, ended]).toEqual(["abc", true]);
});

test("RFC 9112 §7.1.2 trailers of chunked content end the stream", () => {
  const answer = ask(wire("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "3", "abc", "0", "X-Sum: 3", "", ""));
  expect(answer).toMatchObject({ content: "abc", trailers: [["x-sum", "3"]], ended: true, reset: null });
});

const CUT: Readonly<Record<string, string>> = {
  "content shorter than its length": wire("HTTP/1.1 200 OK", "Content-Length: 10", "", "abc"),
  "chunks without the last one": wire("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "3", "abc", ""),
  "a chunk that is cut": wire("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "a", "abc"),
  "a trailer section that is cut": wire("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "3", "abc", "0", "X-Sum"),
};

for (const [name, response] of Object.entries(CUT)) {
  test(`RFC 9112 §8 ${name}: the stream is reset, never ended`, () => {
    const answer = ask(response, true);
    expect(answer).toMatchObject({ status: 200, content: "abc", ended: false, reset: Code.internal });
  });
}

const BAD_RESPONSES: Readonly<Record<string, string>> = {
  "both Transfer-Encoding and Content-Length": wire(
    "HTTP/1.1 200 OK",
    "Transfer-Encoding: chunked",
    "Content-Length: 3",
    "",
    "0",
    "",
    "",
  ),
  "a bare CR in a value": wire("HTTP/1.1 200 OK", "X-A: b\rc", "Content-Length: 0", "", ""),
  "NUL in a value": wire("HTTP/1.1 200 OK", "X-A: b\0c", "Content-Length: 0", "", ""),
  "an obsolete line fold": wire("HTTP/1.1 200 OK", "X-A: b", " c", "Content-Length: 0", "", ""),
  "a pseudo-field": wire("HTTP/1.1 200 OK", ":status: 204", "Content-Length: 0", "", ""),
  "101 that nobody asked for": wire("HTTP/1.1 101 Switching Protocols", "Upgrade: h2c", "Connection: upgrade", "", ""),
};

for (const [name, response] of Object.entries(BAD_RESPONSES)) {
  test(`RFC 9112 §6.3, §5 ${name} in a response: 502`, () => {
    expect(ask(response)).toMatchObject({ status: 502, ended: true });
  });
}

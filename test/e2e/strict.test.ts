/**
 * Strict where it protects: what two parsers could read differently is refused, and what goes
 * upstream is always written anew (RFC 9112 §2.2, §3, §5, §6, §7, §11.2).
 */
import { describe, expect, test } from "bun:test";
import { pair } from "../support/pair.ts";
import { exchange, get, RawClient, type RawResponse, wire } from "../support/raw.ts";

const it = pair();

/** Sends octets, expects this status, a closed connection, and an origin that saw nothing of it. */
async function refused(octets: string, status: number): Promise<RawResponse> {
  using client = await RawClient.connect(it.gateway.port);
  client.send(octets);
  const response = await client.response();
  expect(response.status).toBe(status);
  expect(response.field("connection")).toBe("close");
  expect(await client.closed()).toMatch(/end|reset/);
  expect(it.origin.requests.map(({ head }) => head.text)).toEqual([]);
  return response;
}

const request = (...fieldLines: string[]) => wire("POST / HTTP/1.1", "Host: a", ...fieldLines, "", "");

describe("Host (RFC 9112 §3.2, RFC 9110 §7.2)", () => {
  test.each([
    ["none at all", wire("GET / HTTP/1.1", "", "")],
    ["two", wire("GET / HTTP/1.1", "Host: a", "Host: a", "", "")],
    ["two unequal", wire("GET / HTTP/1.1", "Host: a", "Host: b", "", "")],
    ["a list", wire("GET / HTTP/1.1", "Host: a, b", "", "")],
    ["a space in it", wire("GET / HTTP/1.1", "Host: a b", "", "")],
    ["userinfo", wire("GET / HTTP/1.1", "Host: user@a", "", "")],
    ["a path", wire("GET / HTTP/1.1", "Host: a/b", "", "")],
    ["a port that is none", wire("GET / HTTP/1.1", "Host: a:b", "", "")],
    ["a port out of range", wire("GET / HTTP/1.1", "Host: a:65536", "", "")],
    ["an unclosed bracket", wire("GET / HTTP/1.1", "Host: [::1", "", "")],
    ["raw non-ASCII", wire("GET / HTTP/1.1", "Host: ex\xe4mple", "", "")],
    ["a backslash", wire("GET / HTTP/1.1", "Host: a\\b", "", "")],
    ["a query", wire("GET / HTTP/1.1", "Host: a?b", "", "")],
    ["two, with an absolute-form target", wire("GET http://a/ HTTP/1.1", "Host: a", "Host: a", "", "")],
    ["none, with an absolute-form target", wire("GET http://a/ HTTP/1.1", "", "")],
  ])("%s is refused", async (_what, octets) => {
    await refused(octets, 400);
  });

  test.each(["[::1]:8080", "127.0.0.1", "a.", "xn--exmple-cua.example", "A.EXAMPLE:80"])("%s is fine", async (host) => {
    expect((await exchange(it.gateway.port, wire("GET / HTTP/1.1", `Host: ${host}`, "", ""))).status).toBe(200);
  });
});

describe("message framing (RFC 9112 §6.1, §6.3, §11.2)", () => {
  test.each([
    ["Content-Length with Transfer-Encoding", ["Content-Length: 4", "Transfer-Encoding: chunked"]],
    ["Transfer-Encoding with Content-Length", ["Transfer-Encoding: chunked", "Content-Length: 4"]],
    ["two equal Content-Length lines", ["Content-Length: 4", "Content-Length: 4"]],
    ["two unequal Content-Length lines", ["Content-Length: 4", "Content-Length: 5"]],
    ["a Content-Length list", ["Content-Length: 4, 4"]],
    ["a signed Content-Length", ["Content-Length: +4"]],
    ["a negative Content-Length", ["Content-Length: -1"]],
    ["a hexadecimal Content-Length", ["Content-Length: 0x4"]],
    ["a Content-Length with a fraction", ["Content-Length: 4.0"]],
    ["a Content-Length with an exponent", ["Content-Length: 1e1"]],
    ["a Content-Length with underscores", ["Content-Length: 1_0"]],
    ["an empty Content-Length", ["Content-Length:"]],
    ["a Content-Length over 2^53", ["Content-Length: 9007199254740993"]],
    ["a Content-Length over 2^64", ["Content-Length: 18446744073709551620"]],
    ["a Content-Length with a space within", ["Content-Length: 1 0"]],
    ["Content-Length in another script", ["Content-Length: \xb2"]],
    ["chunked twice", ["Transfer-Encoding: chunked, chunked"]],
    ["chunked twice in two lines", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]],
    ["chunked not last", ["Transfer-Encoding: chunked, gzip"]],
    ["chunked between others", ["Transfer-Encoding: gzip, chunked, deflate"]],
    ["chunked first and last", ["Transfer-Encoding: chunked, gzip, chunked"]],
    ["another coding with Content-Length", ["Transfer-Encoding: gzip, chunked", "Content-Length: 4"]],
    ["Content-Length with other codings", ["Content-Length: 4", "Transfer-Encoding: gzip, deflate, chunked"]],
    ["chunked with a parameter", ["Transfer-Encoding: chunked;q=1"]],
    ["a quoted chunked", ['Transfer-Encoding: "chunked"']],
    ["chunked after a vertical tab", ["Transfer-Encoding: \x0bchunked"]],
    ["a coding that only begins like it", ["Transfer-Encoding: chunkedx"]],
    ["an empty Transfer-Encoding", ["Transfer-Encoding:"]],
    ["identity", ["Transfer-Encoding: identity"]],
    ["an empty list member", ["Transfer-Encoding: ,chunked"]],
  ])("%s is refused", async (_what, fields) => {
    await refused(`${request(...fields)}0\r\n\r\n`, 400);
  });

  test.each(["gzip, chunked", "gzip, deflate, chunked", "gzip;level=9,chunked"])(
    "%s: codings under the chunks are refused as not implemented (RFC 9112 §6.1)",
    async (codings) => {
      await refused(`${request(`Transfer-Encoding: ${codings}`)}0\r\n\r\n`, 501);
    },
  );

  test("codings that do not end with chunked leave the length unknown (RFC 9112 §6.3)", async () => {
    await refused(`${request("Transfer-Encoding: banana")}0\r\n\r\n`, 400);
  });

  test("Transfer-Encoding in HTTP/1.0 is refused (RFC 9112 §6.1)", async () => {
    await refused(wire("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked", "", "0", "", ""), 400);
  });

  test.each([
    ["Transfer-Encoding", "Transfer-Encoding : chunked"],
    ["Content-Length", "Content-Length : 4"],
  ])("a space before the colon of %s is refused (RFC 9112 §5.1)", async (_name, line) => {
    await refused(request(line), 400);
  });

  test("chunked in any case is chunked (RFC 9112 §7)", async () => {
    it.origin.script = async (r) => r.reply({ content: (await r.content()).text });
    expect((await exchange(it.gateway.port, `${request("transfer-ENCODING: CHUNKED")}1\r\na\r\n0\r\n\r\n`)).text).toBe(
      "a",
    );
  });
});

describe("chunk sizes (RFC 9112 §7.1)", () => {
  test.each([
    ["an overflow of 64 bits", "10000000000000001\r\na\r\n"],
    ["an overflow of 53 bits", "20000000000000\r\na\r\n"],
    ["very many digits", `${"0".repeat(200)}1\r\na\r\n`],
    ["a sign", "+1\r\na\r\n"],
    ["a minus", "-1\r\na\r\n"],
    ["a prefix", "0x1\r\na\r\n"],
    ["a leading space", " 1\r\na\r\n"],
    ["no digit", "\r\na\r\n"],
    ["no digit, but an extension", ";a=b\r\na\r\n"],
    ["a letter", "1g\r\na\r\n"],
    ["an underscore", "1_0\r\n0123456789abcdef\r\n"],
    ["a bare LF after it", "1\na\r\n"],
    ["a bare CR after it", "1\ra\r\n"],
    ["a bare LF in an extension", "1;a\nb\r\na\r\n"],
    ["a bare CR in an extension", "1;a\rb\r\na\r\n"],
    ["a NUL in an extension", "1;a\0b\r\na\r\n"],
    ["a space within", "1 0\r\n0123456789abcdef\r\n"],
    ["text after it", "1 a=b\r\na\r\n"],
    ["a bare LF after the data", "1\r\na\n"],
    ["more data than said", "1\r\nab\r\n"],
    ["no CRLF after the data", "1\r\na1\r\nb\r\n"],
  ])("%s ends the exchange, and the origin never sees complete content", async (_what, chunks) => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(`${request("Transfer-Encoding: chunked")}${chunks}0\r\n\r\n`);
    const response = await client.response();
    expect(response.status).toBe(400);
    expect(await client.closed()).toMatch(/end|reset/);
    for (const { received } of it.origin.requests) expect(received).not.toContain("0\r\n\r\n");
  });

  test.each([
    ["a bare LF after the last chunk", "0\n\r\n"],
    ["a bare LF instead of the last empty line", "0\r\n\n"],
    ["a trailer with a space before its colon", "0\r\nA : b\r\n\r\n"],
    ["a trailer without a colon", "0\r\nabc\r\n\r\n"],
    ["a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"],
    ["a NUL in a trailer", "0\r\nA: \0\r\n\r\n"],
  ])("%s ends the exchange", async (_what, end) => {
    expect((await exchange(it.gateway.port, `${request("Transfer-Encoding: chunked")}1\r\na\r\n${end}`)).status).toBe(
      400,
    );
    for (const { received } of it.origin.requests) expect(received).not.toContain("\r\n0\r\n");
  });
});

describe("field lines (RFC 9112 §5, RFC 9110 §5.5)", () => {
  test.each([
    ["a bare LF as line end", "POST / HTTP/1.1\nHost: a\n\n"],
    ["a bare LF after one line", "POST / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"],
    ["a bare LF as the empty line", "POST / HTTP/1.1\r\nHost: a\r\n\n"],
    ["a bare CR within a value", request("X: a\rb")],
    ["a bare CR before the line end", request("X: a\r")],
    ["a NUL in a value", request("X: a\0b")],
    ["a control octet in a value", request("X: a\x01b")],
    ["DEL in a value", request("X: a\x7fb")],
    ["a folded line (§5.2)", request("X: a", " b")],
    ["a line folded by a tab", request("X: a", "\tb")],
    ["a folded first line", wire("POST / HTTP/1.1", " Host: a", "Host: a", "", "")],
    ["a space before the colon (§5.1)", request("X : a")],
    ["a tab before the colon", request("X\t: a")],
    ["no colon", request("X")],
    ["no name", request(": a")],
    ["a space in a name", request("X Y: a")],
    ["non-ASCII in a name", request("X\xe4: a")],
    ["a NUL in a name", request("X\0: a")],
    ["a bracket in a name", request("X[0]: a")],
    ["a slash in a name", request("X/Y: a")],
  ])("%s is refused", async (_what, octets) => {
    await refused(octets, 400);
  });

  test("obs-text in a value is relayed octet for octet", async () => {
    expect((await exchange(it.gateway.port, get("/", "X-Text: gr\xfc\xdfe"))).status).toBe(200);
    expect(it.origin.last.field("x-text")).toBe("gr\xfc\xdfe");
  });

  test("blanks around a value go, those within stay", async () => {
    await exchange(it.gateway.port, get("/", "X-Text: \t  a \t b \t "));
    expect(it.origin.last.field("x-text")).toBe("a \t b");
  });

  test("an empty value is a value", async () => {
    await exchange(it.gateway.port, get("/", "X-Empty:", "X-Blank:   "));
    expect([it.origin.last.field("x-empty"), it.origin.last.field("x-blank")]).toEqual(["", ""]);
  });

  test("lines of one name stay apart and in order", async () => {
    await exchange(it.gateway.port, get("/", "Accept: a", "X: 1", "Accept: b", "x: 2"));
    expect([it.origin.last.head.all("accept"), it.origin.last.head.all("x")]).toEqual([
      ["a", "b"],
      ["1", "2"],
    ]);
  });
});

describe("the request line (RFC 9112 §3)", () => {
  test.each([
    ["two spaces", "GET  / HTTP/1.1"],
    ["a tab", "GET\t/ HTTP/1.1"],
    ["a space at the end", "GET / HTTP/1.1 "],
    ["a space at the front", " GET / HTTP/1.1"],
    ["a space in the target", "GET /a b HTTP/1.1"],
    ["no method", "/ HTTP/1.1"],
    ["a method that is no token", "GE(T / HTTP/1.1"],
    ["a target that is no path", "GET a HTTP/1.1"],
    ["asterisk-form without OPTIONS (§3.2.4)", "GET * HTTP/1.1"],
    ["authority-form without CONNECT (§3.2.3)", "GET a:80 HTTP/1.1"],
    ["a fragment", "GET /a#b HTTP/1.1"],
    ["raw non-ASCII in the target", "GET /\xe4 HTTP/1.1"],
    ["UTF-8 of a lone surrogate in the target", "GET /\xed\xa0\x80 HTTP/1.1"],
    ["a control octet in the target", "GET /\x01 HTTP/1.1"],
    ["a NUL in the target", "GET /\0 HTTP/1.1"],
    ["DEL in the target", "GET /\x7f HTTP/1.1"],
    ["a raw backslash in the target", "GET /a\\b HTTP/1.1"],
    ["a quote in the target", 'GET /" HTTP/1.1'],
    ["an encoded NUL in the path", "GET /%00 HTTP/1.1"],
    ["a bad escape in the path", "GET /%zz HTTP/1.1"],
    ["a cut escape in the path", "GET /%2 HTTP/1.1"],
    ["a way above the root", "GET /../etc/passwd HTTP/1.1"],
    ["an encoded way above the root", "GET /a/%2e%2e/%2E%2E/etc HTTP/1.1"],
    ["absolute-form without a host", "GET http:///a HTTP/1.1"],
    ["absolute-form with userinfo", "GET http://u:p@a/ HTTP/1.1"],
    ["absolute-form of another scheme", "GET ftp://a/ HTTP/1.1"],
    ["a lower-case version", "GET / http/1.1"],
    ["a version without a point", "GET / HTTP/11"],
    ["a version with more digits", "GET / HTTP/1.10"],
    ["a bare CR", "GET / HTTP/1.1\rX: a"],
  ])("%s is refused", async (_what, line) => {
    await refused(wire(line, "Host: a", "", ""), 400);
  });

  test.each(["GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/3.0"])(
    "%s is not spoken here (RFC 9110 §15.6.6)",
    async (line) => {
      await refused(wire(line, "Host: a", "", ""), 505);
    },
  );

  test("HTTP/1.2 is answered as HTTP/1.1 (RFC 9110 §2.5)", async () => {
    const response = await exchange(it.gateway.port, wire("GET / HTTP/1.2", "Host: a", "", ""));
    expect(response.status).toBe(200);
    expect(response.version).toBe("HTTP/1.1");
  });

  test("HTTP/0.9 is refused", async () => {
    await refused("GET /\r\n", 400);
  });

  test("a TLS handshake on a plain listener ends in a close", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(`\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03${"\0".repeat(500)}`);
    expect(await client.closed()).toMatch(/end|reset/);
  });
});

test("a malformed request is logged and counted like any other, and says why", async () => {
  await it.gateway.skipLog();
  const response = await refused(request("X : a"), 400);
  expect(response.text).not.toBe("");
  const line = await it.gateway.logLine();
  expect(JSON.stringify(line)).toContain("request-malformed");
  expect(line["status"]).toBe(400);
});

test("nothing smuggled behind a refused request is served", async () => {
  using client = await RawClient.connect(it.gateway.port);
  client.send(`${request("Content-Length: 6", "Transfer-Encoding: chunked")}0\r\n\r\n${get("/smuggled")}`);
  expect((await client.response()).status).toBe(400);
  await client.closed();
  expect(it.origin.requests).toHaveLength(0);
});

describe("responses of the origin (RFC 9112 §4, §5, §6.3)", () => {
  test.each([
    ["two unequal Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"],
    ["a Content-Length that is no number", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"],
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    ["another version", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"],
    ["a bare CR in a value", "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n"],
    ["a field line without a colon", "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n"],
    ["a coding nobody asked for", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
    ["several of them", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, deflate, chunked\r\n\r\n0\r\n\r\n"],
    ["chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"],
    ["nothing at all", ""],
    ["half a head", "HTTP/1.1 200 OK\r\nContent-Le"],
    ["HTML without a head", "<html>hello</html>"],
    ["a head without end", `HTTP/1.1 200 OK\r\n${"X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(20_000)}`],
  ])("%s is answered with 502, and the connection stays good", async (_what, octets) => {
    it.origin.script = async (r) => {
      if (r.target !== "/bad") return r.reply({ content: "good" });
      await r.send(octets);
      r.connection.end();
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/bad"));
    expect((await client.response()).status).toBe(502);
    client.send(get("/good"));
    expect((await client.response()).text).toBe("good");
  });

  test("Content-Length with Transfer-Encoding is refused", async () => {
    it.origin.script = async (r) => {
      await r.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
      r.connection.end();
    };
    expect((await exchange(it.gateway.port, get("/"))).status).toBe(502);
  });

  test.each([
    ["a space before the colon (§5.1)", "HTTP/1.1 200 OK\r\nX-Odd : a\r\nContent-Length: 2\r\n\r\nok"],
    ["a folded line (§5.2)", "HTTP/1.1 200 OK\r\nX-Odd: a\r\n b\r\nContent-Length: 2\r\n\r\nok"],
  ])("%s is refused", async (_what, octets) => {
    it.origin.script = async (r) => {
      await r.send(octets);
      r.connection.end();
    };
    const response = await exchange(it.gateway.port, get("/"));
    expect(response.status).toBe(502);
    expect(response.head.text).not.toMatch(/X-Odd :|\r\n /);
  });

  test("octets after a complete response are not taken for the next one (response splitting)", async () => {
    it.origin.script = async (r) => {
      if (r.target === "/first")
        await r.send(
          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        );
      else await r.reply({ content: "good" });
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/first"));
    expect((await client.response()).text).toBe("first");
    await Bun.sleep(30);
    client.send(get("/second"));
    expect((await client.response()).text).toBe("good");
  });

  test("a reason phrase with control octets is not relayed", async () => {
    it.origin.script = async (r) => {
      await r.send("HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok");
      r.connection.end();
    };
    const response = await exchange(it.gateway.port, get("/"));
    expect(response.reason).not.toContain("\x01");
  });

  test("an unknown status and reason pass", async () => {
    it.origin.script = (r) => r.reply({ status: 599, reason: "Very Odd Indeed", content: "?" });
    expect(await exchange(it.gateway.port, get("/"))).toMatchObject({ status: 599, text: "?" });
  });
});

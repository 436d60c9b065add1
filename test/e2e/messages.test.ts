/** Messages through the gateway, octet for octet: framing, persistence, order (RFC 9112, RFC 9110 §6). */
import { describe, expect, test } from "bun:test";
import { pair } from "../support/pair.ts";
import { everySplit, exchange, get, post, RawClient, wire } from "../support/raw.ts";

const it = pair();

describe("persistence (RFC 9112 §9.3)", () => {
  test("one connection carries many requests", async () => {
    using client = await RawClient.connect(it.gateway.port);
    for (let i = 0; i < 5; i++) {
      client.send(get(`/${i}`));
      expect(await client.response()).toMatchObject({ status: 200, text: "hello" });
    }
    expect(it.origin.requests.map(({ target }) => target)).toEqual(["/0", "/1", "/2", "/3", "/4"]);
  });

  test("Connection: close is answered with the same and closes", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/", "Connection: close"));
    const response = await client.response();
    expect(response.field("connection")).toBe("close");
    expect(await client.closed()).toBe("end");
  });

  test("an HTTP/1.0 request closes unless it asks for keep-alive", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("GET / HTTP/1.0", "Host: a", "Connection: keep-alive", "", ""));
    const first = await client.response();
    expect(first.field("connection")?.toLowerCase()).toBe("keep-alive");
    client.send(wire("GET / HTTP/1.0", "Host: a", "", ""));
    expect(await client.response()).toMatchObject({ status: 200, text: "hello" });
    expect(await client.closed()).toBe("end");
  });

  test("the origin's Connection: close does not close the client's connection", async () => {
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
      request.connection.end();
    };
    using client = await RawClient.connect(it.gateway.port);
    for (let i = 0; i < 3; i++) {
      client.send(get("/"));
      const response = await client.response();
      expect(response).toMatchObject({ status: 200, text: "ok" });
      expect(response.field("connection")).toBeUndefined();
    }
  });

  test("an empty line before a request line is skipped (RFC 9112 §2.2)", async () => {
    expect(await exchange(it.gateway.port, `\r\n${get("/")}`)).toMatchObject({ status: 200 });
  });
});

describe("pipelining (RFC 9112 §9.3.2)", () => {
  test("responses come in the order of the requests, whatever each takes", async () => {
    it.origin.script = async (request) => {
      if (request.target === "/0") await Bun.sleep(120);
      await request.reply({ content: request.target });
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(Array.from({ length: 8 }, (_, i) => get(`/${i}`)).join(""));
    for (let i = 0; i < 8; i++) expect((await client.response()).text).toBe(`/${i}`);
  });

  test("requests with content, both framings, follow each other in one packet", async () => {
    it.origin.script = async (request) =>
      request.reply({ content: `${request.method} ${(await request.content()).text}` });
    using client = await RawClient.connect(it.gateway.port);
    const chunked = wire("POST /c HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", "3", "two", "0", "", "");
    client.send(post("/a", "one") + chunked + get("/d") + post("/e", "three"));
    for (const text of ["POST one", "POST two", "GET ", "POST three"])
      expect((await client.response()).text).toBe(text);
  });

  test("a request after Connection: close is not served (RFC 9112 §9.6)", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/first", "Connection: close") + get("/second"));
    expect((await client.response()).status).toBe(200);
    await client.closed();
    expect(it.origin.requests.map(({ target }) => target)).toEqual(["/first"]);
  });
});

describe("request content (RFC 9112 §6)", () => {
  test("Content-Length content arrives whole", async () => {
    const content = "x".repeat(100_000);
    it.origin.script = async (request) => request.reply({ content: String((await request.content()).octets.length) });
    expect((await exchange(it.gateway.port, post("/", content))).text).toBe("100000");
    expect((await it.origin.last.content()).text).toBe(content);
    expect(it.origin.last.field("content-length")).toBe("100000");
  });

  test("chunked content arrives whole, framed anew, without chunk extensions (RFC 9112 §7.1.1)", async () => {
    it.origin.script = async (request) => request.reply({ content: (await request.content()).text });
    const octets = wire(
      "POST / HTTP/1.1",
      "Host: a",
      "Transfer-Encoding: Chunked",
      "",
      '5;name=value;q="a\\"b;c"',
      "hello",
      "00006 ; x",
      " world",
      "0;last",
      "",
      "",
    );
    expect((await exchange(it.gateway.port, octets)).text).toBe("hello world");
    expect(it.origin.last.framing).toBe("chunked");
    expect(it.origin.last.received).not.toMatch(/name=value|last|; x/);
  });

  test("chunked requests decode the same however the octets are cut (RFC 9112 §7.1)", async () => {
    it.origin.script = async (request) => request.reply({ content: (await request.content()).text });
    const octets = wire(
      "POST /split HTTP/1.1",
      "Host: a",
      "Transfer-Encoding: chunked",
      "",
      "3;x",
      "abc",
      "A",
      "0123456789",
      "0",
      "T: v",
      "",
      "",
    );
    using client = await RawClient.connect(it.gateway.port);
    for (const pieces of everySplit(octets)) {
      await client.sendPieces(pieces, 1);
      expect(await client.response()).toMatchObject({ status: 200, text: "abc0123456789" });
    }
  });

  test("request trailers are relayed, but none that frames or routes (RFC 9110 §6.5.1)", async () => {
    it.origin.script = async (request) => {
      await request.content();
      await request.reply();
    };
    const trailers = [
      "X-Checksum: 42",
      "Content-Length: 3",
      "Transfer-Encoding: chunked",
      "Host: evil",
      "Authorization: x",
      "Connection: close",
    ];
    await exchange(
      it.gateway.port,
      wire(
        "POST / HTTP/1.1",
        "Host: a",
        "Transfer-Encoding: chunked",
        "Trailer: X-Checksum",
        "",
        "1",
        "a",
        "0",
        ...trailers,
        "",
        "",
      ),
    );
    const content = await it.origin.last.content();
    expect(content.trailers.map(([name]) => name.toLowerCase())).toEqual(["x-checksum"]);
  });

  test("a request without content carries no framing upstream", async () => {
    await exchange(it.gateway.port, get("/"));
    expect(it.origin.last.field("transfer-encoding")).toBeUndefined();
    expect(it.origin.last.field("content-length")).toBeUndefined();
  });

  test("Content-Length: 0 of a POST is kept (RFC 9110 §8.6)", async () => {
    await exchange(it.gateway.port, post("/", ""));
    expect(it.origin.last.field("content-length")).toBe("0");
  });

  test("a GET with content is relayed with it (RFC 9110 §9.3.1)", async () => {
    it.origin.script = async (request) => request.reply({ content: (await request.content()).text });
    const response = await exchange(
      it.gateway.port,
      wire("GET / HTTP/1.1", "Host: a", "Content-Length: 4", "", "body"),
    );
    expect(response.text).toBe("body");
  });

  test("a client that breaks off its content never leaves a request that looks complete", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("POST /cut HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", "5", "hello", ""));
    const request = await it.origin.next();
    await Bun.sleep(30);
    client.destroy();
    await expect(request.content()).rejects.toThrow(/end|reset/);
    expect(request.received).not.toContain("\r\n0\r\n");
  });
});

describe("response content (RFC 9112 §6.3)", () => {
  test("Content-Length content keeps its length", async () => {
    it.origin.script = (request) => request.reply({ content: "x".repeat(300_000) });
    const response = await exchange(it.gateway.port, get("/"));
    expect(response).toMatchObject({ framing: "length" });
    expect(response.octets.length).toBe(300_000);
  });

  test("chunked content is framed anew, without extensions, and with its trailers (RFC 9112 §7.1)", async () => {
    it.origin.script = (request) =>
      request.send(
        wire(
          "HTTP/1.1 200 OK",
          "Transfer-Encoding: chunked",
          "Trailer: Server-Timing",
          "",
          "5;a=b",
          "hello",
          "1",
          "!",
          "0",
          "Server-Timing: db;dur=53",
          "Content-Length: 7",
          "",
          "",
        ),
      );
    const response = await exchange(it.gateway.port, get("/", "TE: trailers", "Connection: TE"));
    expect(response).toMatchObject({ text: "hello!", framing: "chunked" });
    expect(response.trailers).toEqual([["Server-Timing", "db;dur=53"]]);
  });

  test("chunked content reaches an HTTP/1.0 client unframed, ended by the close (RFC 9112 §7)", async () => {
    it.origin.script = (request) =>
      request.send(wire("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "5", "hello", "1", "!", "0", "", ""));
    const response = await exchange(
      it.gateway.port,
      wire("GET / HTTP/1.0", "Host: a", "Connection: keep-alive", "", ""),
    );
    expect(response).toMatchObject({ text: "hello!", framing: "close" });
  });

  test("content that the origin ends by closing reaches an HTTP/1.1 client with an end of its own", async () => {
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\n\r\nfirst ");
      await Bun.sleep(20);
      await request.send("second");
      request.connection.end();
    };
    using client = await RawClient.connect(it.gateway.port);
    for (let i = 0; i < 2; i++) {
      client.send(get("/"));
      expect(await client.response()).toMatchObject({ text: "first second", framing: "chunked" });
    }
  });

  test("an HTTP/1.0 origin is understood", async () => {
    it.origin.script = async (request) => {
      await request.send("HTTP/1.0 200 Fine\r\nContent-Type: text/plain\r\n\r\nold");
      request.connection.end();
    };
    expect(await exchange(it.gateway.port, get("/"))).toMatchObject({ status: 200, version: "HTTP/1.1", text: "old" });
  });

  test.each(["length", "chunked", "close"])(
    "the response to HEAD has no content (%s) and leaves the connection usable (RFC 9110 §9.3.2)",
    async (framing) => {
      const fields = { length: "Content-Length: 1234\r\n", chunked: "Transfer-Encoding: chunked\r\n", close: "" }[
        framing
      ]!;
      it.origin.script = (request) =>
        request.method === "HEAD"
          ? request.send(`HTTP/1.1 200 OK\r\n${fields}\r\n`)
          : request.reply({ content: "next" });
      using client = await RawClient.connect(it.gateway.port);
      client.send(wire("HEAD / HTTP/1.1", "Host: a", "", "") + get("/"));
      const head = await client.response("HEAD");
      expect(head.status).toBe(200);
      if (framing === "length") expect(head.field("content-length")).toBe("1234");
      // What a GET would have is not known: RFC 9110 §8.6 allows no other number.
      else expect(head.field("content-length")).toBeUndefined();
      expect((await client.response()).text).toBe("next");
    },
  );

  test.each([
    ["204 No Content", "", 204],
    ["204 No Content", "Content-Length: 0\r\n", 204],
    ["304 Not Modified", 'Content-Length: 999\r\nETag: "a"\r\n', 304],
    ["304 Not Modified", "Transfer-Encoding: chunked\r\n", 304],
  ])(
    "%s with %j has no content and leaves the connection usable (RFC 9112 §6.3 rule 1)",
    async (status, fields, code) => {
      it.origin.script = (request) =>
        request.target === "/none"
          ? request.send(`HTTP/1.1 ${status}\r\n${fields}\r\n`)
          : request.reply({ content: "next" });
      using client = await RawClient.connect(it.gateway.port);
      client.send(get("/none") + get("/"));
      const response = await client.response();
      expect(response.status).toBe(code);
      // RFC 9110 §8.6: none of these in a 204.
      if (code === 204)
        expect([response.field("content-length"), response.field("transfer-encoding")]).toEqual([undefined, undefined]);
      expect((await client.response()).text).toBe("next");
    },
  );

  test("responses decode the same however the origin's octets are cut", async () => {
    const octets = wire(
      "HTTP/1.1 200 OK",
      "X-A: b",
      "Transfer-Encoding: chunked",
      "",
      "3;x",
      "abc",
      "2",
      "de",
      "0",
      "T: v",
      "",
      "",
    );
    let pieces: Uint8Array[] = [];
    it.origin.script = async (request) => {
      for (const piece of pieces) {
        await request.send(piece);
        await Bun.sleep(1);
      }
    };
    using client = await RawClient.connect(it.gateway.port);
    for (pieces of everySplit(octets)) {
      client.send(get("/"));
      expect(await client.response()).toMatchObject({ status: 200, text: "abcde" });
    }
  });

  test("an early final response reaches the client while its content still flows (RFC 9112 §9.5)", async () => {
    it.origin.script = async (request) => {
      await request.reply({ status: 403, reason: "Forbidden", content: "no" });
      request.connection.end();
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("POST / HTTP/1.1", "Host: a", "Content-Length: 10000000", "", "x".repeat(1000)));
    expect(await client.response("POST")).toMatchObject({ status: 403, text: "no" });
  });

  test("an early final response survives a client that goes on sending (RFC 9112 §9.6)", async () => {
    it.origin.script = async (request) => {
      await request.reply({ status: 413, reason: "Too Large", content: "enough" });
      request.connection.end();
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("POST / HTTP/1.1", "Host: a", "Content-Length: 4000000", "", "x".repeat(4_000_000)));
    expect(await client.response("POST")).toMatchObject({ status: 413, text: "enough" });
  });

  test("content goes on flowing up after the response has begun (both ways at once)", async () => {
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
      const { text } = await request.content();
      await request.send(`${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`);
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", "4", "late", ""));
    await client.until("first");
    client.send(wire("4", "r on", "0", "", ""));
    expect(await client.until("0\r\n\r\n")).toContain("later on");
  });
});

describe("the request target (RFC 9112 §3.2)", () => {
  test.each([
    ["GET http://other.example/a?b=c HTTP/1.1", "GET /a?b=c HTTP/1.1", "other.example"],
    ["GET http://other.example:8081 HTTP/1.1", "GET / HTTP/1.1", "other.example:8081"],
    ["GET http://other.example?q HTTP/1.1", "GET /?q HTTP/1.1", "other.example"],
    ["OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1", "example.com"],
    ["OPTIONS http://other.example HTTP/1.1", "OPTIONS * HTTP/1.1", "other.example"],
    ["GET /a%2Fb/%7Euser;v=1?x=%20&y={z} HTTP/1.1", "GET /a%2Fb/%7Euser;v=1?x=%20&y={z} HTTP/1.1", "example.com"],
    ["GET //double//slash HTTP/1.1", "GET //double//slash HTTP/1.1", "example.com"],
    ["GET /dots/../up HTTP/1.1", "GET /dots/../up HTTP/1.1", "example.com"],
  ])("%s goes up as %s with Host %s", async (line, expected, host) => {
    expect((await exchange(it.gateway.port, wire(line, "Host: example.com", "", ""))).status).toBe(200);
    expect(it.origin.last.head.startLine).toBe(expected);
    expect(it.origin.last.field("host")).toBe(host);
  });

  test("a method is case-sensitive and may be one nobody knows (RFC 9110 §9.1)", async () => {
    expect((await exchange(it.gateway.port, wire("bRew /pot HTTP/1.1", "Host: a", "", ""))).status).toBe(200);
    expect(it.origin.last.method).toBe("bRew");
  });
});

describe("a client that closes its half", () => {
  test("still gets its response (RFC 9112 §9.6)", async () => {
    it.origin.script = async (request) => {
      await Bun.sleep(80);
      await request.reply({ content: "late" });
    };
    using client = await RawClient.connect(it.gateway.port);
    await client.send(get("/"));
    client.halfClose();
    expect(await client.response()).toMatchObject({ status: 200, text: "late" });
    expect(await client.closed()).toBe("end");
  });

  test("gets the responses to all it pipelined", async () => {
    using client = await RawClient.connect(it.gateway.port);
    await client.send(get("/1") + get("/2") + get("/3"));
    client.halfClose();
    for (let i = 0; i < 3; i++) expect((await client.response()).status).toBe(200);
    expect(await client.closed()).toBe("end");
  });

  test("in the middle of its content has not sent a request", async () => {
    using client = await RawClient.connect(it.gateway.port);
    await client.send(wire("POST / HTTP/1.1", "Host: a", "Content-Length: 10", "", "half"));
    const request = await it.origin.next();
    client.halfClose();
    await expect(request.content()).rejects.toThrow(/end|reset/);
  });

  test("a client that goes away cancels its request at the origin", async () => {
    it.origin.script = (request) => request.connection.detach();
    using client = await RawClient.connect(it.gateway.port);
    await client.send(get("/slow"));
    const request = await it.origin.next();
    client.reset();
    expect(await request.connection.closed()).toMatch(/end|reset/);
  });
});

test("a thousand exchanges leave no connection behind", async () => {
  const before = it.gateway.sockets();
  const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(it.gateway.port)));
  await Promise.all(
    clients.map(async (client, i) => {
      for (let n = 0; n < 50; n++) {
        client.send(n % 2 === 0 ? get(`/${i}/${n}`) : post(`/${i}/${n}`, "content"));
        expect((await client.response()).status).toBe(200);
      }
    }),
  );
  for (const client of clients) client.destroy();
  // What the pool keeps toward the origin stays.
  await it.gateway.socketsAtMost(before + 20);
});

/** Interim responses and Expect (RFC 9110 §10.1.1, §15.2, RFC 8297). */
import { describe, expect, test } from "bun:test";
import { pair } from "../support/pair.ts";
import { exchange, get, RawClient, wire } from "../support/raw.ts";

/** Nobody waits for that long: what comes is the origin server's. */
const it = pair(() => ({ timeouts: { continue: "1h" } }));
const impatient = pair(() => ({ timeouts: { continue: "200ms" } }));

const expecting = wire("POST / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 5", "", "");

describe("Expect: 100-continue (RFC 9110 §10.1.1)", () => {
  test("goes up, and the origin's 100 comes down before any content is sent", async () => {
    it.origin.script = async (request) => {
      expect(request.field("expect")?.toLowerCase()).toBe("100-continue");
      await request.send("HTTP/1.1 100 Continue\r\n\r\n");
      await request.reply({ content: (await request.content()).text });
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(expecting);
    expect((await client.head()).startLine).toStartWith("HTTP/1.1 100 ");
    client.send("hello");
    const response = await client.response();
    expect(response).toMatchObject({ status: 200, text: "hello" });
    expect(response.interim).toEqual([]);
  });

  test("an origin that says nothing is not waited for longer than timeouts.continue", async () => {
    impatient.origin.script = async (request) => request.reply({ content: (await request.content()).text });
    using client = await RawClient.connect(impatient.gateway.port);
    client.send(expecting);
    expect((await client.head()).startLine).toStartWith("HTTP/1.1 100 ");
    client.send("hello");
    expect(await client.response()).toMatchObject({ status: 200, text: "hello" });
  });

  test("a final response instead of 100 reaches the client at once, and nothing asks for the content", async () => {
    it.origin.script = async (request) => {
      await request.reply({ status: 401, reason: "Unauthorized", content: "who?" });
      request.connection.end();
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(expecting);
    const response = await client.response("POST");
    expect(response).toMatchObject({ status: 401, text: "who?" });
    expect(response.interim).toEqual([]);
    // The content may still come or not: the next octets must not be taken for a request.
    if (response.field("connection") !== "close") client.send(`hello${get("/next")}`);
    else expect(await client.closed()).toMatch(/end|reset/);
  });

  test("content that comes without waiting is relayed", async () => {
    it.origin.script = async (request) => request.reply({ content: (await request.content()).text });
    expect(await exchange(it.gateway.port, `${expecting}hello`, "POST")).toMatchObject({ status: 200, text: "hello" });
  });

  test("any other expectation is refused with 417", async () => {
    expect(
      (
        await exchange(
          it.gateway.port,
          wire("POST / HTTP/1.1", "Host: a", "Expect: miracles", "Content-Length: 1", "", "a"),
          "POST",
        )
      ).status,
    ).toBe(417);
    expect(it.origin.requests).toHaveLength(0);
  });

  test("an HTTP/1.0 client gets no 100 (RFC 9110 §15.2)", async () => {
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 100 Continue\r\n\r\n");
      await request.reply({ content: (await request.content()).text });
    };
    const response = await exchange(
      it.gateway.port,
      wire("POST / HTTP/1.0", "Host: a", "Expect: 100-continue", "Content-Length: 5", "", "hello"),
      "POST",
    );
    expect(response).toMatchObject({ status: 200, text: "hello", interim: [] });
  });
});

describe("other interim responses (RFC 9110 §15.2)", () => {
  test("103 Early Hints reach the client at once, with their fields, before the final response (RFC 8297)", async () => {
    const seen = Promise.withResolvers<void>();
    it.origin.script = async (request) => {
      await request.send(wire("HTTP/1.1 103 Early Hints", "Link: </style.css>; rel=preload", "", ""));
      await seen.promise;
      await request.send(
        wire(
          "HTTP/1.1 103 Early Hints",
          "Link: </script.js>; rel=preload",
          "Link: </font>; rel=preload",
          "Connection: x-hop",
          "X-Hop: 1",
          "",
          "",
        ),
      );
      await request.reply({ content: "page" });
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/"));
    const first = await client.head();
    seen.resolve();
    expect(first.startLine).toStartWith("HTTP/1.1 103 ");
    expect(first.field("link")).toBe("</style.css>; rel=preload");
    const response = await client.response();
    expect(response).toMatchObject({ status: 200, text: "page" });
    expect(response.interim.map((head) => head.field("link"))).toEqual([
      "</script.js>; rel=preload, </font>; rel=preload",
    ]);
    expect(response.interim[0]!.field("x-hop")).toBeUndefined();
  });

  test("102 and unknown ones are relayed too", async () => {
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\nX-A: b\r\n\r\n");
      await request.reply();
    };
    const response = await exchange(it.gateway.port, get("/"));
    expect(response.interim.map(({ startLine }) => startLine.slice(9, 12))).toEqual(["102", "199"]);
  });

  test("an HTTP/1.0 client sees only the final response", async () => {
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
      await request.reply();
    };
    expect(await exchange(it.gateway.port, wire("GET / HTTP/1.0", "Host: a", "", ""))).toMatchObject({
      status: 200,
      interim: [],
    });
  });

  test("interim responses without end are not relayed for ever", async () => {
    it.origin.script = async (request) => {
      for (let i = 0; i < 3000 && !request.connection.isOver; i++)
        await request.send("HTTP/1.1 102 Processing\r\nX-Padding: aaaaaaaaaaaaaaaa\r\n\r\n");
      request.connection.end();
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/"));
    const response = await client.response();
    expect(response.status).toBe(502);
  });

  test("101 that nobody asked for is a malformed response (RFC 9110 §15.2.2)", async () => {
    it.origin.script = (request) =>
      request.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    expect((await exchange(it.gateway.port, get("/"))).status).toBe(502);
  });
});

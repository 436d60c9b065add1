/** The middlewares in the real program; their every option is tested beside their code. */
import { describe, expect, test } from "bun:test";
import { pair } from "../support/pair.ts";
import { exchange, get, post, RawClient, wire } from "../support/raw.ts";

const it = pair((origin) => ({
  upstreams: { app: origin.address, dead: { endpoints: "127.0.0.1:1", retry: 0 } },
  sites: [
    {
      name: "main",
      use: [
        "request-id",
        {
          headers: {
            request: { set: { "X-Site": "{site}", "X-Route": "{route}" }, remove: ["X-Secret"] },
            response: {
              set: { "X-Frame-Options": "DENY" },
              add: { "X-Seen": "{request.method} {request.path}" },
              remove: ["Server"],
            },
          },
        },
        {
          "error-pages": {
            pages: {
              "404": "<p>nothing at {request.path}",
              "502": { body: '{{"down":true}}', contentType: "application/json" },
            },
          },
        },
      ],
      routes: [
        { name: "api", match: "/api/*", use: [{ rewrite: { stripPrefix: "/api", addPrefix: "/v2" } }], to: "app" },
        {
          name: "replace",
          match: "/old/*",
          use: [{ rewrite: { replace: { pattern: "^/old/(\\d+)$", with: "/new/$1" } } }],
          to: "app",
        },
        { name: "moved", match: "/moved/*", use: [{ redirect: { to: "/elsewhere/{param.*}", status: 301 } }] },
        { name: "secure", match: "/secure/*", use: [{ redirect: { scheme: "https" } }] },
        {
          name: "fixed",
          match: "/fixed",
          use: [{ respond: { status: 418, body: "hello {request.query.name}\n", fields: { "X-Tea": "pot" } } }],
        },
        { name: "small", match: "/small", use: [{ "body-limit": "10B" }], to: "app" },
        { name: "hasty", match: "/hasty", use: [{ timeouts: { firstOctet: "150ms" } }], to: "app" },
        { name: "dead", match: "/dead", to: "dead" },
        { name: "missing", match: "/missing", use: [{ respond: 404 }] },
        { name: "rest", to: "app" },
      ],
    },
  ],
}));

describe("headers", () => {
  test("edits requests and responses, with variables", async () => {
    it.origin.script = (request) =>
      request.reply({ content: "x", fields: { Server: "secret/1.0", "X-Seen": "origin" } });
    const response = await exchange(it.gateway.port, get("/a", "X-Secret: 1", "X-Site: faked"));
    expect(it.origin.last.field("x-site")).toBe("main");
    expect(it.origin.last.field("x-route")).toBe("rest");
    expect(it.origin.last.field("x-secret")).toBeUndefined();
    expect(response.field("x-frame-options")).toBe("DENY");
    expect(response.head.all("x-seen")).toEqual(["origin", "GET /a"]);
    expect(response.field("server")).not.toBe("secret/1.0");
  });

  test("no variable can end a field line", async () => {
    const response = await exchange(it.gateway.port, get("/a%0d%0aSet-Cookie:%20evil=1"));
    expect(response.status).toBe(200);
    expect(response.field("set-cookie")).toBeUndefined();
  });
});

describe("rewrite", () => {
  test.each([
    ["/api/users?a=b", "/v2/users?a=b"],
    ["/api", "/v2/"],
    ["/api/a%2Fb", "/v2/a%2Fb"],
    ["/old/17?x", "/new/17?x"],
    ["/old/xx", "/old/xx"],
    ["/other/%7Euser", "/other/%7Euser"],
  ])("%s reaches the origin as %s", async (target, expected) => {
    expect((await exchange(it.gateway.port, get(target))).status).toBe(200);
    expect(it.origin.last.target).toBe(expected);
  });
});

describe("redirect", () => {
  test("to a template, keeping the query", async () => {
    const response = await exchange(it.gateway.port, get("/moved/a/b?c=d"));
    expect(response.status).toBe(301);
    expect(response.field("location")).toBe("/elsewhere/a/b?c=d");
  });

  test("to https, and never to another host", async () => {
    expect((await exchange(it.gateway.port, get("/secure/x"))).field("location")).toBe("https://example.com/secure/x");
    const { status, head } = await exchange(it.gateway.port, get("/moved//evil.example/x"));
    expect(status).toBe(301);
    expect(head.field("location")).not.toMatch(/^\/\//);
  });
});

test("respond answers with fixed content, and HEAD gets its fields alone", async () => {
  const response = await exchange(it.gateway.port, get("/fixed?name=you"));
  expect(response).toMatchObject({ status: 418, text: "hello you\n" });
  expect(response.field("x-tea")).toBe("pot");
  using client = await RawClient.connect(it.gateway.port);
  client.send(wire("HEAD /fixed HTTP/1.1", "Host: a", "", "") + get("/fixed?name=2"));
  expect((await client.response("HEAD")).field("content-length")).toBe("7");
  expect((await client.response()).text).toBe("hello 2\n");
});

test("respond discards request content, and the connection goes on", async () => {
  using client = await RawClient.connect(it.gateway.port);
  client.send(post("/fixed", "x".repeat(50_000)) + get("/fixed"));
  expect((await client.response("POST")).status).toBe(418);
  expect((await client.response()).status).toBe(418);
});

test("body-limit refuses declared and counted content over its size, and may allow less than the site", async () => {
  it.origin.script = async (request) => {
    await request.content();
    await request.reply();
  };
  expect((await exchange(it.gateway.port, post("/small", "0123456789"))).status).toBe(200);
  expect((await exchange(it.gateway.port, post("/small", "0123456789a"))).status).toBe(413);
  const chunked = wire(
    "POST /small HTTP/1.1",
    "Host: a",
    "Transfer-Encoding: chunked",
    "",
    "8",
    "01234567",
    "8",
    "01234567",
    "0",
    "",
    "",
  );
  expect((await exchange(it.gateway.port, chunked)).status).toBe(413);
});

test("timeouts replaces the gateway's for one route", async () => {
  it.origin.script = (request) => request.connection.detach();
  expect((await exchange(it.gateway.port, get("/hasty"))).status).toBe(504);
});

describe("request-id", () => {
  test("reaches origin, client and log, and an untrusted client's own is replaced", async () => {
    await it.gateway.skipLog();
    const response = await exchange(it.gateway.port, get("/", "X-Request-Id: mine"));
    const id = response.field("x-request-id")!;
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(it.origin.last.field("x-request-id")).toBe(id);
    expect((await it.gateway.logLine())["requestId"]).toBe(id);
  });
});

describe("error-pages", () => {
  test("answers failures of the gateway with its own pages", async () => {
    await it.gateway.skipLog();
    const response = await exchange(it.gateway.port, get("/dead"));
    expect(response).toMatchObject({ status: 502, text: '{"down":true}' });
    expect(response.field("content-type")).toBe("application/json");
    expect(await it.gateway.logLine()).toMatchObject({ status: 502, outcome: { code: "upstream-connect-refused" } });
  });

  test("escapes what the request brings in", async () => {
    const response = await exchange(it.gateway.port, get("/missing"));
    expect(response).toMatchObject({ status: 404, text: "<p>nothing at /missing" });
  });

  test("leaves the origin's own errors alone", async () => {
    it.origin.script = (request) => request.reply({ status: 404, reason: "Not Found", content: "the application's" });
    expect(await exchange(it.gateway.port, get("/x"))).toMatchObject({ status: 404, text: "the application's" });
  });
});

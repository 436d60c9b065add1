/** What a gateway drops and adds on the way (RFC 9110 §7.6, RFC 7239). */
import { describe, expect, test } from "bun:test";
import { Gateway } from "../support/gateway.ts";
import { pair } from "../support/pair.ts";
import { exchange, get, wire } from "../support/raw.ts";

const it = pair();

describe("connection-specific fields go no further (RFC 9110 §7.6.1)", () => {
  test("those of the request", async () => {
    await exchange(
      it.gateway.port,
      get(
        "/",
        "Connection: keep-alive, X-Hop, x-other",
        "X-Hop: 1",
        "X-Other: 2",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Upgrade: x",
        "TE: gzip",
        "X-End: 3",
      ),
    );
    const { last } = it.origin;
    for (const name of ["connection", "x-hop", "x-other", "keep-alive", "proxy-connection", "upgrade", "te"])
      expect([name, last.field(name)]).toEqual([name, undefined]);
    expect(last.field("x-end")).toBe("3");
  });

  test("those of the response", async () => {
    it.origin.script = (request) =>
      request.reply({
        content: "x",
        fields: {
          Connection: "X-Hop",
          "X-Hop": "1",
          "Keep-Alive": "timeout=5",
          "Proxy-Connection": "close",
          Upgrade: "h2",
          "X-End": "3",
        },
      });
    const response = await exchange(it.gateway.port, get("/"));
    for (const name of ["x-hop", "keep-alive", "proxy-connection", "upgrade"])
      expect([name, response.field(name)]).toEqual([name, undefined]);
    expect(response.field("x-end")).toBe("3");
  });

  test.each(["Host", "Content-Length", "X-Forwarded-For", "Authorization", "Cookie"])(
    "an option named %s cannot take away what others rely on",
    async (name) => {
      const octets = wire(
        "POST / HTTP/1.1",
        "Host: example.com",
        "Content-Length: 4",
        `Connection: ${name}`,
        "Authorization: Basic x",
        "Cookie: a=b",
        "",
        "body",
      );
      const response = await exchange(it.gateway.port, octets);
      expect(response.status).toBe(200);
      expect(it.origin.last.field("host")).toBe("example.com");
      expect(it.origin.last.field("x-forwarded-for")).toBe("127.0.0.1");
      expect((await it.origin.last.content()).text).toBe("body");
    },
  );

  test("TE: trailers is told onward, other codings are not (RFC 9110 §10.1.4)", async () => {
    await exchange(it.gateway.port, get("/", "TE: trailers, deflate;q=0.5", "Connection: TE"));
    expect(it.origin.last.field("te")).toBe("trailers");
    expect(it.origin.last.field("connection")?.toLowerCase()).toBe("te");
  });

  test("Proxy-Authorization is for us, Authorization for the origin (RFC 9110 §11.7.2)", async () => {
    await exchange(it.gateway.port, get("/", "Authorization: Basic b3JpZ2lu"));
    expect(it.origin.last.field("authorization")).toBe("Basic b3JpZ2lu");
  });
});

describe("forwarded fields", () => {
  test("say who the client is and what it asked for; a stranger's own are dropped (RFC 7239)", async () => {
    await exchange(
      it.gateway.port,
      wire(
        "GET / HTTP/1.1",
        "Host: shop.example:8080",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil",
        "X-Forwarded-Port: 1",
        "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "",
        "",
      ),
    );
    const { last } = it.origin;
    expect(last.head.all("x-forwarded-for")).toEqual(["127.0.0.1"]);
    expect(last.head.all("x-forwarded-proto")).toEqual(["http"]);
    expect(last.head.all("x-forwarded-host")).toEqual(["shop.example:8080"]);
    expect(last.head.all("x-forwarded-port")).toEqual(["8080"]);
    expect(last.head.all("x-real-ip")).toEqual(["127.0.0.1"]);
    expect(last.head.all("forwarded")).toHaveLength(1);
    expect(last.field("forwarded")).toMatch(/for="?127\.0\.0\.1"?/);
    expect(last.field("forwarded")).toMatch(/host="shop\.example:8080"/);
    expect(last.field("forwarded")).toMatch(/proto=http/);
    expect(last.head.text).not.toMatch(/6\.6\.6\.6|evil/);
  });

  test("change from request to request on one connection", async () => {
    const response = await exchange(
      it.gateway.port,
      wire("GET / HTTP/1.1", "Host: a", "", "") + wire("GET / HTTP/1.1", "Host: b", "", ""),
    );
    expect(response.status).toBe(200);
    await Bun.sleep(20);
    expect(it.origin.requests.map((request) => request.field("x-forwarded-host"))).toEqual(["a", "b"]);
  });

  test("Via names the protocol received and us, after who came before (RFC 9110 §7.6.3)", async () => {
    await exchange(it.gateway.port, get("/", "Via: 1.0 fred"));
    expect(it.origin.last.field("via")).toMatch(/^1\.0 fred, 1\.1 \S+$/);
    await exchange(it.gateway.port, wire("GET / HTTP/1.0", "Host: a", "", ""));
    expect(it.origin.last.field("via")).toMatch(/^1\.0 \S+$/);
  });

  test("Host is the client's by default, and appears once, whatever came", async () => {
    await exchange(it.gateway.port, wire("GET / HTTP/1.1", "X: 1", "HOST: Shop.Example:8080", "", ""));
    expect(it.origin.last.head.all("host")).toHaveLength(1);
    expect(it.origin.last.field("host")?.toLowerCase()).toBe("shop.example:8080");
  });

  test("underscores do not pass for hyphens in what we vouch for", async () => {
    await exchange(it.gateway.port, get("/", "X_Forwarded_For: 6.6.6.6", "X_Real_IP: 6.6.6.6"));
    // A CGI-style origin server reads X_Real_IP and X-Real-IP as the same variable.
    expect(it.origin.last.field("x-forwarded-for")).toBe("127.0.0.1");
    expect(it.origin.last.head.text).not.toContain("X_Real_IP");
    expect(it.origin.last.head.text).not.toContain("X_Forwarded_For");
  });
});

test("trusted proxies are believed, and the client is found walking from the right", async () => {
  await using gateway = await Gateway.start({
    trustedProxies: ["127.0.0.0/8", "10.0.0.0/8"],
    upstreams: { app: it.origin.address },
    sites: [{ use: [{ headers: { request: { set: { "X-Client": "{client.address}" } } } }], to: "app" }],
  });
  for (const [given, client] of [
    ["X-Forwarded-For: 203.0.113.7", "203.0.113.7"],
    ["X-Forwarded-For: 203.0.113.7, 10.1.1.1", "203.0.113.7"],
    ["X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.1.1.1, 10.2.2.2", "203.0.113.7"],
    ["X-Forwarded-For: 203.0.113.7:5050", "203.0.113.7"],
    ["X-Forwarded-For: 2001:db8::7", "2001:db8::7"],
    ["X-Forwarded-For: 10.9.9.9, 10.1.1.1", "10.9.9.9"],
    ["X-Forwarded-For: nonsense, 10.1.1.1", "10.1.1.1"],
    ["X-Forwarded-For: nonsense", "127.0.0.1"],
    ['Forwarded: for=203.0.113.7;proto=https, for="[2001:db8::1]:80"', "2001:db8::1"],
    ["X-Other: 1", "127.0.0.1"],
  ] as const) {
    await exchange(gateway.port, get("/", given, "X-Forwarded-Proto: https"));
    expect([given, it.origin.last.field("x-client")]).toEqual([given, client]);
    expect(it.origin.last.field("x-forwarded-proto")).toBe("https");
    if (given.startsWith("X-Forwarded-For"))
      expect(it.origin.last.field("x-forwarded-for")).toBe(`${given.slice(17)}, 127.0.0.1`);
    expect(it.origin.last.field("x-real-ip")).toBe(client);
    expect((await gateway.logLine())["client"]).toBe(client);
  }
});

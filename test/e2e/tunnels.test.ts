/** Upgrades and CONNECT (RFC 9110 §7.8, §9.3.6, RFC 6455). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Gateway, SMALL_HEAP } from "../support/gateway.ts";
import { pair } from "../support/pair.ts";
import { exchange, get, RawClient, wire } from "../support/raw.ts";

const MIB = 1024 * 1024;
const support = join(import.meta.dir, "../support");
/** Of the route /idle. */
const IDLE_MS = 500;

/** Tunnels that a test leaves behind do not hold up the end. */
const timeouts = { drain: "200ms" };
const it = pair(
  (origin) => ({
    timeouts,
    upstreams: { app: origin.address },
    sites: [
      {
        routes: [
          { match: "/idle", use: [{ timeouts: { tunnelIdle: `${IDLE_MS}ms` } }], to: "app" },
          { match: "/*", to: "app" },
        ],
      },
    ],
  }),
  { env: SMALL_HEAP },
);

/** Opens a tunnel of protocol "echo/1"; the origin's end is `request.connection`. */
async function openTunnel(client: RawClient, target = "/tunnel") {
  it.origin.script = async (request) => {
    request.connection.detach();
    await request.send(
      wire("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: echo/1", "X-From: origin", "", ""),
    );
  };
  client.send(get(target, "Connection: Upgrade", "Upgrade: echo/1"));
  const request = await it.origin.next();
  const head = await client.head();
  expect(head.startLine).toStartWith("HTTP/1.1 101 ");
  return { head, request, origin: request.connection };
}

describe("a foreign Upgrade (RFC 9110 §7.8)", () => {
  test("is offered to the origin with its fields, and 101 comes back with its own", async () => {
    using client = await RawClient.connect(it.gateway.port);
    const { head, request } = await openTunnel(client);
    expect(request.field("upgrade")).toBe("echo/1");
    expect(request.field("connection")?.toLowerCase()).toBe("upgrade");
    expect(head.field("upgrade")).toBe("echo/1");
    expect(head.field("connection")?.toLowerCase()).toBe("upgrade");
    expect(head.field("x-from")).toBe("origin");
  });

  test("octets flow both ways at once, as they come", async () => {
    using client = await RawClient.connect(it.gateway.port);
    const { origin } = await openTunnel(client);
    for (let i = 0; i < 5; i++) {
      await client.send(`up ${i}\0\xff`);
      await origin.inbox.until(() => (origin.inbox.pending.includes(`up ${i}`) ? true : null), "the octets");
      await origin.send(`down ${i}\r\n`);
      await client.until(`down ${i}\r\n`);
    }
  });

  test("octets sent right behind the request and right behind the 101 are not lost", async () => {
    it.origin.script = async (request) => {
      request.connection.detach();
      await request.send(
        `${wire("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: echo/1", "", "")}early down`,
      );
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(`${get("/", "Connection: upgrade", "Upgrade: echo/1")}early up`);
    await client.head();
    await client.until("early down");
    const { inbox } = it.origin.last.connection;
    await inbox.until(() => (inbox.pending.includes("early up") ? true : null), "early octets");
  });

  test("the client's half-close reaches the origin, which may still talk", async () => {
    using client = await RawClient.connect(it.gateway.port);
    const { origin } = await openTunnel(client);
    await client.send("last words");
    client.halfClose();
    expect(await origin.closed(1000)).toBe("end");
    await origin.send("an answer");
    await client.until("an answer");
    origin.end();
    expect(await client.closed(1000)).toBe("end");
  });

  test("the origin's half-close reaches the client, which may still talk", async () => {
    using client = await RawClient.connect(it.gateway.port);
    const { origin } = await openTunnel(client);
    await origin.send("bye");
    origin.end();
    await client.until("bye");
    expect(await client.closed(1000)).toBe("end");
    await client.send("after it");
    await origin.inbox.until(
      () => (origin.inbox.pending.includes("after it") ? true : null),
      "octets after the half-close",
    );
    client.halfClose();
    expect(await origin.closed(1000)).toBe("end");
  });

  test("a reset on one side ends the other", async () => {
    using client = await RawClient.connect(it.gateway.port);
    const { origin } = await openTunnel(client);
    client.reset();
    expect(await origin.closed(1000)).toMatch(/end|reset/);
  });

  test("a tunnel where nothing moves ends after timeouts.tunnelIdle, and the log says so", async () => {
    using client = await RawClient.connect(it.gateway.port);
    const { origin } = await openTunnel(client, "/idle");
    expect(await client.closed()).toMatch(/end|reset/);
    expect(await origin.closed()).toMatch(/end|reset/);
    expect(await it.gateway.logOf("/idle")).toMatchObject({
      status: 101,
      outcome: { phase: "tunnel", code: "tunnel-idle" },
    });
  });

  test("a side that takes nothing stops the other, and memory stays bounded", async () => {
    using client = await RawClient.connect(it.gateway.port);
    const { origin } = await openTunnel(client);
    const before = it.gateway.residentOctets();
    client.pause();
    const piece = Buffer.alloc(256 * 1024, "t");
    let sent = 0;
    const pouring = (async () => {
      while (sent < 128 * MIB && origin.inbox.ended === null) {
        await origin.send(piece);
        sent += piece.length;
      }
    })();
    for (let before = -1; before !== sent || before === 0; await Bun.sleep(300)) before = sent;
    expect(sent).toBeLessThan(32 * MIB);
    client.countOnly = true;
    client.resume();
    await pouring;
    while (client.receivedOctets < sent && client.isOpen) await Bun.sleep(5);
    expect(client.receivedOctets).toBeGreaterThanOrEqual(sent);
    expect(it.gateway.residentOctets() - before).toBeLessThan(20 * MIB);
  }, 30_000);

  test("an origin that answers otherwise has refused, and the connection goes on as HTTP", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(
      get(
        "/",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ),
    );
    expect(await client.response()).toMatchObject({ status: 200, text: "hello" });
    client.send(get("/next"));
    expect((await client.response()).status).toBe(200);
  });

  test("Upgrade without the connection option is only a field (RFC 9110 §7.8)", async () => {
    expect((await exchange(it.gateway.port, get("/", "Upgrade: echo/1"))).status).toBe(200);
    expect(it.origin.last.field("upgrade")).toBeUndefined();
  });

  test("an HTTP/1.0 request cannot upgrade", async () => {
    expect(
      (
        await exchange(
          it.gateway.port,
          wire("GET / HTTP/1.0", "Host: a", "Connection: upgrade", "Upgrade: echo/1", "", ""),
        )
      ).status,
    ).toBe(200);
    expect(it.origin.last.field("upgrade")).toBeUndefined();
  });

  test("an upgrade to HTTP/2 is not offered to the origin (h2c smuggling)", async () => {
    expect(
      (
        await exchange(
          it.gateway.port,
          get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        )
      ).status,
    ).toBe(200);
    for (const { head } of it.origin.requests) expect(head.text.toLowerCase()).not.toMatch(/h2c|http2-settings/);
  });
});

describe("CONNECT (RFC 9110 §9.3.6)", () => {
  test("is refused with 405 unless a route allows it", async () => {
    const response = await exchange(
      it.gateway.port,
      wire("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443", "", ""),
      "GET",
    );
    expect(response.status).toBe(405);
    expect(it.origin.requests).toHaveLength(0);
  });

  test.each(["CONNECT / HTTP/1.1", "CONNECT example.com HTTP/1.1", "CONNECT http://a/ HTTP/1.1"])(
    "%s has no authority and port (RFC 9112 §3.2.3)",
    async (line) => {
      expect((await exchange(it.gateway.port, wire(line, "Host: example.com:443", "", ""), "GET")).status).toBe(400);
    },
  );
});

describe("WebSocket with the ws package at both ends (RFC 6455)", () => {
  let server: Bun.Subprocess<"ignore", "pipe", "inherit">;
  let gateway: Gateway;

  beforeAll(async () => {
    server = Bun.spawn(["node", join(support, "websocket-server.mjs")], {
      stdout: "pipe",
      stderr: "inherit",
      stdin: "ignore",
    });
    const { value } = await server.stdout.getReader().read();
    gateway = await Gateway.start({
      upstreams: { sockets: `127.0.0.1:${Number(new TextDecoder().decode(value))}` },
      sites: [{ to: "sockets" }],
    });
  });
  afterAll(async () => {
    server.kill();
    await gateway?.stop();
  });

  async function talk(
    messages: readonly string[],
  ): Promise<{ received: (string | number)[]; protocol: string; code: number; reason: string }> {
    const url = `${gateway.url().replace("http", "ws")}/socket?a=b`;
    const client = Bun.spawn(["node", join(support, "websocket-client.mjs"), url, JSON.stringify(messages)], {
      stdout: "pipe",
      stderr: "inherit",
      stdin: "ignore",
    });
    return JSON.parse(await new Response(client.stdout).text()) as Awaited<ReturnType<typeof talk>>;
  }

  test("messages of all sizes are echoed, and the close is the client's", async () => {
    const messages = ["", "hello", "€uro", "x".repeat(125), "y".repeat(126), "z".repeat(70_000)];
    expect(await talk(messages)).toEqual({ received: messages, protocol: "lintel", code: 1000, reason: "done" });
  });

  test("the server's close code and reason reach the client", async () => {
    expect(await talk(["one", "close"])).toEqual({
      received: ["one"],
      protocol: "lintel",
      code: 4001,
      reason: "as you wish",
    });
  });

  test("pings are answered end to end", async () => {
    expect((await talk(["ping"])).received).toEqual(["pong are you there"]);
  });

  test("16 MiB in one message arrive", async () => {
    expect((await talk([`big:${16 * MIB}`])).received).toEqual([16 * MIB]);
  });

  test("the server sees the request as any other, with the forwarded fields", async () => {
    const [seen] = (await talk(["request"])).received;
    const { url, headers } = JSON.parse(String(seen)) as { url: string; headers: Record<string, string> };
    expect(url).toBe("/socket?a=b");
    expect(headers["x-forwarded-for"]).toBe("127.0.0.1");
    expect(headers["sec-websocket-version"]).toBe("13");
  });
});

describe("CONNECT where it is allowed", () => {
  const allowing = pair((origin) => ({
    timeouts,
    listeners: [{ address: "127.0.0.1:0", allowConnect: true }],
    upstreams: { app: origin.address },
    sites: [
      { name: "one", hosts: ["allowed.example"], routes: [{ match: { method: "CONNECT" }, to: "app" }] },
      { name: "other", hosts: ["other.example"], routes: [{ match: { path: "/*", method: "GET" }, to: "app" }] },
    ],
  }));
  const connect = (authority: string) => wire(`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`, "", "");

  test("a route takes it, and a 2xx makes the tunnel", async () => {
    allowing.origin.script = async (request) => {
      request.connection.detach();
      await request.send("HTTP/1.1 200 OK\r\n\r\nearly");
    };
    using client = await RawClient.connect(allowing.gateway.port);
    client.send(connect("allowed.example:443"));
    const head = await client.head();
    expect(head.startLine).toStartWith("HTTP/1.1 200 ");
    expect([head.field("content-length"), head.field("transfer-encoding")]).toEqual([undefined, undefined]);
    await client.until("early");
    expect(allowing.origin.last.head.startLine).toBe("CONNECT allowed.example:443 HTTP/1.1");
    client.send("up");
    const { inbox } = allowing.origin.last.connection;
    await inbox.until(() => (inbox.pending.includes("up") ? true : null), "octets");
  });

  test("a refusal is an ordinary response", async () => {
    allowing.origin.script = (request) => request.reply({ status: 403, content: "no" });
    using client = await RawClient.connect(allowing.gateway.port);
    client.send(connect("allowed.example:443") + get("/next"));
    expect(await client.response("CONNECT")).toMatchObject({ status: 403, text: "no" });
  });

  test("a host whose routes take no CONNECT refuses it", async () => {
    expect((await exchange(allowing.gateway.port, connect("other.example:443"))).status).toBe(404);
    expect(allowing.origin.requests).toHaveLength(0);
  });
});

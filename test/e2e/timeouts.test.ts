/** Each timeout fires by itself, with its own status, and the log says which one it was. */
import { describe, expect, test } from "bun:test";
import { familyOf } from "../../src/net/address.ts";
import { libc, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from "../../src/net/libc.ts";
import { LOOPBACK, listening } from "../../src/net/testing.ts";
import { Gateway } from "../support/gateway.ts";
import type { Script } from "../support/origin.ts";
import { pair } from "../support/pair.ts";
import { exchange, get, RawClient, wire } from "../support/raw.ts";

const HEAD = 400;
const CONTENT_IDLE = 1500;
const KEEP_ALIVE = 500;
const SEND = 600;
const FIRST_OCTET = 700;
const UPSTREAM_IDLE = 1200;
const EXCHANGE = 900;

const it = pair((origin) => ({
  timeouts: {
    head: `${HEAD}ms`,
    contentIdle: `${CONTENT_IDLE}ms`,
    contentRate: "1000B",
    keepAlive: `${KEEP_ALIVE}ms`,
    send: `${SEND}ms`,
    firstOctet: `${FIRST_OCTET}ms`,
    upstreamIdle: `${UPSTREAM_IDLE}ms`,
  },
  upstreams: { app: { endpoints: origin.address, retry: 0 } },
  sites: [
    {
      to: "app",
      routes: [
        {
          match: "/limited/*",
          use: [{ timeouts: { exchange: `${EXCHANGE}ms`, firstOctet: "10s", upstreamIdle: "10s" } }],
          to: "app",
        },
      ],
    },
  ],
}));

async function codeOfNextLine(): Promise<unknown> {
  const line = await it.gateway.logLine();
  return (line["outcome"] as Record<string, unknown>)["code"];
}

/** An origin that waits for the whole content, as most do. */
const afterContent: Script = async (request) => {
  await request.content();
  await request.reply();
};

describe("waiting for the client", () => {
  test("a head that does not come to its end gets 408 (RFC 9110 §15.5.9)", async () => {
    await it.gateway.skipLog();
    using client = await RawClient.connect(it.gateway.port);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Slow");
    const response = await client.response();
    expect(response.status).toBe(408);
    expect(response.field("connection")).toBe("close");
    expect(await client.closed()).toMatch(/end|reset/);
    expect(await codeOfNextLine()).toBe("head-timeout");
  });

  test("a head that drips is cut while it drips: the limit is on the whole", async () => {
    await it.gateway.skipLog();
    using client = await RawClient.connect(it.gateway.port);
    const dripping = (async () => {
      for (let i = 0; client.isOpen && client.receivedOctets === 0; i++) {
        client.send(i === 0 ? "GET / HTTP/1.1\r\nHost: a\r\nX: " : "a");
        await Bun.sleep(40);
      }
    })();
    expect((await client.response()).status).toBe(408);
    await dripping;
    expect(await codeOfNextLine()).toBe("head-timeout");
  });

  test("a connection that never says anything is closed without an answer", async () => {
    using client = await RawClient.connect(it.gateway.port);
    expect(await client.untilClose()).toBe("");
  });

  test("an idle connection is closed after timeouts.keepAlive, without an answer", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/"));
    await client.response();
    expect(await client.untilClose()).toBe("");
  });

  test("content that stops coming gets 408, and the origin never sees it complete", async () => {
    await it.gateway.skipLog();
    it.origin.script = afterContent;
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("POST / HTTP/1.1", "Host: a", "Content-Length: 100", "", "some"));
    expect((await client.response()).status).toBe(408);
    expect(await codeOfNextLine()).toBe("content-timeout");
    expect(await it.origin.last.connection.closed()).toMatch(/end|reset/);
  });

  test("content slower than timeouts.contentRate gets 408 after 5 s of grace (slow loris)", async () => {
    await it.gateway.skipLog();
    it.origin.script = afterContent;
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("POST / HTTP/1.1", "Host: a", "Content-Length: 100000", "", ""));
    const dripping = (async () => {
      while (client.isOpen && client.receivedOctets === 0) {
        client.send("drip");
        await Bun.sleep(100);
      }
    })();
    expect((await client.response("POST", 25_000)).status).toBe(408);
    await dripping;
    expect(await codeOfNextLine()).toBe("content-too-slow");
  }, 40_000);

  test("a client that takes nothing is given up after timeouts.send", async () => {
    await it.gateway.skipLog();
    it.origin.script = async (request) => {
      request.connection.detach();
      await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${100 * 1024 * 1024}\r\n\r\n`);
      const piece = Buffer.alloc(1024 * 1024);
      while (!request.connection.inbox.ended) await request.send(piece);
    };
    using client = await RawClient.connect(it.gateway.port);
    client.pause();
    client.send(get("/limited/not"));
    const line = await it.gateway.logLine();
    expect((line["outcome"] as Record<string, unknown>)["code"]).toBe("client-stalled");
  });
});

describe("waiting for the origin", () => {
  test("no first octet gets 504 (RFC 9110 §15.6.5)", async () => {
    await it.gateway.skipLog();
    it.origin.script = (request) => request.connection.detach();
    expect((await exchange(it.gateway.port, get("/"))).status).toBe(504);
    expect(await codeOfNextLine()).toBe("upstream-first-octet-timeout");
    expect(await it.origin.last.connection.closed()).toMatch(/end|reset/);
  });

  test("a response that stops is cut, never completed", async () => {
    await it.gateway.skipLog();
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
      request.connection.detach();
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/"));
    await expect(client.response()).rejects.toThrow(/^(end|reset) of the connection/);
    expect(await codeOfNextLine()).toBe("upstream-idle-timeout");
  });

  test("a response that drips goes on as long as it drips", async () => {
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
      await request.connection.drip("0123456789", UPSTREAM_IDLE / 6);
    };
    expect((await exchange(it.gateway.port, get("/"))).text).toBe("0123456789");
  });

  test("timeouts.exchange ends the whole with 504, however lively it is", async () => {
    await it.gateway.skipLog();
    it.origin.script = async (request) => {
      while (request.connection.inbox.ended === null) {
        await request.send("HTTP/1.1 102 Processing\r\n\r\n");
        await Bun.sleep(50);
      }
    };
    expect((await exchange(it.gateway.port, get("/limited/a"))).status).toBe(504);
    expect(await codeOfNextLine()).toBe("exchange-timeout");
  });

  test("an endpoint that does not take the connection gets 504 after timeouts.connect", async () => {
    using full = new FullEndpoint();
    await using gateway = await Gateway.start({
      upstreams: { full: { endpoints: full.address, timeouts: { connect: "300ms" } } },
      sites: [{ to: "full" }],
    });
    expect((await exchange(gateway.port, get("/"))).status).toBe(504);
    expect(JSON.stringify(await gateway.logLine())).toContain("upstream-connect-timeout");
  });
});

/** Listens with no room in its queue, and that filled: the kernel drops what else wants to connect. */
class FullEndpoint {
  readonly #fds: number[];
  readonly address: string;

  constructor() {
    const { fd, address, sockaddr } = listening(LOOPBACK, 0);
    this.#fds = [fd];
    this.address = address.kind === "tcp" ? `${address.host}:${address.port}` : "";
    for (let i = 0; i < 4; i++) {
      const client = libc.socket(familyOf(sockaddr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      libc.connect(client, sockaddr, sockaddr.length);
      this.#fds.push(client);
    }
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) libc.close(fd);
  }
}

/**
 * HTTP/3 through the whole program. Clients are ngtcp2's, and one on the runtime's QUIC in a process of its own, for
 * what the other cannot be told to do. Chromium is in browser.test.ts.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../src/acme/testing.ts";
import { needs, program, ROOT } from "../../src/base/testing.ts";
import { freePortBelow1024 } from "../../src/net/testing.ts";
import { curlPath } from "../support/curl.ts";
import { descendants, Gateway, residentOctets, type TestConfig } from "../support/gateway.ts";
import { Http3Client } from "../support/http3-client.ts";
import { Ngtcp2Client, ngtcp2Path } from "../support/ngtcp2.ts";
import { Origin } from "../support/origin.ts";
import { CertificateFolder } from "../support/tls.ts";
import { until } from "../support/until.ts";

const files = new CertificateFolder();
const { authority } = files;
const page = authority.issue(["page.test"], { subject: "page" });
/** A state folder that another user may write in. */
const openState = join(tmpdir(), `lintel-http3-${process.pid}`);
let origin: Origin;
let gateway: Gateway;
const clients: Http3Client[] = [];

const config = (): TestConfig => ({
  workers: 1,
  timeouts: { drain: "10s" },
  listeners: [
    { name: "web", address: "127.0.0.1:0", tls: true, http3: { maxAge: "1h" } },
    { name: "strict", address: "127.0.0.1:0", tls: { unknownNames: "refuse" }, http3: { earlyData: true } },
    { name: "quiet", address: "127.0.0.1:0", tls: true, http3: { advertise: false } },
    { name: "tcp", address: "127.0.0.1:0", tls: true },
  ],
  tls: {
    redirect: false,
    certificates: [
      files.put("site", authority.issue(["localhost", "a.test", "staff.test"], { subject: "site" })),
      files.put("page", page),
      files.put("wild", authority.issue(["*.wild.test"], { subject: "wild" })),
    ],
  },
  limits: { http3: { held: "64MiB" }, content: "off" },
  upstreams: { app: { endpoints: `127.0.0.1:${origin.port}` } },
  sites: [
    { name: "staff", hosts: "staff.test", to: "app", tls: { clientAuth: { ca: files.file("ca.pem") } } },
    { name: "rest", to: "app" },
  ],
});

const portOf = (name: string, of = gateway) => Number(new URL(of.url(`listener=${name}`)).port);

async function connect(name = "web", serverName = "a.test", of = gateway): Promise<Http3Client> {
  const client = await Http3Client.connect(portOf(name, of), serverName);
  clients.push(client);
  return client;
}

/** The process that serves HTTP/3: the one that has taken the UDP port. */
function quicProcess(of = gateway, name = "web"): number {
  const hexPort = portOf(name, of).toString(16).toUpperCase().padStart(4, "0");
  const row = readFileSync("/proc/net/udp", "latin1")
    .split("\n")
    .find((line) => line.includes(`0100007F:${hexPort} `));
  const inode = row?.trim().split(/\s+/)[9];
  const holder = descendants(of.pid).find((pid) => {
    const { stdout } = Bun.spawnSync(["ls", "-l", `/proc/${pid}/fd`]);
    return inode !== undefined && stdout.toString().includes(`socket:[${inode}]`);
  });
  return holder ?? 0;
}

beforeAll(async () => {
  origin = await Origin.start();
  gateway = await Gateway.start(config());
}, 40_000);

afterEach(() => {
  for (const client of clients.splice(0)) client[Symbol.dispose]();
  origin.clear();
});

afterAll(async () => {
  await gateway?.stop();
  origin?.stop();
  files.remove();
});

describe("a request", () => {
  test("reaches the origin server with what a gateway says of its client, and is logged as HTTP/3", async () => {
    const client = await connect();
    const answer = await client.request("/x?y=1", { fields: { cookie: ["a=1", "b=2"] } }).over();
    expect([answer.status, answer.text, answer.field("via")]).toEqual([200, "hello", "1.1 lintel"]);
    const { head } = origin.last;
    expect(head.startLine).toBe("GET /x?y=1 HTTP/1.1");
    expect(head.field("cookie")).toBe("a=1; b=2");
    expect(head.field("x-forwarded-proto")).toBe("https");
    expect(head.field("x-real-ip")).toBe("127.0.0.1");
    expect(head.field("via")).toBe("3 lintel");
    const line = await gateway.logOf("/x?y=1");
    expect(line).toMatchObject({ protocol: "HTTP/3", status: 200 });
    // Counted in a slot of its own, which a scrape adds to those of the workers.
    const counted = [...(await gateway.metrics())].find(
      ([name]) => name.startsWith("lintel_connections_total{") && name.includes('"web"'),
    );
    expect(counted?.[1]).toBeGreaterThan(0);
  });

  test("with content and trailers arrives whole, and so does its response", async () => {
    origin.script = async (request) => {
      const content = await request.content();
      await request.send(
        "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n" +
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n" +
          `${content.octets.length.toString(16)}\r\n${content.octets.toString("latin1")}\r\n0\r\nX-Sum: 7\r\n\r\n`,
      );
    };
    const content = Buffer.alloc(300_000, "0123456789");
    const client = await connect();
    const answer = await client
      .request("/echo", { content: new Uint8Array(content), trailers: { "x-client": "1" }, fields: { te: "trailers" } })
      .over();
    expect(answer.text === content.toString("latin1")).toBe(true);
    expect(answer.interim).toEqual([{ ":status": "103", link: "</s.css>" }]);
    expect(answer.field("set-cookie")).toEqual(["a=1", "b=2"]);
    expect([answer.trailers, answer.cut]).toEqual([{ "x-sum": "7" }, null]);
    await until(
      () => origin.last.received.toLowerCase().endsWith("0\r\nx-client: 1\r\n\r\n"),
      "the request's trailers",
    );
  });

  test.each([
    ["HEAD", 200, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "1000"],
    ["GET", 204, "HTTP/1.1 204 No Content\r\n\r\n", undefined],
    ["GET", 304, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", "1000"],
  ])("%s with answer %i has no content", async (method, status, reply, length) => {
    origin.script = (request) => request.send(reply);
    const answer = await (await connect()).request("/none", { method }).over();
    expect([answer.status, answer.octets, answer.cut, answer.field("content-length")]).toEqual([
      status,
      0,
      null,
      length!,
    ]);
  });

  test("that could smuggle another one ends its stream, and the origin server sees nothing of it", async () => {
    const client = await connect();
    for (const fields of [
      { "x-a": "b\r\nx: y" },
      { ":path": "/a b" },
      { ":path": "/ HTTP/1.1\r\nx: y" },
      { host: "b.test" },
    ]) {
      const answer = await client.request("/bad", { fields }).over();
      expect([answer.status, answer.cut]).toEqual([0, 0x10e]);
    }
    expect(origin.requests).toHaveLength(0);
    expect((await client.request("/good").over()).status).toBe(200);
  });

  test("for a site that wants client certificates is sent elsewhere: 421 (RFC 9110 §15.5.20)", async () => {
    const direct = await (await connect("web", "staff.test")).request("/secret").over();
    const sneaky = await (await connect()).request("/secret", { authority: "staff.test" }).over();
    expect([direct.status, sneaky.status]).toEqual([421, 421]);
    expect(origin.requests).toHaveLength(0);
  });

  test("that its client gives up is given up at the origin server", async () => {
    const closed = Promise.withResolvers<string>();
    origin.script = (request) => {
      void request.connection.closed().then(closed.resolve, closed.reject);
      return request.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
    };
    const exchange = (await connect()).request("/cancelled");
    await until(() => exchange.text === "part", "a part of the response");
    exchange.cancel();
    expect(["end", "reset"]).toContain(await closed.promise);
    expect(await gateway.logOf("/cancelled")).toMatchObject({ status: 200 });
  });

  test("whose response is cut by the origin server is cut", async () => {
    const cut = Promise.withResolvers<void>();
    origin.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
      await cut.promise;
      request.connection.destroy();
    };
    const exchange = (await connect()).request("/truncated");
    await until(() => exchange.text === "part", "a part of the response");
    cut.resolve();
    await exchange.over();
    expect([exchange.status, exchange.text]).toEqual([200, "part"]);
    expect(exchange.cut).not.toBeNull();
  });
});

describe("a WebSocket (RFC 9220)", () => {
  test("is a tunnel through an origin server of HTTP/1.1", async () => {
    const { createHash } = await import("node:crypto");
    origin.script = async (request) => {
      const key = `${request.field("sec-websocket-key")}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash("sha1").update(key).digest("base64");
      await request.send(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\nwelcome`,
      );
      await request.connection.inbox.until(
        () => request.connection.received.includes("from the client") || null,
        "octets of the tunnel",
        15_000,
      );
      await request.send("bye");
      request.connection.end();
    };
    const fields = { ":protocol": "websocket", "sec-websocket-version": "13" };
    const client = await connect();
    const exchange = client.request("/chat", { method: "CONNECT", fields, open: true });
    await until(
      () => exchange.text === "welcome",
      () => `a tunnel: ${JSON.stringify(exchange.head)}`,
    );
    expect(exchange.status).toBe(200);
    exchange.send("from the client");
    await exchange.over();
    expect([exchange.text, exchange.cut]).toEqual(["welcomebye", null]);
    // A tunnel ends when both sides have ended; the program waits for it otherwise when it stops.
    exchange.finish();
    expect(await gateway.logOf("/chat")).toMatchObject({ protocol: "HTTP/3" });
    expect(origin.last.field("upgrade")).toBe("websocket");
  });
});

describe("memory", () => {
  const MIB = 1024 * 1024;

  needs(program("gtlsclient", ngtcp2Path)).test(
    "is bounded while a client does not read, and all comes once it does",
    async () => {
      const total = 128 * MIB;
      const piece = Buffer.alloc(MIB, "x");
      let sent = 0;
      origin.script = async (request) => {
        await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
        for (; sent < total; sent += piece.length) await request.send(piece);
      };
      using client = new Ngtcp2Client();
      const answer = client.ask(portOf("web"), "localhost", ["/large"], undefined, [
        "--max-data=4M",
        "--max-stream-data-bidi-local=4M",
        "--max-window=0",
        "--max-stream-window=0",
      ]);
      await until(() => sent > 0, "the response to begin");
      client.stall();
      let before = -1;
      // What the kernel and we hold between the two is all that leaves the origin server.
      await until(async () => {
        const stood = sent === before;
        before = sent;
        await Bun.sleep(300);
        return stood;
      }, "the origin server to be held up");
      expect(sent).toBeLessThan(total / 2);
      expect(residentOctets(quicProcess())).toBeLessThan(500 * MIB);
      client.goOn();
      expect((await answer).heads[0]?.["content-length"]).toBe(String(total));
      expect(client.size("large")).toBe(total);
    },
    90_000,
  );

  test("is bounded while an origin server does not read: the rest waits in a file, and arrives whole", async () => {
    const total = 40 * MIB;
    const readOn = Promise.withResolvers<void>();
    origin.script = async (request) => {
      request.connection.countOnly = true;
      request.connection.pause();
      await readOn.promise;
      request.connection.resume();
      await until(() => request.connection.receivedOctets > total, "the whole content", 30_000);
      await request.reply({ content: String(request.connection.receivedOctets), fields: { connection: "close" } });
      request.connection.end();
    };
    const client = await connect();
    const exchange = client.request("/up", { open: true, fields: { "content-length": String(total) } });
    const resident = residentOctets(quicProcess());
    for (let i = 0; i < 40; i++) exchange.send(new Uint8Array(MIB));
    exchange.finish();
    await until(() => exchange.sentOctets === total, "the content to leave the client", 30_000);
    expect(residentOctets(quicProcess()) - resident).toBeLessThan(100 * MIB);
    readOn.resolve();
    await exchange.over();
    expect([exchange.status, exchange.cut]).toEqual([200, null]);
  }, 90_000);

  test("and disk are bounded: what has no room is refused with 503", async () => {
    origin.script = (request) => {
      request.connection.countOnly = true;
      request.connection.pause();
      request.connection.detach();
    };
    const client = await connect();
    const exchange = client.request("/too-much", { open: true });
    for (let i = 0; i < 120; i++) exchange.send(new Uint8Array(MIB));
    await exchange.answered();
    expect([exchange.status, exchange.field("proxy-status")]).toEqual([503, "lintel; error=content-not-held"]);
    for (const connection of origin.connections) connection.destroy();
    origin.clear();
    expect((await (await connect()).request("/").over()).status).toBe(200);
  }, 60_000);
});

describe("garbage", () => {
  test("is not answered by a fault: the process lives, and serves on", async () => {
    const before = quicProcess();
    const socket = await Bun.udpSocket({ hostname: "127.0.0.1", socket: { error() {} } });
    for (let i = 0; i < 3000; i++) {
      const datagram = crypto.getRandomValues(new Uint8Array(i % 3 === 0 ? 1200 : 1 + (i % 1400)));
      // Most of them as the first packet of a session of version 1 (RFC 9000 §17.2.2), or as a later one.
      if (i % 4 !== 0) datagram.set([i % 2 === 0 ? 0xc0 : 0x40, 0, 0, 0, 1, 8].slice(0, datagram.length));
      socket.send(datagram, portOf("web"), "127.0.0.1");
      if (i % 100 === 0) await Bun.sleep(1);
    }
    expect((await (await connect()).request("/").over()).status).toBe(200);
    expect(quicProcess()).toBe(before);
    socket.close();
  });

  test("within a session ends no more than that session", async () => {
    const client = await connect();
    // More content than was declared: the runtime ends the session.
    const broken = client.request("/broken", { open: true, fields: { "content-length": "3" } });
    broken.send("much more than that");
    await until(() => client.isClosed || broken.isOver, "the end of the session");
    expect((await (await connect()).request("/").over()).status).toBe(200);
  });
});

describe("names", () => {
  test("have their certificates, and the default where there is none", async () => {
    const shown = async (name: string) => (await connect("web", name)).certificate;
    expect(await shown("page.test")).toContain("page");
    expect(await shown("one.wild.test")).toContain("wild");
    expect(await shown("unknown.test")).toContain("site");
  });

  test("without a certificate are refused where the listener says so", async () => {
    expect((await connect("strict", "a.test")).refused).toBe("");
    expect((await connect("strict", "unknown.test")).refused).not.toBe("");
    await until(async () => {
      const counted = [...(await gateway.metrics())].find(
        ([name]) =>
          name.startsWith("lintel_tls_handshake_failures_total{") &&
          /"strict".*"unknown-name"|"unknown-name".*"strict"/.test(name),
      );
      return counted?.[1] === 1;
    }, "the failure to be counted");
  });

  test("get a new certificate when its file changes, without a reload; sessions go on", async () => {
    const client = await connect("web", "page.test");
    files.put("page", authority.issue(["page.test"], { subject: "renewed" }));
    await until(
      async () => (await connect("web", "page.test")).certificate?.includes("renewed") ?? false,
      "the new certificate",
    );
    expect((await client.request("/still").over()).status).toBe(200);
    files.put("page", page);
    await until(
      async () => (await connect("web", "page.test")).certificate?.includes("page") ?? false,
      "the old certificate",
    );
  });
});

needs(program("curl", curlPath)).describe("Alt-Svc (RFC 7838)", () => {
  test.each([
    ["web", "a.test", "--http2", (port: number) => `h3=":${port}"; ma=3600`],
    ["web", "a.test", "--http1.1", (port: number) => `h3=":${port}"; ma=3600`],
    ["quiet", "a.test", "--http2", () => undefined],
    ["tcp", "a.test", "--http2", () => undefined],
  ])("is said by listener %s to a client of %s with %s", async (name, host, flag, wanted) => {
    const answer = await files.curl(host, portOf(name), "/", flag);
    expect([answer.status, answer.field("alt-svc")]).toEqual([200, wanted(portOf(name))!]);
  });
});

needs(program("gtlsclient", ngtcp2Path)).describe("ngtcp2's client", () => {
  test("gets and posts", async () => {
    using client = new Ngtcp2Client();
    origin.script = async (request) =>
      request.reply({ content: `${request.target} ${(await request.content()).octets.length}` });
    const got = await client.ask(portOf("web"), "localhost", ["/one", "/two"]);
    expect(got.heads.map((head) => head[":status"])).toEqual(["200", "200"]);
    expect([got.content("one"), got.content("two")]).toEqual(["/one 0", "/two 0"]);
    const posted = await client.ask(portOf("web"), "localhost", ["/three"], "x".repeat(200_000));
    expect([posted.heads[0]?.[":status"], posted.content("three")]).toEqual(["200", "/three 200000"]);
  });

  test("comes back with early data: GET is passed on and marked, POST is asked to wait (RFC 8470 §5)", async () => {
    using client = new Ngtcp2Client();
    const port = portOf("strict");
    await client.ask(port, "localhost", ["/first"]);
    expect(origin.last.field("early-data")).toBeUndefined();
    const again = await client.ask(port, "localhost", ["/second"]);
    expect([again.heads[0]?.[":status"], origin.last.field("early-data")]).toEqual(["200", "1"]);
    const posted = await client.ask(port, "localhost", ["/third"], "content");
    expect([posted.heads[0]?.[":status"], origin.last.target]).toEqual(["425", "/second"]);
  });

  test("is not heard early where early data is not accepted", async () => {
    using client = new Ngtcp2Client();
    for (const path of ["/first", "/second"]) {
      const { heads } = await client.ask(portOf("web"), "localhost", [path], "content");
      expect([heads[0]?.[":status"], origin.last.field("early-data")]).toEqual(["200", undefined]);
    }
  });
});

describe("the process", () => {
  test("keeps sessions over a reload, and answers by the new config", async () => {
    await using own = await Gateway.start({
      ...config(),
      listeners: [{ name: "web", address: "127.0.0.1:0", tls: true, http3: true }],
    });
    const client = await connect("web", "a.test", own);
    expect((await client.request("/before").over()).status).toBe(200);
    const file = join(own.directory, "lintel.json");
    const written = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    await Bun.write(
      file,
      JSON.stringify({
        ...written,
        sites: [{ to: "app", use: [{ headers: { response: { set: { "x-new": "1" } } } }] }],
      }),
    );
    own.signal("SIGHUP");
    await until(async () => (await client.request("/after").over()).field("x-new") === "1", "the new config");
    expect(client.isClosed).toBe(false);
  }, 60_000);

  test("comes and goes with the config", async () => {
    const web = { name: "web", address: "127.0.0.1:0", tls: true };
    await using own = await Gateway.start({ ...config(), listeners: [web] });
    const file = join(own.directory, "lintel.json");
    const written = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    expect(quicProcess(own)).toBe(0);
    await Bun.write(file, JSON.stringify({ ...written, listeners: [{ ...web, http3: true }] }));
    own.signal("SIGHUP");
    await until(() => quicProcess(own) !== 0, "HTTP/3 to be served");
    const client = await connect("web", "a.test", own);
    expect((await client.request("/").over()).status).toBe(200);
    await Bun.write(file, JSON.stringify(written));
    own.signal("SIGHUP");
    await until(() => client.isToldToGo || client.isClosed, "GOAWAY, or the end of the session");
    await until(() => quicProcess(own) === 0, "HTTP/3 to be over");
  }, 60_000);

  test("is started again when it dies", async () => {
    await using own = await Gateway.start({
      ...config(),
      listeners: [{ name: "web", address: "127.0.0.1:0", tls: true, http3: true }],
    });
    const pid = quicProcess(own);
    own.signal("SIGKILL", pid);
    await until(() => ![0, pid].includes(quicProcess(own)), "another process");
    const client = await connect("web", "a.test", own);
    expect((await client.request("/again").over()).status).toBe(200);
  }, 60_000);

  test("finishes what is in work when the program stops", async () => {
    const own = await Gateway.start({
      ...config(),
      listeners: [{ name: "web", address: "127.0.0.1:0", tls: true, http3: true }],
    });
    const finish = Promise.withResolvers<void>();
    origin.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npart");
      await finish.promise;
      await request.send("rest");
    };
    const client = await connect("web", "a.test", own);
    const exchange = client.request("/slow");
    await until(() => exchange.text === "part", "a part of the response");
    own.signal("SIGTERM");
    await until(() => client.isToldToGo, "GOAWAY");
    finish.resolve();
    await exchange.over();
    expect([exchange.text, exchange.cut]).toEqual(["partrest", null]);
    expect(await own.exited()).toBe(0);
    await own.stop();
  }, 60_000);

  test("hands its port over at an upgrade once its last session has ended", async () => {
    await using own = await Gateway.start({
      ...config(),
      listeners: [{ name: "web", address: "127.0.0.1:0", tls: true, http3: true }],
    });
    const before = quicProcess(own);
    const client = await connect("web", "a.test", own);
    expect((await client.request("/before").over()).status).toBe(200);
    own.signal("SIGUSR2");
    await until(() => client.isToldToGo || client.isClosed, "GOAWAY, or the end of the session");
    await until(() => ![0, before].includes(quicProcess(own)), "the successor's process");
    const next = await connect("web", "a.test", own);
    expect((await next.request("/after").over()).status).toBe(200);
  }, 60_000);

  needs(ROOT).test(
    "has a port below 1024 under another user",
    async () => {
      const port = freePortBelow1024();
      await using own = await Gateway.start({
        ...config(),
        user: "nobody",
        // Where another user may write.
        telemetry: { accessLog: "off" },
        state: openState,
        listeners: [{ name: "web", address: `127.0.0.1:${port}`, tls: true, http3: true }],
      });
      expect((await (await connect("web", "a.test", own)).request("/").over()).status).toBe(200);
      expect(readFileSync(`/proc/${quicProcess(own)}/status`, "utf8")).toMatch(/^Uid:\t[1-9]/m);
      await own.stop();
      rmSync(openState, { recursive: true, force: true });
    },
    60_000,
  );

  test("waits for a port that somebody else has, and says so", async () => {
    // One that is free for TCP, too.
    const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: await freePort(), socket: {} });
    await using own = await Gateway.start({
      ...config(),
      listeners: [{ name: "web", address: `127.0.0.1:${socket.port}`, tls: true, http3: true }],
    });
    await own.says(/UDP 127\.0\.0\.1:\d+ is taken/);
    socket.close();
    await own.says("HTTP/3 is served now");
    const client = await connect("web", "a.test", own);
    expect((await client.request("/").over()).status).toBe(200);
  }, 60_000);
});

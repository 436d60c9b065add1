/** Layer 4 through the whole program: real Redis, TLS that passes through, PROXY headers, limits, reload, drain. */
import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import tls from "node:tls";
import { RedisClient } from "bun";
import { freePort } from "../../src/acme/testing.ts";
import { needs, program } from "../../src/base/testing.ts";
import { curlPath } from "../support/curl.ts";
import { Gateway, type TestConfig } from "../support/gateway.ts";
import { Nginx, nginxPath } from "../support/nginx.ts";
import { CertificateFolder } from "../support/tls.ts";
import { until } from "../support/until.ts";
import { echo, Wire, WireServer } from "../support/wire.ts";

const files = new CertificateFolder();
const servers: { stop(): void }[] = [];
afterAll(() => {
  files.remove();
  for (const server of servers) server.stop();
});

/** No listener for HTTP. */
const relaying = (tcp: TestConfig | TestConfig[], more: TestConfig = {}): TestConfig => ({
  listeners: undefined,
  tcp: (Array.isArray(tcp) ? tcp : [tcp]).map((entry) => ({ name: "in", listen: "127.0.0.1:0", ...entry })),
  ...more,
});

async function origin(onWire?: (wire: Wire) => void): Promise<WireServer> {
  const server = await WireServer.start(onWire);
  servers.push(server);
  return server;
}

const reload = async (gateway: Gateway, config: TestConfig): Promise<void> => {
  const telemetry = { accessLog: { format: "json", output: join(gateway.directory, "access.log"), flush: "10ms" } };
  const whole = { workers: 1, admin: { address: "127.0.0.1:0" }, telemetry, ...config };
  writeFileSync(join(gateway.directory, "lintel.json"), JSON.stringify(whole));
  const before = gateway.output.split("is in force").length;
  gateway.signal("SIGHUP");
  await until(
    () => gateway.output.split("is in force").length > before,
    () => `a reload:\n${gateway.output}`,
  );
};

needs(program("redis-server")).describe("Redis", () => {
  test("is reached through two workers, with commands in pipelines, large values and messages that it pushes", async () => {
    const port = await freePort();
    const redis = Bun.spawn(["redis-server", "--port", String(port), "--save", "", "--bind", "127.0.0.1"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    try {
      await using gateway = await Gateway.start(relaying({ to: `127.0.0.1:${port}` }, { workers: 2 }));
      const url = `redis://127.0.0.1:${gateway.portOf("in")}`;
      const clients = Array.from({ length: 6 }, () => new RedisClient(url));
      await until(
        () =>
          Promise.all(clients.map((client) => client.ping())).then(
            () => true,
            () => false,
          ),
        "Redis answers",
      );
      const large = "x".repeat(8 * 1024 * 1024);
      await Promise.all(
        clients.map(async (client, i) => {
          for (let n = 0; n < 50; n++) await client.set(`${i}.${n}`, String(n));
          await client.set(`large.${i}`, large);
        }),
      );
      const values = await Promise.all(clients.map((client, i) => client.get(`${(i + 1) % 6}.49`)));
      expect(values).toEqual(new Array(6).fill("49"));
      expect(await clients[0]!.get("large.5")).toBe(large);
      const listening = new RedisClient(url);
      const heard: string[] = [];
      await listening.subscribe("news", (message) => heard.push(message));
      await clients[1]!.publish("news", "hello");
      await until(() => heard.includes("hello"), "the message");
      for (const client of [...clients, listening]) client.close();
      const lines = await gateway.log(6);
      expect(lines[0]).toMatchObject({ protocol: "TCP", listener: "in", route: "in/1", endpoint: `127.0.0.1:${port}` });
    } finally {
      redis.kill();
    }
  }, 60_000);
});

needs(program("nginx", nginxPath), program("curl", curlPath)).describe("TLS that passes through", () => {
  test("reaches the origin server of its server name, which shows its own certificate", async () => {
    const ports = [await freePort(), await freePort()];
    const names = ["one.example.test", "two.example.test"];
    const origins: Nginx[] = [];
    for (const [i, name] of names.entries()) {
      const { cert, key } = files.put(`nginx-${i}`, files.authority.issue([name, `*.${name}`]));
      origins.push(
        await Nginx.start(
          `listen 127.0.0.1:${ports[i]} ssl; ssl_certificate ${cert}; ssl_certificate_key ${key};
           location / { return 200 "${i} for $ssl_server_name"; }`,
        ),
      );
    }
    try {
      await using gateway = await Gateway.start(
        relaying({
          routes: [
            { name: "one", match: { serverName: "one.example.test" }, to: `127.0.0.1:${ports[0]}` },
            {
              name: "two",
              match: { serverName: [".two.example.test", "two.example.test"] },
              to: `127.0.0.1:${ports[1]}`,
            },
          ],
        }),
      );
      const port = gateway.portOf("in");
      expect((await files.curl("one.example.test", port, "/")).text).toBe("0 for one.example.test");
      expect((await files.curl("two.example.test", port, "/")).text).toBe("1 for two.example.test");
      expect((await files.curl("deep.two.example.test", port, "/")).text).toBe("1 for deep.two.example.test");
      // A name that no route takes: the handshake is refused (unrecognized_name).
      expect((await files.curl("three.example.test", port, "/")).exitCode).toBe(35);
      const lines = await gateway.log(4);
      expect(
        lines.map(({ serverName, route, outcome }) => [serverName, route, (outcome as { code: string }).code]),
      ).toEqual([
        ["one.example.test", "one", null],
        ["two.example.test", "two", null],
        ["deep.two.example.test", "two", null],
        ["three.example.test", null, "no-route"],
      ]);
    } finally {
      for (const one of origins) await one.stop();
    }
  }, 60_000);
});

describe("TLS that ends here", () => {
  test("is chosen by the server name, and goes on plain or in TLS of its own", async () => {
    const ca = files.file("ca.pem");
    const plain = await origin(echo("plain"));
    const secured = tls.createServer(files.authority.issue(["inner.test"]), (socket) => {
      socket.write("secured:");
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => secured.listen(0, "127.0.0.1", resolve));
    servers.push({ stop: () => secured.close() });
    const { port: inner } = secured.address() as { port: number };
    await using gateway = await Gateway.start(
      relaying(
        {
          tls: { alpn: ["postgresql"] },
          routes: [{ match: { serverName: "b.test" }, to: "inner" }],
          to: plain.address,
        },
        {
          tls: { certificates: [files.put("outer", files.authority.issue(["a.test", "b.test"]))] },
          upstreams: { inner: { endpoints: `127.0.0.1:${inner}`, tls: { ca, serverName: "inner.test" } } },
        },
      ),
    );
    const ask = async (servername: string, octets: Buffer): Promise<{ heard: Buffer; alpn: string | false | null }> => {
      const socket = tls.connect({
        port: gateway.portOf("in"),
        host: "127.0.0.1",
        servername,
        ca: files.authority.cert,
        ALPNProtocols: ["postgresql"],
      });
      const pieces: Buffer[] = [];
      socket.on("data", (piece: Buffer) => pieces.push(piece));
      await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
      const { alpnProtocol: alpn } = socket;
      socket.write(octets);
      const wanted = octets.length + (servername === "b.test" ? "secured:" : "plain:").length;
      await until(() => pieces.reduce((sum, { length }) => sum + length, 0) === wanted, "everything back", 30_000);
      socket.destroy();
      return { heard: Buffer.concat(pieces), alpn };
    };
    expect(await ask("a.test", Buffer.from("hi"))).toEqual({ heard: Buffer.from("plain:hi"), alpn: "postgresql" });
    const much = crypto.getRandomValues(Buffer.alloc(64 * 1024));
    const all = Buffer.concat(new Array<Buffer>(128).fill(much));
    const { heard } = await ask("b.test", all);
    expect(createHash("md5").update(heard.subarray(8)).digest("hex")).toBe(createHash("md5").update(all).digest("hex"));
    expect(await gateway.log(2)).toMatchObject([{ serverName: "a.test" }, { serverName: "b.test", route: "in/1" }]);
  }, 60_000);
});

describe("PROXY headers", () => {
  test("say who the client is: believed from trusted peers, told to origin servers in the version they want", async () => {
    const [one, two] = [await origin(), await origin()];
    await using gateway = await Gateway.start(
      relaying(
        {
          proxyProtocol: ["127.0.0.7/32"],
          routes: [
            { name: "inside", match: { client: "198.51.100.0/24" }, to: "v1" },
            { name: "rest", to: "v2" },
          ],
        },
        {
          upstreams: {
            v1: { endpoints: one.address, proxyProtocol: "v1" },
            v2: { endpoints: two.address, proxyProtocol: "v2" },
          },
        },
      ),
    );
    const port = gateway.portOf("in");
    const behind = await Wire.connect(port, "127.0.0.7");
    behind.send("PROXY TCP4 198.51.100.9 192.0.2.1 40000 5432\r\nSELECT");
    await (await one.wire(0)).hears("PROXY TCP4 198.51.100.9 192.0.2.1 40000 5432\r\nSELECT");
    const direct = await Wire.connect(port, "127.0.0.9");
    direct.send("SELECT");
    const wire = await two.wire(0);
    await wire.hears("SELECT");
    expect(wire.octets.subarray(0, 16).toString("hex")).toBe("0d0a0d0a000d0a515549540a2111000c");
    expect([...wire.octets.subarray(16, 24)]).toEqual([127, 0, 0, 9, 127, 0, 0, 1]);
    // From a trusted peer the header is required.
    const without = await Wire.connect(port, "127.0.0.7");
    without.send("SELECT");
    expect(await without.ended()).toBe("ECONNRESET");
    for (const one of [behind, direct]) one.reset();
    expect(await gateway.log(2)).toMatchObject([
      { client: "198.51.100.9", clientPort: 40_000 },
      { client: "127.0.0.9" },
    ]);
  });
});

describe("limits", () => {
  test("of connections make further clients wait; of a client's connections reset them", async () => {
    const server = await origin(echo("o"));
    await using gateway = await Gateway.start(
      relaying([
        { name: "few", to: server.address, maxConnections: 1 },
        { name: "each", to: server.address, maxPerClient: 2 },
      ]),
    );
    const first = await Wire.connect(gateway.portOf("few"));
    await first.hears("o:");
    const second = await Wire.connect(gateway.portOf("few"));
    await gateway.says("maxConnections is reached");
    expect(second.text).toBe("");
    first.close();
    await second.hears("o:");
    const port = gateway.portOf("each");
    const mine = [await Wire.connect(port), await Wire.connect(port)];
    for (const one of mine) await one.hears("o:");
    expect(await (await Wire.connect(port)).ended()).toBe("ECONNRESET");
    const other = await Wire.connect(port, "127.0.0.8");
    await other.hears("o:");
    for (const one of [second, other, ...mine]) one.close();
    const metrics = await gateway.metrics();
    expect(metrics.get('lintel_tcp_failures_total{listener="each",code="too-many-connections"}')).toBe(1);
    expect(metrics.get('lintel_accept_pauses_total{listener="few"}')).toBeGreaterThan(0);
  });

  test("an endpoint's limit makes a connection wait in the queue until another one ends", async () => {
    const server = await origin(echo("o"));
    const upstreams = { app: { endpoints: { address: server.address, maxInFlight: 1 }, queue: { timeout: "30s" } } };
    await using gateway = await Gateway.start(relaying({ to: "app" }, { upstreams }));
    const first = await Wire.connect(gateway.portOf("in"));
    await first.hears("o:");
    const second = await Wire.connect(gateway.portOf("in"));
    second.send("early");
    await until(async () => (await gateway.metrics()).get('lintel_connections_active{listener="in"}') === 2, "both");
    expect(server.wires).toHaveLength(1);
    first.socket.end();
    await second.hears("o:early");
    second.close();
  });
});

describe("endpoints", () => {
  test("that refuse are passed over; checks find them down and up again; draining one keeps its connections", async () => {
    const port = await freePort();
    const alive = await origin(echo("alive"));
    const check = { tcp: {}, every: "50ms", timeout: "1s", rise: 1, fall: 1 };
    await using gateway = await Gateway.start(
      relaying(
        { to: "app" },
        { upstreams: { app: { endpoints: [`127.0.0.1:${port}`, alive.address], health: { check, passive: "off" } } } },
      ),
    );
    const at = gateway.portOf("in");
    for (let i = 0; i < 4; i++) {
      const wire = await Wire.connect(at);
      await wire.hears("alive:");
      wire.close();
    }
    await gateway.says(/down/);
    const back = Bun.listen({
      port,
      hostname: "127.0.0.1",
      socket: { open: (socket) => void socket.write("back:"), data() {} },
    });
    try {
      await until(async () => {
        const wire = await Wire.connect(at);
        await wire.hears(":");
        wire.close();
        return wire.text === "back:";
      }, "the endpoint that is back");
    } finally {
      back.stop(true);
    }
  }, 30_000);
});

describe("a reload", () => {
  test("keeps connections, and sends new ones where the new config says", async () => {
    const [one, two] = [await origin(echo("one")), await origin(echo("two"))];
    await using gateway = await Gateway.start(relaying({ to: one.address }));
    const port = gateway.portOf("in");
    const kept = await Wire.connect(port);
    await kept.hears("one:");
    await reload(gateway, relaying({ to: two.address }));
    const fresh = await Wire.connect(port);
    await fresh.hears("two:");
    kept.send("still here");
    await kept.hears("one:still here");
    await reload(gateway, relaying({ name: "renamed", to: one.address }));
    const renamed = await Wire.connect(port);
    await renamed.hears("one:");
    const metrics = await gateway.metrics();
    expect(metrics.get('lintel_connections_active{listener="renamed"}')).toBe(3);
    for (const wire of [kept, fresh, renamed]) wire.close();
  });

  test("that removes an entry lets its connections finish; one that adds it takes new ones", async () => {
    const server = await origin(echo("o"));
    await using gateway = await Gateway.start(
      relaying([
        { name: "stays", to: server.address },
        { name: "goes", listen: "127.0.0.2:0", to: server.address },
      ]),
    );
    const goes = gateway.portOf("goes");
    const held = await connectTo("127.0.0.2", goes);
    await held.hears("o:");
    await reload(gateway, relaying({ name: "stays", to: server.address }));
    held.send("on");
    await held.hears("o:on");
    const refused = await connectTo("127.0.0.2", goes);
    expect(await refused.ended()).toBe("ECONNREFUSED");
    held.close();
    await reload(
      gateway,
      relaying([
        { name: "stays", to: server.address },
        { name: "goes", listen: `127.0.0.2:${goes}`, to: server.address },
      ]),
    );
    const again = await connectTo("127.0.0.2", goes);
    await again.hears("o:");
    again.close();
  });

  test("lets a socket change hands between tcp and a listener for HTTP, and connections of before go on", async () => {
    const server = await origin(echo("o"));
    const address = `127.0.0.1:${await freePort()}`;
    const port = Number(address.split(":")[1]);
    const http = { listeners: [address], sites: [{ use: [{ respond: "by HTTP" }] }] };
    await using gateway = await Gateway.start(relaying({ listen: address, to: server.address }));
    const held = await Wire.connect(port);
    await held.hears("o:");
    await reload(gateway, http);
    expect(await (await fetch(`http://${address}/`)).text()).toBe("by HTTP");
    held.send("still here");
    await held.hears("still here");
    await reload(gateway, relaying({ listen: address, to: server.address }));
    const again = await Wire.connect(port);
    await again.hears("o:");
    for (const wire of [held, again]) wire.close();
  });

  test("under load loses no connection and no octet", async () => {
    const server = await origin(echo("o"));
    await using gateway = await Gateway.start(relaying({ to: server.address }, { workers: 2 }));
    const port = gateway.portOf("in");
    let done = 0;
    let stop = false;
    const client = async (): Promise<void> => {
      while (!stop) {
        const wire = await Wire.connect(port);
        const said = crypto.randomUUID().repeat(50);
        wire.send(said);
        wire.socket.end();
        expect(await wire.ended()).toBe("end");
        expect(wire.text).toBe(`o:${said}`);
        done++;
      }
    };
    const clients = Array.from({ length: 8 }, client);
    for (let i = 0; i < 6; i++) {
      const at = done;
      await reload(gateway, relaying({ to: server.address, maxConnections: 1000 + i }, { workers: 2 }));
      await until(() => done > at + 20, "connections after the reload");
    }
    stop = true;
    await Promise.all(clients);
  }, 60_000);
});

async function connectTo(host: string, port: number): Promise<Wire> {
  const { connect } = await import("node:net");
  const wire = new Wire(connect({ host, port, allowHalfOpen: true }));
  await until(() => wire.socket.readyState === "open" || wire.end !== "", "a connection");
  return wire;
}

describe("the end", () => {
  test("SIGTERM lets connections finish within timeouts.drain", async () => {
    const server = await origin(echo("o"));
    const gateway = await Gateway.start(relaying({ to: server.address }, { timeouts: { drain: "20s" } }));
    const wire = await Wire.connect(gateway.portOf("in"));
    await wire.hears("o:");
    gateway.signal("SIGTERM");
    await gateway.says("finishing what is in flight");
    wire.send("last words");
    await wire.hears("last words");
    wire.socket.end();
    expect(await wire.ended()).toBe("end");
    expect(await gateway.exited()).toBe(0);
    await gateway.stop();
  });

  test("what has not ended by then is reset, on both sides", async () => {
    const server = await origin(echo("o"));
    const gateway = await Gateway.start(relaying({ to: server.address }, { timeouts: { drain: "200ms" } }));
    const wire = await Wire.connect(gateway.portOf("in"));
    await wire.hears("o:");
    gateway.signal("SIGTERM");
    expect(await wire.ended()).toBe("ECONNRESET");
    expect(await (await server.wire(0)).ended()).toBe("ECONNRESET");
    expect((await gateway.logLine())["outcome"]).toMatchObject({ code: "shutting-down" });
    expect(await gateway.exited()).toBe(0);
    await gateway.stop();
  });

  test("an upgrade hands the sockets over: connections of before finish, new ones are taken", async () => {
    const server = await origin(echo("o"));
    await using gateway = await Gateway.start(relaying({ to: server.address }, { timeouts: { drain: "20s" } }));
    const port = gateway.portOf("in");
    const before = gateway.workers;
    const kept = await Wire.connect(port);
    await kept.hears("o:");
    gateway.signal("SIGUSR2");
    await gateway.says("new workers serve", 30_000);
    kept.send("still here");
    await kept.hears("still here");
    const fresh = await Wire.connect(port);
    await fresh.hears("o:");
    kept.close();
    await until(() => gateway.workers.every((pid) => !before.includes(pid)), "the old worker ends", 20_000);
    fresh.send("on");
    await fresh.hears("o:on");
    fresh.close();
  }, 60_000);
});

describe("what strangers send", () => {
  test("breaks nothing: resets at each stage, garbage, ClientHellos in pieces, half-open connections", async () => {
    const server = await origin(echo("o"));
    await using gateway = await Gateway.start(
      relaying(
        [
          {
            name: "names",
            routes: [{ match: { serverName: "a.test" }, to: server.address }],
            timeouts: { hello: "1s" },
          },
          { name: "ends", tls: { handshakeTimeout: "1s" }, to: server.address },
          { name: "headers", proxyProtocol: ["127.0.0.1/32"], to: server.address },
          { name: "plain", to: server.address },
          { name: "dead", to: `127.0.0.1:${await freePort()}` },
        ],
        {
          tls: { certificates: [files.put("strangers", files.authority.issue(["a.test"]))] },
          telemetry: { accessLog: "off" },
        },
      ),
    );
    const openers = [
      "",
      "\x16",
      "\x16\x03\x01\x40\x00",
      "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
      "GET / HTTP/1.1\r\n\r\n",
      "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
      "PROXY TCP4 ",
      "\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
      "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
      Buffer.from(crypto.getRandomValues(new Uint8Array(70_000))).toString("latin1"),
    ];
    const ports = ["names", "ends", "headers", "plain", "dead"].map((name) => gateway.portOf(name));
    const workers = gateway.workers;
    const leave: readonly ((wire: Wire) => void)[] = [
      (wire) => wire.reset(),
      (wire) => wire.close(),
      (wire) => void wire.socket.end(),
      () => {},
    ];
    const wires: Wire[] = [];
    for (const port of ports) {
      for (const opener of openers) {
        for (const bye of leave) {
          const wire = await Wire.connect(port);
          wires.push(wire);
          if (opener !== "") wire.send(opener);
          bye(wire);
        }
      }
    }
    for (const port of ports.slice(0, 3)) expect(port).toBeGreaterThan(0);
    for (const wire of wires) wire.close();
    await gateway.socketsAtMost(60, 30_000);
    const wire = await Wire.connect(gateway.portOf("plain"));
    wire.send("fine");
    await wire.hears("o:fine");
    wire.close();
    expect(gateway.workers).toEqual(workers);
    expect(gateway.output).not.toContain("fault");
    await until(async () => {
      const metrics = await gateway.metrics();
      return ["names", "ends", "headers", "plain", "dead"].every(
        (name) => metrics.get(`lintel_connections_active{listener="${name}"}`) === 0,
      );
    }, "all connections are gone");
  }, 60_000);
});

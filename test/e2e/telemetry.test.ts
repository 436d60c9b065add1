/** The access log and the metrics, as an operator meets them. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { Gateway } from "../support/gateway.ts";
import { Origin } from "../support/origin.ts";
import { closeClients, exchange, get, post, RawClient, wire } from "../support/raw.ts";

afterEach(closeClients);

const sites = [{ name: "main", routes: [{ name: "hello", use: [{ respond: "hello" }] }] }];

async function until(holds: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error("did not come true in time");
    await Bun.sleep(10);
  }
}

/** The sum of all samples of a metric whose labels hold this text. */
async function sum(gateway: Gateway, metric: string, label = ""): Promise<number> {
  const samples = await gateway.metrics();
  return [...samples]
    .filter(([name]) => name.split("{")[0] === metric && name.includes(label))
    .reduce((total, [, value]) => total + value, 0);
}

describe("the access log", () => {
  test("a JSON line says what was asked, who served it, and how it ended", async () => {
    using origin = await Origin.start();
    await using gateway = await Gateway.start({
      upstreams: { app: origin.address },
      sites: [{ name: "shop", hosts: ["shop.example"], routes: [{ name: "all", to: "app" }] }],
    });
    await exchange(
      gateway.port,
      wire(
        "POST /cart?a=b HTTP/1.1",
        "Host: shop.example",
        "User-Agent: test/1",
        "Referer: http://x/",
        "Content-Length: 4",
        "",
        "body",
      ),
    );
    const line = await gateway.logLine();
    expect(line).toMatchObject({
      client: "127.0.0.1",
      method: "POST",
      host: "shop.example",
      target: "/cart?a=b",
      protocol: "HTTP/1.1",
      status: 200,
      requestOctets: 4,
      responseOctets: 5,
      site: "shop",
      route: "all",
      upstream: "app",
      endpoint: origin.address,
      attempts: 1,
      userAgent: "test/1",
      referer: "http://x/",
      outcome: { by: null, phase: "done", code: null },
    });
    expect(Number(line["durationMs"])).toBeWithin(0, 60_000);
    expect(Date.parse(String(line["time"]))).toBeWithin(Date.now() - 60_000, Date.now() + 1000);
  });

  test("a client that goes away is told from an origin that does", async () => {
    using origin = await Origin.start();
    await using gateway = await Gateway.start({ sites: [{ to: origin.address }] });
    origin.script = (request) => request.connection.detach();
    using client = await RawClient.connect(gateway.port);
    client.send(get("/client-gone"));
    await origin.next();
    client.reset();
    expect(await gateway.logOf("/client-gone")).toMatchObject({
      status: 499,
      outcome: { by: "downstream", code: "client-closed" },
    });
    origin.script = (request) => request.connection.reset();
    await exchange(gateway.port, post("/origin-gone", "x"));
    expect(await gateway.logOf("/origin-gone")).toMatchObject({
      status: 502,
      outcome: { by: "upstream", code: "upstream-reset" },
    });
  });

  test("nothing a client sends can forge a line or hide in one", async () => {
    await using gateway = await Gateway.start({ sites });
    await exchange(gateway.port, get("/%0a%22,", 'User-Agent: a"},{"status":1 \xe9\x85'));
    const line = await gateway.logLine();
    expect(line["userAgent"]).toStartWith('a"},{"status":1 ');
    expect(line["status"]).toBe(200);
  });

  test("the combined format is what log readers know", async () => {
    await using gateway = await Gateway.start({
      sites,
      telemetry: { accessLog: { format: "combined", output: "./access.log", flush: "10ms" } },
    });
    await exchange(gateway.port, get("/a?b", 'User-Agent: say "hi"'));
    const file = join(gateway.directory, "access.log");
    await until(() => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
    expect(readFileSync(file, "utf8")).toMatch(
      /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/a\?b HTTP\/1\.1" 200 5 "-" "say \\"hi\\""/,
    );
  });

  test("a template names its variables, and stdout takes the lines", async () => {
    await using gateway = await Gateway.start({
      sites,
      telemetry: {
        accessLog: {
          format: "{request.method} {request.path} {response.status} {outcome}",
          output: "stdout",
          flush: "10ms",
        },
      },
    });
    await exchange(gateway.port, get("/a%20b"));
    await gateway.says("GET /a b 200 complete\n");
    expect(gateway.stdout).toBe("GET /a b 200 complete\n");
  });

  test("SIGUSR1 opens the file anew, and no line is lost in a rotation", async () => {
    await using gateway = await Gateway.start({ workers: 2, sites });
    const file = join(gateway.directory, "access.log");
    for (let i = 0; i < 10; i++) await exchange(gateway.port, get(`/before/${i}`));
    await gateway.log(10);
    renameSync(file, `${file}.1`);
    for (let i = 0; i < 5; i++) await exchange(gateway.port, get(`/during/${i}`));
    gateway.signal("SIGUSR1");
    await until(() => existsSync(file) && gateway.output.match(/reopened/g)?.length === 2);
    for (let i = 0; i < 10; i++) await exchange(gateway.port, get(`/after/${i}`));
    const count = () =>
      [file, `${file}.1`].map((path) => readFileSync(path, "utf8").trimEnd().split("\n").filter(Boolean));
    await until(() => count().flat().length >= 25);
    const [now, then] = count();
    expect(now!.length + then!.length).toBe(25);
    expect(now!.filter((line) => line.includes("/after/"))).toHaveLength(10);
    expect(then!.filter((line) => line.includes("/before/"))).toHaveLength(10);
  });

  test("a full disk blocks no traffic: lines are dropped and counted", async () => {
    await using gateway = await Gateway.start({
      sites,
      telemetry: { accessLog: { format: "json", output: "/dev/full", flush: "10ms", buffer: "1KiB" } },
    });
    using client = await RawClient.connect(gateway.port);
    for (let i = 0; i < 200; i++) {
      client.send(get("/"));
      expect((await client.response()).status).toBe(200);
    }
    await until(async () => (await sum(gateway, "lintel_access_log_lines_dropped_total")) >= 200);
    expect(gateway.stderr).toMatch(/access log/);
  });

  test("a reader of stdout that does not read blocks no traffic", async () => {
    // A FIFO that is open for reading, so that a write waits, and that nobody reads.
    await using gateway = await Gateway.start(
      {
        sites,
        telemetry: {
          accessLog: { format: "json", output: "stdout", flush: "10ms", buffer: "1KiB", maxPending: "16KiB" },
        },
      },
      { prefix: ["sh", "-c", 'mkfifo full; exec 3<>full; exec "$@" >&3', "sh"] },
    );
    using client = await RawClient.connect(gateway.port);
    for (let i = 0; i < 1500; i++) {
      client.send(get(`/${"x".repeat(200)}`));
      expect((await client.response()).status).toBe(200);
    }
    await until(async () => (await sum(gateway, "lintel_access_log_lines_dropped_total")) > 0);
  }, 30_000);
});

describe("metrics", () => {
  test("one scrape sums all workers, and counts malformed requests too", async () => {
    using origin = await Origin.start();
    await using gateway = await Gateway.start({
      workers: 2,
      upstreams: { app: origin.address },
      sites: [{ name: "main", routes: [{ name: "all", to: "app" }] }],
    });
    for (let i = 0; i < 30; i++) await exchange(gateway.port, get("/"));
    for (let i = 0; i < 3; i++) await exchange(gateway.port, "GET / HTTP/1.1\r\nX : a\r\n\r\n");
    await until(async () => (await sum(gateway, "lintel_requests_total", 'route="all"')) >= 30);
    expect(await sum(gateway, "lintel_requests_total", 'route="all"')).toBe(30);
    expect(await sum(gateway, "lintel_malformed_requests_total", "request-malformed")).toBe(3);
    expect(await sum(gateway, "lintel_connections_total")).toBe(33);
    expect(await sum(gateway, "lintel_response_content_octets_total", 'route="all"')).toBe(150);
    expect(await sum(gateway, "lintel_upstream_requests_total", 'code="2xx"')).toBe(30);
    expect(await sum(gateway, "lintel_workers")).toBe(2);
    await until(async () => (await sum(gateway, "lintel_connections_active")) === 0);
  });

  test("are in the format Prometheus reads", async () => {
    await using gateway = await Gateway.start({ sites });
    const response = await fetch(`${gateway.adminUrl}/metrics`);
    expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    const text = await response.text();
    for (const line of text.trimEnd().split("\n")) {
      expect(line).toMatch(
        /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? -?[0-9.e+-]+(Inf)?)$/,
      );
    }
  });

  test("gauges of connections return to zero", async () => {
    using origin = await Origin.start();
    await using gateway = await Gateway.start({
      upstreams: { app: { endpoints: origin.address, pool: { maxIdle: 0 } } },
      sites: [{ to: "app" }],
    });
    origin.script = (request) => request.connection.detach();
    const clients = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(gateway.port)));
    for (const client of clients) client.send(get("/"));
    await until(
      async () =>
        (await sum(gateway, "lintel_connections_active")) === 5 &&
        (await sum(gateway, "lintel_upstream_connections_active")) === 5,
    );
    for (const client of clients) client.reset();
    await until(
      async () =>
        (await sum(gateway, "lintel_connections_active")) === 0 &&
        (await sum(gateway, "lintel_upstream_connections_active")) === 0,
    );
  });

  test("the admin listener answers local names only, and can be off", async () => {
    await using gateway = await Gateway.start({ sites });
    expect((await fetch(`${gateway.adminUrl}/metrics`, { headers: { Host: "evil.example" } })).status).toBe(421);
    expect((await fetch(`${gateway.adminUrl}/health`)).status).toBe(200);
    await using silent = await Gateway.start({ sites, admin: "off" });
    expect(() => silent.adminUrl).toThrow("no admin address");
  });
});

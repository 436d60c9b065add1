/** Endpoints: balancing, pools, failing over, kinds of address, Host and branding. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Gateway } from "../support/gateway.ts";
import { closedPort, Origin, type Script } from "../support/origin.ts";
import { closeClients, exchange, get, post, RawClient, wire } from "../support/raw.ts";
import { until } from "../support/until.ts";

afterEach(closeClients);

const named =
  (name: string): Script =>
  async (request) => {
    await request.content();
    await request.reply({ content: name });
  };

async function origins(...names: string[]): Promise<Origin[] & Disposable> {
  const list = await Promise.all(
    names.map(async (name) => {
      const origin = await Origin.start();
      origin.script = named(name);
      return origin;
    }),
  );
  return Object.assign(list, {
    [Symbol.dispose]() {
      for (const origin of list) origin.stop();
    },
  });
}

const serve = (upstream: unknown, more: Record<string, unknown> = {}) =>
  Gateway.start({ upstreams: { app: upstream }, sites: [{ to: "app" }], ...more });

describe("smooth weighted round-robin", () => {
  test.each([
    [[1, 1, 1], "012012"],
    [[5, 1, 1], "00102000010200"],
    [[3, 2, 1], "010210010210"],
    [[7, 3], "01000100100100010010"],
  ])("weights %j take turns %s", async (weights, sequence) => {
    using list = await origins(...weights.map((_, i) => String(i)));
    await using gateway = await serve({ endpoints: list.map(({ address }, i) => ({ address, weight: weights[i] })) });
    using client = await RawClient.connect(gateway.port);
    let seen = "";
    for (const _ of sequence) {
      client.send(get("/"));
      seen += (await client.response()).text;
    }
    expect(seen).toBe(sequence);
  });
});

describe("failing over to the next endpoint", () => {
  test("a refused connection costs nothing, whatever the method", async () => {
    using list = await origins("alive");
    await using gateway = await serve([`127.0.0.1:${await closedPort()}`, list[0]!.address]);
    for (let i = 0; i < 4; i++) {
      expect(await exchange(gateway.port, post("/", "content"))).toMatchObject({ status: 200, text: "alive" });
      expect(await exchange(gateway.port, get("/"))).toMatchObject({ status: 200, text: "alive" });
    }
    const lines = await gateway.log(8);
    expect(lines.some((line) => line["attempts"] === 2)).toBe(true);
  });

  test("all refused is 502, with every attempt in the log", async () => {
    await using gateway = await serve([`127.0.0.1:${await closedPort()}`, `127.0.0.1:${await closedPort()}`]);
    expect((await exchange(gateway.port, get("/"))).status).toBe(502);
    expect(await gateway.logLine()).toMatchObject({
      status: 502,
      attempts: 2,
      outcome: { by: "upstream", code: "upstream-connect-refused" },
    });
  });

  test("retries bounds how many further endpoints are tried", async () => {
    const ports = await Promise.all([closedPort(), closedPort(), closedPort()]);
    await using gateway = await serve({ endpoints: ports.map((port) => `127.0.0.1:${port}`), retry: 1 });
    await exchange(gateway.port, get("/"));
    expect((await gateway.logLine())["attempts"]).toBe(2);
  });

  test("a GET that was sent and not answered is tried elsewhere (RFC 9110 §9.2.2)", async () => {
    using list = await origins("first", "second");
    list[0]!.script = (request) => request.connection.reset();
    await using gateway = await serve(list.map(({ address }) => address));
    expect(await exchange(gateway.port, get("/"))).toMatchObject({ status: 200, text: "second" });
    expect([list[0]!.requests.length, list[1]!.requests.length]).toEqual([1, 1]);
  });

  test("a POST that was sent is not, for it may have been acted on", async () => {
    using list = await origins("first", "second");
    list[0]!.script = async (request) => {
      await request.content();
      request.connection.reset();
    };
    await using gateway = await serve(list.map(({ address }) => address));
    expect((await exchange(gateway.port, post("/", "buy one"))).status).toBe(502);
    expect([list[0]!.requests.length, list[1]!.requests.length]).toEqual([1, 0]);
  });

  test("a response that has begun is not begun again", async () => {
    using list = await origins("first", "second");
    list[0]!.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
      await Bun.sleep(15);
      request.connection.reset();
    };
    await using gateway = await serve(list.map(({ address }) => address));
    await expect(exchange(gateway.port, get("/"))).rejects.toThrow(/end|reset/);
    expect(list[1]!.requests).toHaveLength(0);
  });

  test("an error status of the origin is its answer, not a failure", async () => {
    using list = await origins("first", "second");
    list[0]!.script = (request) => request.reply({ status: 503, reason: "Busy", content: "busy" });
    await using gateway = await serve(list.map(({ address }) => address));
    expect(await exchange(gateway.port, get("/"))).toMatchObject({ status: 503, text: "busy" });
  });
});

describe("connections are kept and used again (RFC 9112 §9.3)", () => {
  test("one after another over one connection, from many clients", async () => {
    using list = await origins("a");
    await using gateway = await serve(list[0]!.address);
    for (let i = 0; i < 6; i++)
      expect((await exchange(gateway.port, i % 2 ? post("/", "x") : get("/"))).status).toBe(200);
    expect(list[0]!.connections).toHaveLength(1);
  });

  test("no more than maxIdle wait", async () => {
    using list = await origins("a");
    list[0]!.script = async (request) => {
      await Bun.sleep(100);
      await request.reply();
    };
    await using gateway = await serve({ endpoints: list[0]!.address, pool: { maxIdle: 2 } });
    await Promise.all(Array.from({ length: 6 }, () => exchange(gateway.port, get("/"))));
    const open = () => list[0]!.connections.filter(({ inbox }) => inbox.ended === null).length;
    await until(() => open() <= 2, "no more than two to be kept");
    expect(open()).toBeGreaterThan(0);
  });

  test("not longer than idleTimeout", async () => {
    using list = await origins("a");
    await using gateway = await serve({ endpoints: list[0]!.address, pool: { idleTimeout: "200ms" } });
    await exchange(gateway.port, get("/"));
    expect(await list[0]!.connections[0]!.closed()).toBe("end");
  });

  test("one the origin closed while it waited is replaced unseen, for POST too when nothing was sent on it", async () => {
    using list = await origins("a");
    await using gateway = await serve(list[0]!.address);
    for (let i = 0; i < 3; i++) {
      expect((await exchange(gateway.port, i === 1 ? post("/", "x") : get("/"))).status).toBe(200);
      list[0]!.connections.at(-1)!.end();
      await Bun.sleep(30);
    }
    expect(list[0]!.connections).toHaveLength(3);
  });

  test("one the origin closes just as a GET is sent on it costs the client nothing", async () => {
    using list = await origins("a");
    await using gateway = await serve({ endpoints: list[0]!.address, retry: 0 });
    await exchange(gateway.port, get("/"));
    list[0]!.script = async (request) => {
      list[0]!.script = named("a");
      request.connection.reset();
    };
    expect((await exchange(gateway.port, get("/"))).status).toBe(200);
  });

  test("one with an unfinished response is not used again", async () => {
    using list = await origins("a");
    list[0]!.script = async (request) => {
      await request.send(`HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n${"x".repeat(100_000)}`);
      request.connection.detach();
    };
    await using gateway = await serve(list[0]!.address);
    using client = await RawClient.connect(gateway.port);
    client.send(get("/"));
    await client.head();
    client.reset();
    expect(await list[0]!.connections[0]!.closed()).toMatch(/end|reset/);
    list[0]!.script = named("fresh");
    expect((await exchange(gateway.port, get("/"))).text).toBe("fresh");
  });
});

describe("addresses", () => {
  test("a unix socket", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "lintel-unix-")), "app.sock");
    using origin = await Origin.start({ path });
    origin.script = named("unix");
    await using gateway = await serve(`unix:${path}`);
    expect(await exchange(gateway.port, get("/"))).toMatchObject({ status: 200, text: "unix" });
    expect(await exchange(gateway.port, post("/", "x"))).toMatchObject({ status: 200, text: "unix" });
  });

  test("IPv6", async () => {
    using origin = await Origin.start({ host: "::1", port: 0 });
    origin.script = named("six");
    await using gateway = await serve(`[::1]:${origin.port}`);
    expect(await exchange(gateway.port, get("/"))).toMatchObject({ status: 200, text: "six" });
  });

  test("a name", async () => {
    using list = await origins("local");
    await using gateway = await serve(`localhost:${list[0]!.port}`);
    expect(await exchange(gateway.port, get("/"))).toMatchObject({ status: 200, text: "local" });
  });

  test("a name that does not resolve is 502, and the log says why", async () => {
    await using gateway = await serve("no-such-host.invalid:80");
    expect((await exchange(gateway.port, get("/"), "GET", 15_000)).status).toBe(502);
    expect(await gateway.logLine(15_000)).toMatchObject({ outcome: { code: "upstream-resolve-failed" } });
  }, 30_000);

  test("a listener on a unix socket and one on IPv6", async () => {
    using list = await origins("a");
    const path = join(mkdtempSync(join(tmpdir(), "lintel-unix-")), "lintel.sock");
    await using gateway = await serve(list[0]!.address, {
      listeners: ["127.0.0.1:0", `unix:${path}`, { name: "six", address: "[::1]:0" }],
    });
    expect((await exchange({ path }, get("/"))).text).toBe("a");
    expect((await exchange(gateway.url("[::1]"), get("/"))).text).toBe("a");
    expect((await exchange(gateway.port, get("/"))).text).toBe("a");
  });

  test("an address straight in `to`, and lists of them", async () => {
    using list = await origins("a", "b");
    await using gateway = await Gateway.start({
      sites: [
        {
          routes: [
            { match: "/one", to: list[0]!.address },
            { match: "/two", to: [list[0]!.address, list[1]!.address] },
          ],
        },
      ],
    });
    expect((await exchange(gateway.port, get("/one"))).text).toBe("a");
    expect(
      [(await exchange(gateway.port, get("/two"))).text, (await exchange(gateway.port, get("/two"))).text].sort(),
    ).toEqual(["a", "b"]);
  });
});

describe("Host sent to the origin (RFC 9110 §7.2)", () => {
  test.each([
    ["keep", "client.example:8080"],
    ["fixed.example", "fixed.example"],
  ])("host: %s", async (host, expected) => {
    using list = await origins("a");
    await using gateway = await serve({ endpoints: list[0]!.address, host });
    await exchange(gateway.port, wire("GET / HTTP/1.1", "Host: client.example:8080", "", ""));
    expect(list[0]!.last.field("host")).toBe(expected);
    expect(list[0]!.last.field("x-forwarded-host")).toBe("client.example:8080");
  });

  test("host: endpoint", async () => {
    using list = await origins("a");
    await using gateway = await serve({ endpoints: list[0]!.address, host: "endpoint" });
    await exchange(gateway.port, get("/"));
    expect(list[0]!.last.field("host")).toBe(list[0]!.address);
  });
});

describe("identity branding", () => {
  test("an upstream on another host name works under ours", async () => {
    using list = await origins("a");
    const vendor = "shop.vendor.example";
    list[0]!.script = (request) =>
      request.reply({
        status: 302,
        reason: "Found",
        fields: {
          Location: `https://${vendor}/cart?a=b`,
          "Content-Location": `https://${vendor}/x`,
          Refresh: `5; url=https://${vendor}/later`,
          "Set-Cookie": [
            "sid=1; Domain=vendor.example; Path=/; Secure; HttpOnly",
            "theme=dark; Path=/shop",
            `x=y; domain=.${vendor}; SameSite=Lax`,
          ],
        },
      });
    await using gateway = await serve({ endpoints: list[0]!.address, branding: { as: `https://${vendor}` } });
    const response = await exchange(
      gateway.port,
      wire("GET /cart HTTP/1.1", "Host: shop.ours.example:8080", "Origin: http://shop.ours.example:8080", "", ""),
    );
    expect(list[0]!.last.field("host")).toBe(vendor);
    expect(response.field("location")).toBe("http://shop.ours.example:8080/cart?a=b");
    expect(response.field("content-location")).toBe("http://shop.ours.example:8080/x");
    expect(response.field("refresh")).toBe("5; url=http://shop.ours.example:8080/later");
    const cookies = response.head.all("set-cookie");
    expect(cookies).toHaveLength(3);
    expect(cookies.join("\n")).not.toMatch(/domain=/i);
    expect(cookies[0]).not.toMatch(/secure/i);
    expect(cookies[0]).toContain("HttpOnly");
    expect(cookies[1]).toBe("theme=dark; Path=/shop");
  });

  test("a location elsewhere stays elsewhere", async () => {
    using list = await origins("a");
    list[0]!.script = (request) =>
      request.reply({ status: 302, fields: { Location: "https://pay.example/x?back=https://shop.vendor.example/" } });
    await using gateway = await serve({ endpoints: list[0]!.address, branding: { as: "https://shop.vendor.example" } });
    expect((await exchange(gateway.port, get("/"))).field("location")).toBe(
      "https://pay.example/x?back=https://shop.vendor.example/",
    );
  });
});

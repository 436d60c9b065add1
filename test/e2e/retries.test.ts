/** Retries, hedging, waiting and the circuit breaker against origin servers that misbehave. */
import { afterEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { Gateway, type LogLine } from "../support/gateway.ts";
import { closedPort, Origin, type OriginRequest, type Script } from "../support/origin.ts";
import { closeClients, exchange, get, post, RawClient, wire } from "../support/raw.ts";
import { until } from "../support/until.ts";

afterEach(closeClients);

const named =
  (name: string): Script =>
  async (request) => {
    await request.content();
    await request.reply({ content: name });
  };

const busy: Script = async (request) => {
  await request.content();
  await request.reply({ status: 503, reason: "Busy", fields: { "x-of": "first" }, content: "busy" });
};

const resets: Script = async (request) => {
  await request.content();
  request.connection.reset();
};

const silent: Script = (request) => request.connection.detach();

/** A gateway in front of two origins; the first one does as told, the second answers "second". */
async function between(script: Script, upstream: Record<string, unknown> = {}, more: Record<string, unknown> = {}) {
  const [first, second] = [await Origin.start(), await Origin.start()];
  first.script = script;
  second.script = named("second");
  const app = { endpoints: [first.address, second.address], health: { passive: "off" }, ...upstream };
  const gateway = await Gateway.start({ upstreams: { app }, sites: [{ to: "app" }], ...more });
  return {
    first,
    second,
    gateway,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      first.stop();
      second.stop();
    },
  };
}

const put = (path: string, content: string, ...lines: string[]): string =>
  wire(`PUT ${path} HTTP/1.1`, "Host: a", `Content-Length: ${content.length}`, ...lines, "", content);

const tries = (line: LogLine): unknown[] =>
  ((line["tries"] ?? []) as { status: number | null; code: string | null }[]).map(({ status, code }) => code ?? status);

const contentOf = async (request: OriginRequest): Promise<string> => (await request.content()).text;

describe("another endpoint saves the exchange", () => {
  test("when one refuses, whatever the method and content", async () => {
    using origin = await Origin.start();
    origin.script = async (request) => request.reply({ content: await contentOf(request) });
    await using gateway = await Gateway.start({
      upstreams: {
        app: { endpoints: [`127.0.0.1:${await closedPort()}`, origin.address], health: { passive: "off" } },
      },
      sites: [{ to: "app" }],
    });
    for (let i = 0; i < 4; i++)
      expect(await exchange(gateway.port, post("/", "content"))).toMatchObject({ status: 200, text: "content" });
    const failedOver = (await gateway.log(4)).filter((line) => line["attempts"] === 2);
    expect(failedOver.length).toBeGreaterThan(0);
    for (const line of failedOver) expect(tries(line)).toEqual(["upstream-connect-refused", 200]);
  });

  test("when one resets a GET before its response (RFC 9110 §9.2.2)", async () => {
    await using t = await between(resets);
    expect(await exchange(t.gateway.port, get("/"))).toMatchObject({ status: 200, text: "second" });
    expect(await t.gateway.logLine()).toMatchObject({
      endpoint: t.second.address,
      attempts: 2,
      tries: [
        { endpoint: t.first.address, hedge: false, reused: false, status: null, code: "upstream-reset" },
        { endpoint: t.second.address, hedge: false, reused: false, status: 200, code: null },
      ],
    });
  });

  test("when one says 503, where that is retried; nothing of its response is seen", async () => {
    await using t = await between(busy, { retry: { on: [503] } });
    const response = await exchange(t.gateway.port, get("/"));
    expect([response.status, response.text, response.field("x-of")]).toEqual([200, "second", undefined]);
    expect(tries(await t.gateway.logLine())).toEqual([503, 200]);
  });

  test("when one is frozen, by perAttempt", async () => {
    await using t = await between(silent, { retry: { on: ["timeout"], perAttempt: "150ms" } });
    expect(await exchange(t.gateway.port, get("/"))).toMatchObject({ status: 200, text: "second" });
    expect(tries(await t.gateway.logLine())).toEqual(["upstream-attempt-timeout", 200]);
  });
});

describe("nothing is done twice", () => {
  test("a POST that was sent is not sent again", async () => {
    await using t = await between(resets, { retry: { content: "64KiB" } });
    expect((await exchange(t.gateway.port, post("/", "buy one"))).status).toBe(502);
    expect(t.second.requests).toHaveLength(0);
  });

  test("a 503 to a POST is its answer", async () => {
    await using t = await between(busy, { retry: { on: [503] } });
    expect(await exchange(t.gateway.port, post("/", "buy one"))).toMatchObject({ status: 503, text: "busy" });
    expect(t.second.requests).toHaveLength(0);
  });

  test("with anyMethod, both are", async () => {
    await using t = await between(busy, { retry: { on: [503, "reset"], anyMethod: true, content: "64KiB" } });
    expect((await exchange(t.gateway.port, post("/", "buy one"))).text).toBe("second");
    expect(await contentOf(t.second.last)).toBe("buy one");
  });

  test("a response that has begun is not begun again", async () => {
    await using t = await between(async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
      await Bun.sleep(15);
      request.connection.reset();
    });
    await expect(exchange(t.gateway.port, get("/"))).rejects.toThrow(/end|reset/);
    expect(t.second.requests).toHaveLength(0);
  });
});

describe("content is sent again exactly", () => {
  const upstream = { retry: { on: ["reset", 503], content: "64KiB" } };
  const random = (octets: number): string => randomBytes(octets).toString("latin1");

  test.each([1, 1000, 64 * 1024])("%i octets of declared length", async (octets) => {
    await using t = await between(resets, upstream);
    const content = random(octets);
    expect((await exchange(t.gateway.port, put("/", content))).text).toBe("second");
    expect(await contentOf(t.first.last)).toBe(content);
    expect(await contentOf(t.second.last)).toBe(content);
    expect(t.second.last.framing).toBe("length");
  });

  test("in chunks, with trailers", async () => {
    await using t = await between(busy, upstream);
    using client = await RawClient.connect(t.gateway.port);
    client.send(wire("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", ""));
    const pieces = Array.from({ length: 20 }, () => random(500));
    for (const piece of pieces) {
      await client.send(`${piece.length.toString(16)}\r\n${piece}\r\n`);
      await Bun.sleep(1);
    }
    client.send("0\r\nX-Sum: 42\r\n\r\n");
    expect((await client.response()).text).toBe("second");
    for (const origin of [t.first, t.second]) {
      const content = await origin.last.content();
      expect(content.text).toBe(pieces.join(""));
      expect(content.trailers).toEqual([["X-Sum", "42"]]);
    }
  });

  test("while the client still sends", async () => {
    await using t = await between((request) => request.connection.reset(), upstream);
    using client = await RawClient.connect(t.gateway.port);
    client.send(`${wire("PUT / HTTP/1.1", "Host: a", "Content-Length: 6", "", "")}one`);
    await t.second.next();
    client.send("two");
    expect((await client.response()).text).toBe("second");
    expect(await contentOf(t.second.last)).toBe("onetwo");
  });

  test("after Expect: 100-continue, which the client hears once (RFC 9110 §10.1.1)", async () => {
    await using t = await between(async (request) => {
      await request.send("HTTP/1.1 100 Continue\r\n\r\n");
      await request.content();
      request.connection.reset();
    }, upstream);
    t.second.script = async (request) => {
      await request.send("HTTP/1.1 100 Continue\r\n\r\n");
      await request.content();
      await request.reply({ content: "second" });
    };
    using client = await RawClient.connect(t.gateway.port);
    client.send(wire("PUT / HTTP/1.1", "Host: a", "Content-Length: 5", "Expect: 100-continue", "", ""));
    expect((await client.head()).startLine).toStartWith("HTTP/1.1 100 ");
    client.send("hello");
    expect(await client.response()).toMatchObject({ status: 200, text: "second", interim: [] });
    expect(await contentOf(t.second.last)).toBe("hello");
  });

  test.each([true, false])("more than the bound is not (length declared: %p)", async (declared) => {
    await using t = await between(resets, upstream);
    const content = random(64 * 1024 + 1);
    const chunked = wire("PUT / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", "");
    const request = declared
      ? put("/", content)
      : `${chunked}${content.length.toString(16)}\r\n${content}\r\n0\r\n\r\n`;
    expect((await exchange(t.gateway.port, request)).status).toBe(502);
    expect(await contentOf(t.first.last)).toBe(content);
    expect(t.second.requests).toHaveLength(0);
  });
});

describe("when nothing helps", () => {
  test("the last server's own response is the answer", async () => {
    await using t = await between(busy, { retry: { on: [502, 503], attempts: 5 } });
    t.second.script = (request) => request.reply({ status: 502, reason: "Sorry", content: "sorry" });
    expect(await exchange(t.gateway.port, get("/"))).toMatchObject({ status: 502, text: "sorry" });
    expect(tries(await t.gateway.logLine())).toEqual([503, 502]);
  });

  test("the budget bounds how many retries there are", async () => {
    await using t = await between(busy, { retry: { on: [503], budget: "10%", budgetFloor: 0 } });
    t.second.script = busy;
    for (let i = 0; i < 60; i++) await exchange(t.gateway.port, get("/"));
    const lines = await t.gateway.log(60);
    const retries = lines.filter((line) => line["attempts"] === 2).length;
    expect(retries).toBeWithin(1, 7);
  });
});

describe("hedging", () => {
  test("a second endpoint answers what the first one is slow with", async () => {
    await using t = await between(silent, { hedge: { after: "50ms" } });
    expect(await exchange(t.gateway.port, get("/"))).toMatchObject({ status: 200, text: "second" });
    expect(await t.gateway.logLine()).toMatchObject({
      endpoint: t.second.address,
      tries: [
        { endpoint: t.first.address, hedge: false, status: null, code: null },
        { endpoint: t.second.address, hedge: true, status: 200, code: null },
      ],
    });
    expect(await t.first.connections[0]!.closed()).toMatch(/end|reset/);
  });

  test("the first one may still win", async () => {
    let isHedged = () => false;
    await using t = await between(
      async (request) => {
        await until(() => isHedged(), "the second to be asked");
        await request.reply({ content: "first" });
      },
      { hedge: { after: "50ms" } },
    );
    t.second.script = silent;
    isHedged = () => t.second.requests.length > 0;
    expect((await exchange(t.gateway.port, get("/"))).text).toBe("first");
    expect(await t.second.connections[0]!.closed()).toMatch(/end|reset/);
    expect(tries(await t.gateway.logLine())).toEqual([200, null]);
  });
});

describe("room", () => {
  test("exchanges wait for it; with a full queue, or after its time, it is 503 with Retry-After", async () => {
    const held: OriginRequest[] = [];
    const upstream = { maxInFlight: 1, queue: { size: 1, timeout: "2s" } };
    using origin = await Origin.start();
    origin.script = (request) => {
      held.push(request);
    };
    await using gateway = await Gateway.start({
      upstreams: { app: { endpoints: origin.address, ...upstream } },
      sites: [
        {
          routes: [
            { match: "/ping", use: [{ respond: "pong" }] },
            { match: "/*", to: "app" },
          ],
        },
      ],
    });
    /** What was sent before has been read when a few later requests have been answered. */
    const hasSeenAll = async () => {
      for (let i = 0; i < 5; i++) expect((await exchange(gateway.port, get("/ping"))).text).toBe("pong");
    };
    const first = exchange(gateway.port, get("/first"));
    await origin.next();
    const second = exchange(gateway.port, get("/second"));
    await hasSeenAll();
    const refused = await exchange(gateway.port, get("/third"));
    expect([refused.status, refused.field("retry-after")]).toEqual([503, "1"]);
    expect(await gateway.logOf("/third")).toMatchObject({
      outcome: { by: "gateway", phase: "queue", code: "queue-full" },
    });
    const late = await second;
    expect([late.status, late.field("retry-after")]).toEqual([503, "1"]);
    expect(await gateway.logOf("/second")).toMatchObject({ attempts: 0, outcome: { code: "queue-timeout" } });
    const third = exchange(gateway.port, get("/fourth"));
    await hasSeenAll();
    await held[0]!.reply({ content: "first" });
    expect((await first).text).toBe("first");
    await until(() => held.length === 2, "the fourth to be sent");
    await held[1]!.reply({ content: "fourth" });
    expect((await third).text).toBe("fourth");
  });
});

describe("a client that goes away", () => {
  test.each<[string, Record<string, unknown>, (client: RawClient, t: Awaited<ReturnType<typeof between>>) => unknown]>([
    ["while an endpoint is waited for", {}, (_client, t) => t.first.next()],
    ["while two are", { hedge: { after: "20ms" } }, async (_client, t) => await t.second.next()],
    [
      "while its content is sent again",
      { retry: { content: "64KiB" } },
      async (client, t) => {
        client.send(`${wire("PUT / HTTP/1.1", "Host: a", "Content-Length: 100", "", "")}half`);
        const request = await t.first.next();
        request.connection.reset();
        await t.second.next();
      },
    ],
  ])("%s leaves nothing behind", async (what, upstream, meanwhile) => {
    await using t = await between(silent, { maxInFlight: 1, ...upstream });
    t.second.script = silent;
    using client = await RawClient.connect(t.gateway.port);
    if (!what.includes("content")) client.send(get("/"));
    await meanwhile(client, t);
    client.reset();
    expect(await t.gateway.logLine()).toMatchObject({ status: 499, outcome: { code: "client-closed" } });
    // Were anything still counted on an endpoint, these would have to wait.
    for (const origin of [t.first, t.second]) origin.script = named("again");
    for (let i = 0; i < 4; i++) expect((await exchange(t.gateway.port, get("/"))).text).toBe("again");
  });
});

test("an open circuit answers 503 with the time to come back", async () => {
  await using t = await between(busy, {
    circuit: { failures: "50%", requests: 4, window: "10s", openFor: "10m", probes: 1 },
    retry: { on: [], attempts: 0 },
  });
  t.second.script = busy;
  for (let i = 0; i < 4; i++) expect((await exchange(t.gateway.port, get("/"))).text).toBe("busy");
  const response = await exchange(t.gateway.port, get("/refused"));
  expect(response.status).toBe(503);
  expect(Number(response.field("retry-after"))).toBeWithin(500, 601);
  expect(await t.gateway.logOf("/refused")).toMatchObject({
    attempts: 0,
    outcome: { by: "gateway", code: "circuit-open" },
  });
});

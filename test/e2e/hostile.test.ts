/** Peers that mean harm, or have none of their own limits: memory, descriptors and other clients must not suffer. */
import { describe, expect, test } from "bun:test";
import { SMALL_HEAP } from "../support/gateway.ts";
import { pair } from "../support/pair.ts";
import { exchange, get, post, RawClient, wire } from "../support/raw.ts";

const MIB = 1024 * 1024;
const it = pair(() => ({ timeouts: { send: "5s" } }), { env: SMALL_HEAP });

/** Ordinary requests are served, whatever goes on beside them. */
async function bystanderIsServed(): Promise<void> {
  expect((await exchange(it.gateway.port, get("/bystander"))).status).toBe(200);
}

/** Ordinary requests, pipelined: code that is compiled meanwhile is not what the clients after it cost. */
async function warmUp(requests: number): Promise<void> {
  using client = await RawClient.connect(it.gateway.port);
  void client.send(get("/").repeat(requests));
  for (let i = 0; i < requests; i++) expect((await client.response()).status).toBe(200);
}

/** Waits until a count has come to rest. */
async function restOf(count: () => number): Promise<void> {
  for (let before = -1; before !== count() || before === 0; await Bun.sleep(400)) before = count();
}

describe("memory stays bounded", () => {
  test("a client that pipelines without end and reads nothing is stopped", async () => {
    it.origin.script = (request) => request.reply({ content: "x".repeat(10_000) });
    await warmUp(2000);
    const before = it.gateway.residentOctets();
    using client = await RawClient.connect(it.gateway.port);
    client.pause();
    const batch = Buffer.from(get("/").repeat(1000), "latin1");
    let sent = 0;
    const sending = (async () => {
      while (client.isOpen && sent < 64 * MIB) {
        await client.send(batch);
        sent += batch.length;
      }
    })();
    await restOf(() => sent);
    await bystanderIsServed();
    expect(sent).toBeLessThan(64 * MIB);
    expect(it.gateway.residentOctets() - before).toBeLessThan(20 * MIB);
    client.reset();
    await sending;
  });

  test("sixty clients that stop reading large responses cost no more than what was in flight", async () => {
    const content = Buffer.alloc(6 * MIB, "stalled ");
    it.origin.script = async (request) => {
      await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n\r\n`);
      await request.send(content);
    };
    const before = it.gateway.residentOctets();
    const clients = await Promise.all(Array.from({ length: 60 }, () => RawClient.connect(it.gateway.port)));
    for (const client of clients) {
      client.pause();
      client.send(get("/large"));
    }
    await restOf(() => it.gateway.sockets());
    await Bun.sleep(300);
    expect(it.gateway.residentOctets() - before).toBeLessThan(60 * MIB);
    it.origin.script = (request) => request.reply();
    await bystanderIsServed();
    for (const client of clients) client.reset();
    await it.gateway.socketsAtMost(40);
  }, 30_000);

  test("a response head that drips octet by octet is taken, and one with very many lines refused", async () => {
    it.origin.script = async (request) => {
      await request.connection.drip("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1);
    };
    expect((await exchange(it.gateway.port, get("/"))).text).toBe("ok");
    it.origin.script = async (request) => {
      await request.send(
        `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${Array.from({ length: 5000 }, (_, i) => `X-${i}: y\r\n`).join("")}\r\n`,
      );
      request.connection.end();
    };
    expect((await exchange(it.gateway.port, get("/"))).status).toBe(502);
  });

  test("a chunk of one octet at a time does not grow anything", async () => {
    const before = it.gateway.residentOctets();
    it.origin.script = async (request) => {
      request.connection.countOnly = true;
      await request.reply();
      request.connection.detach();
    };
    using client = await RawClient.connect(it.gateway.port);
    const chunks = Buffer.from("1;extension=dropped\r\na\r\n".repeat(40_000), "latin1");
    await client.send(wire("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", ""));
    await client.send(chunks);
    expect((await client.response()).status).toBe(200);
    expect(it.gateway.residentOctets() - before).toBeLessThan(20 * MIB);
  });
});

describe("nothing is left behind", () => {
  test("clients that leave at every stage of an exchange", async () => {
    it.origin.script = async (request) => {
      await request.content();
      await request.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
      await Bun.sleep(5);
      await request.send("x".repeat(50));
      await Bun.sleep(5);
      await request.send("x".repeat(50));
    };
    const octets = post("/leave", "some content that is sent in the middle");
    const leave = async (i: number) => {
      using client = await RawClient.connect(it.gateway.port);
      const at = (i * 7) % (octets.length + 1);
      await client.send(octets.slice(0, at));
      await Bun.sleep(i % 12);
      if (i % 3 === 0) client.reset();
      else if (i % 3 === 1) client.halfClose();
      await Bun.sleep(i % 4);
    };
    for (let round = 0; round < 10; round++)
      await Promise.all(Array.from({ length: 40 }, (_, i) => leave(round * 40 + i)));
    await bystanderIsServed().catch(() => {});
    await it.gateway.socketsAtMost(45);
    const metrics = await it.gateway.metrics();
    const active = [...metrics]
      .filter(([name]) => /^lintel_(connections|upstream_connections)_active/.test(name))
      .map(([, value]) => value);
    expect(active.every((value) => value === 0)).toBe(true);
  }, 30_000);

  test("origin servers that break off at every octet of a response", async () => {
    const response = wire(
      "HTTP/1.1 200 OK",
      "Transfer-Encoding: chunked",
      "X-A: b",
      "",
      "5",
      "hello",
      "3",
      "!!!",
      "0",
      "T: v",
      "",
      "",
    );
    let cut = 0;
    it.origin.script = async (request) => {
      await request.send(response.slice(0, cut));
      if (cut % 2 === 0) request.connection.reset();
      else request.connection.end();
    };
    for (cut = 0; cut < response.length; cut++) {
      const outcome = await exchange(it.gateway.port, get(`/${cut}`)).then(
        ({ status }) => status,
        (why: Error) => why.message,
      );
      if (typeof outcome === "number") expect(outcome).toBe(502);
      else expect(outcome).toMatch(/^(end|reset) of the connection/);
    }
    await it.gateway.socketsAtMost(45);
  });

  test("five hundred connections opened and reset at once", async () => {
    const clients = await Promise.all(Array.from({ length: 500 }, () => RawClient.connect(it.gateway.port)));
    for (const [i, client] of clients.entries()) {
      if (i % 2 === 0) client.send(get("/"));
      client.reset();
    }
    await bystanderIsServed();
    await it.gateway.socketsAtMost(60);
  });
});

test("trailers of a response go to clients that said TE: trailers only, and never into the head (RFC 9110 §6.5.1)", async () => {
  it.origin.script = (request) =>
    request.send(
      wire("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "1", "a", "0", "X-Late: 1", "Set-Cookie: a=b", "", ""),
    );
  const without = await exchange(it.gateway.port, get("/"));
  expect(without.trailers).toEqual([]);
  expect(without.field("x-late")).toBeUndefined();
  const asked = await exchange(it.gateway.port, get("/", "TE: trailers", "Connection: TE"));
  expect(asked.trailers).toEqual([["X-Late", "1"]]);
});

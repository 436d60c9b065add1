/**
 * Content streams both ways with backpressure from end to end: memory stays bounded whatever the
 * peers do, and what was written arrives at once. LINTEL_LONG=1 moves 1 GiB instead of 256 MiB, and
 * says by how much memory grew.
 */
import { afterAll, describe, expect, test } from "bun:test";
import type { Gateway } from "../support/gateway.ts";
import { MemoryProbe } from "../support/memory-probe.ts";
import { pair } from "../support/pair.ts";
import { get, RawClient, wire } from "../support/raw.ts";

const MIB = 1024 * 1024;
const IS_LONG = process.env["LINTEL_LONG"] === "1";
const TOTAL = (IS_LONG ? 1024 : 256) * MIB;
const GROWTH = 20 * MIB;
const PIECE = Buffer.alloc(256 * 1024, "lintel streams ");
const LONG_MS = 120_000;

const probe = new MemoryProbe();
afterAll(() => probe[Symbol.dispose]());

const it = pair(() => ({ limits: { content: "off" }, timeouts: { send: "60s" } }), { env: probe.environment });

/**
 * Highest resident memory over what it was, read again and again while `work` runs, each time after a collection:
 * what is queued lives, and counts; garbage does not.
 */
async function growthDuring(what: string, gateway: Gateway, work: () => Promise<void>): Promise<number> {
  const read = async () => (await probe.read(gateway.workers[0]!)).residentOctets;
  const before = await read();
  let most = 0;
  let readings = 0;
  let isOver = false;
  const watching = (async () => {
    for (; !isOver; readings++) {
      most = Math.max(most, (await read()) - before);
      await Bun.sleep(50);
    }
  })();
  await work().finally(() => (isOver = true));
  await watching;
  expect(readings).toBeGreaterThan(5);
  if (IS_LONG) console.log(`${what}: memory grew by ${(most / MIB).toFixed(1)} MiB at most, of ${readings} readings`);
  return most;
}

/** Sends TOTAL octets, never more than one piece ahead of the socket. */
async function pour(send: (octets: Uint8Array) => Promise<void>): Promise<void> {
  for (let sent = 0; sent < TOTAL; sent += PIECE.length) await send(PIECE);
}

/** Reads a little, waits, reads on; then as fast as it comes. */
async function readSlowly(peer: { pause(): void; resume(): void }, done: () => boolean): Promise<void> {
  for (let i = 0; i < 30 && !done(); i++) {
    peer.pause();
    await Bun.sleep(60);
    peer.resume();
    await Bun.sleep(3);
  }
  while (!done()) await Bun.sleep(5);
}

/** Waits until a count has come to rest. */
async function restOf(count: () => number): Promise<void> {
  for (let before = -1; before !== count() || before === 0; await Bun.sleep(400)) before = count();
}

describe("backpressure", () => {
  test.each(["length", "chunked"])(
    "a download (%s) through a slow reader costs less than 20 MiB",
    async (framing) => {
      it.origin.script = async (request) => {
        request.connection.detach();
        if (framing === "length") {
          await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
          await pour((octets) => request.send(octets));
        } else {
          await request.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
          const size = `${PIECE.length.toString(16)}\r\n`;
          await pour((octets) => request.send(Buffer.concat([Buffer.from(size), octets, Buffer.from("\r\n")])));
          await request.send("0\r\n\r\n");
        }
        request.connection.end();
      };
      using client = await RawClient.connect(it.gateway.port);
      client.send(get("/", "Connection: close"));
      await client.head();
      client.countOnly = true;
      const growth = await growthDuring(`download (${framing})`, it.gateway, () =>
        readSlowly(client, () => client.receivedOctets >= TOTAL || !client.isOpen),
      );
      expect(client.receivedOctets).toBeGreaterThanOrEqual(TOTAL);
      expect(growth).toBeLessThan(GROWTH);
    },
    LONG_MS,
  );

  test(
    "an upload to a slow origin server costs less than 20 MiB",
    async () => {
      it.origin.script = async (request) => {
        const { connection } = request;
        connection.detach();
        connection.countOnly = true;
        const head = connection.receivedOctets - connection.inbox.pending.length;
        await readSlowly(
          connection,
          () => connection.receivedOctets - head >= TOTAL || connection.inbox.ended !== null,
        );
        await request.reply({ content: String(connection.receivedOctets - head) });
        connection.end();
      };
      using client = await RawClient.connect(it.gateway.port);
      const growth = await growthDuring("upload", it.gateway, async () => {
        await client.send(wire("POST / HTTP/1.1", "Host: a", `Content-Length: ${TOTAL}`, "", ""));
        await pour((octets) => client.send(octets));
        expect((await client.response("POST", LONG_MS)).text).toBe(String(TOTAL));
      });
      expect(growth).toBeLessThan(GROWTH);
    },
    LONG_MS,
  );

  test("a reader that takes nothing stops the origin server soon", async () => {
    let sent = 0;
    it.origin.script = async (request) => {
      request.connection.detach();
      await request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
      while (sent < TOTAL && !request.connection.inbox.ended) {
        await request.send(PIECE);
        sent += PIECE.length;
      }
    };
    using client = await RawClient.connect(it.gateway.port);
    client.pause();
    client.send(get("/"));
    await restOf(() => sent);
    // Kernel buffers on both sides and the gateway's own marks.
    expect(sent).toBeLessThan(32 * MIB);
    client.reset();
  });
});

describe("nothing waits for more (RFC 9110 §7.6: forwarded as received)", () => {
  test("server-sent events reach the client one by one, at once", async () => {
    let seen = Promise.withResolvers<void>();
    it.origin.script = async (request) => {
      await request.send(
        wire("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked", "", ""),
      );
      for (let i = 0; i < 5; i++) {
        const event = `data: ${i}\n\n`;
        await request.send(`${event.length.toString(16)}\r\n${event}\r\n`);
        // The next one is not sent before the client has this one.
        await seen.promise;
        seen = Promise.withResolvers();
      }
      await request.send("0\r\n\r\n");
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/events", "Accept: text/event-stream"));
    for (let i = 0; i < 5; i++) {
      await client.until(`data: ${i}\n\n`);
      seen.resolve();
    }
  });

  test("a response head without content yet reaches the client at once", async () => {
    let finish = () => {};
    it.origin.script = async (request) => {
      await request.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
      await new Promise<void>((resolve) => (finish = resolve));
      await request.send("ok");
    };
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/poll"));
    expect((await client.head()).startLine).toContain("200");
    finish();
    await client.until("ok");
  });

  test("request content reaches the origin as it comes, in both framings", async () => {
    for (const framing of ["Content-Length: 10", "Transfer-Encoding: chunked"]) {
      const chunked = framing.startsWith("T");
      using client = await RawClient.connect(it.gateway.port);
      client.send(wire("POST / HTTP/1.1", "Host: a", framing, "", chunked ? "5\r\nfirst\r\n" : "first"));
      const { connection } = await it.origin.next();
      for (let i = 0; i < 2000 && !connection.received.includes("first"); i++) await Bun.sleep(5);
      expect(connection.received.toString("latin1")).toContain("first");
      client.send(chunked ? "4\r\nlast\r\n0\r\n\r\n" : " last");
      expect((await client.response()).status).toBe(200);
    }
  });
});

test("many downloads at once arrive octet for octet", async () => {
  const content = Buffer.from(Array.from({ length: 2 * MIB }, (_, i) => (i * 31 + (i >> 8)) & 255));
  it.origin.script = (request) => request.reply({ content });
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      using client = await RawClient.connect(it.gateway.port);
      client.send(get("/"));
      const { octets } = await client.response("GET", 20_000);
      expect(octets.equals(content)).toBe(true);
    }),
  );
});

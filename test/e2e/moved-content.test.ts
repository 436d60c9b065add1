/**
 * Long content of declared length goes from the origin server's connection to the client's within the
 * kernel. Nobody can tell by what arrives, whatever the peers do meanwhile.
 */

import { describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import type { OriginRequest } from "../support/origin.ts";
import { pair } from "../support/pair.ts";
import { get, RawClient } from "../support/raw.ts";
import { until } from "../support/until.ts";

const MIB = 1024 * 1024;
const CONTENT = randomBytes(4 * MIB);
const LONG = randomBytes(16 * MIB);

const it = pair(() => ({ limits: { content: "off" } }));

const digest = (octets: Uint8Array | string): string =>
  createHash("sha256")
    .update(typeof octets === "string" ? Buffer.from(octets, "latin1") : octets)
    .digest("hex");

const head = (length: number): string => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`;

/** Its octets go out in pieces, each by itself. */
async function pieces(request: OriginRequest, content: Uint8Array, size: number): Promise<void> {
  await request.send(head(content.length));
  for (let at = 0; at < content.length; at += size) {
    await request.send(content.subarray(at, at + size));
    await Bun.sleep(1);
  }
}

/** Descriptors that are pipes, in all workers together. */
function pipes(): number {
  const { stdout } = Bun.spawnSync([
    "sh",
    "-c",
    `ls -l ${it.gateway.workers.map((pid) => `/proc/${pid}/fd`).join(" ")}`,
  ]);
  return stdout.toString().match(/pipe:/g)?.length ?? 0;
}

async function fetchLong(client: RawClient, target: string): Promise<string> {
  client.send(get(target));
  const { octets } = await client.response();
  return digest(octets);
}

describe("long content", () => {
  test.each([64 * 1024, 250_001, MIB])(
    "in pieces of %i octets arrives as it was sent, and is counted",
    async (size) => {
      it.origin.script = (request) => pieces(request, CONTENT, size);
      using client = await RawClient.connect(it.gateway.port);
      expect(await fetchLong(client, `/counted-${size}`)).toBe(digest(CONTENT));
      expect(await it.gateway.logOf(`/counted-${size}`)).toMatchObject({ status: 200, responseOctets: CONTENT.length });
    },
  );

  test("leaves both connections fit for what comes next, long or short", async () => {
    const connections = new Set<unknown>();
    it.origin.script = async (request) => {
      connections.add(request.connection);
      await request.reply({ content: request.target.startsWith("/long") ? CONTENT : "short" });
    };
    using client = await RawClient.connect(it.gateway.port);
    for (let i = 0; i < 5; i++) {
      expect(await fetchLong(client, `/long-${i}`)).toBe(digest(CONTENT));
      expect(await fetchLong(client, `/short-${i}`)).toBe(digest("short"));
    }
    expect(connections.size).toBe(1);
  });

  test("is followed by the response of a pipelined request", async () => {
    it.origin.script = (request) => request.reply({ content: request.target === "/long" ? CONTENT : "next" });
    using client = await RawClient.connect(it.gateway.port);
    client.send(get("/long") + get("/next") + get("/long"));
    expect(digest((await client.response()).octets)).toBe(digest(CONTENT));
    expect(digest((await client.response()).octets)).toBe(digest("next"));
    expect(digest((await client.response()).octets)).toBe(digest(CONTENT));
  });

  test("reaches clients that read slowly, each its own", async () => {
    it.origin.script = (request) => request.reply({ content: Buffer.concat([Buffer.from(request.target), LONG]) });
    const read = async (target: string): Promise<void> => {
      using client = await RawClient.connect(it.gateway.port);
      client.pause();
      client.send(get(target));
      for (let i = 0; i < 20; i++) {
        await Bun.sleep(20);
        client.resume();
        await Bun.sleep(1);
        client.pause();
      }
      client.resume();
      const { octets } = await client.response("GET", 30_000);
      expect(digest(octets)).toBe(digest(Buffer.concat([Buffer.from(target), LONG])));
    };
    await Promise.all(["/a", "/b", "/c", "/d"].map(read));
  }, 60_000);

  test("with octets after it ends the origin server's connection: they are no response to the next request", async () => {
    const connections = new Set<unknown>();
    it.origin.script = async (request) => {
      connections.add(request.connection);
      if (request.target === "/surplus") {
        await request.reply({ content: CONTENT });
        await request.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
      } else await request.reply({ content: "clean" });
    };
    using client = await RawClient.connect(it.gateway.port);
    for (let i = 0; i < 10; i++) {
      expect(await fetchLong(client, "/surplus")).toBe(digest(CONTENT));
      expect(await fetchLong(client, "/clean")).toBe(digest("clean"));
    }
  });
});

describe("cut long content", () => {
  test.each([200_000, MIB, CONTENT.length - 1])(
    "looks cut after %i octets, by an end and by a reset",
    async (octets) => {
      for (const how of ["end", "reset"] as const) {
        it.origin.script = async (request) => {
          await request.send(head(CONTENT.length));
          await request.send(CONTENT.subarray(0, octets));
          await Bun.sleep(15);
          request.connection[how]();
        };
        using client = await RawClient.connect(it.gateway.port);
        client.send(get(`/cut-${octets}-${how}`));
        await client.head();
        const received = await client.untilClose().catch(() => null);
        if (received !== null) expect(digest(received)).toBe(digest(CONTENT.subarray(0, octets)));
        expect(await it.gateway.logOf(`/cut-${octets}-${how}`)).toMatchObject({
          responseOctets: octets,
          outcome: { code: "upstream-truncated" },
        });
      }
    },
  );

  test.each(["reset", "destroy"] as const)(
    "by a client that is gone (%s) ends the origin server's connection",
    async (how) => {
      const over = Promise.withResolvers<void>();
      it.origin.script = async (request) => {
        request.connection.detach();
        await request.send(head(1024 * MIB));
        while (request.connection.inbox.ended === null) {
          await Promise.race([request.send(CONTENT), Bun.sleep(100)]);
        }
        over.resolve();
      };
      using client = await RawClient.connect(it.gateway.port);
      client.countOnly = true;
      client.send(get(`/gone-${how}`));
      while (client.receivedOctets < 8 * MIB) await Bun.sleep(2);
      client[how]();
      await over.promise;
      expect(await it.gateway.logOf(`/gone-${how}`)).toMatchObject({ outcome: { code: "client-closed" } });
      it.origin.script = (request) => request.reply({ content: CONTENT });
      using next = await RawClient.connect(it.gateway.port);
      expect(await fetchLong(next, "/")).toBe(digest(CONTENT));
    },
  );
});

describe("pipes", () => {
  test("are few, and closed when a client leaves octets in one", async () => {
    it.origin.script = (request) => request.reply({ content: LONG });
    using first = await RawClient.connect(it.gateway.port);
    expect(await fetchLong(first, "/")).toBe(digest(LONG));
    const before = pipes();
    const stalled = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(it.gateway.port)));
    for (const client of stalled) {
      client.pause();
      client.send(get("/"));
    }
    await until(() => pipes() > before, "pipes to be used");
    await Bun.sleep(200);
    expect(pipes()).toBeLessThanOrEqual(before + 2 * 20);
    for (const client of stalled) client.reset();
    await until(() => pipes() <= before, "those pipes to be closed");
  });
});

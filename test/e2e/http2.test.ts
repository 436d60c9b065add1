/** HTTP/2 without TLS, on the same listener as HTTP/1 (RFC 9113 §3.3), through the whole program. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { needs, program } from "../../src/base/testing.ts";
import { curl, curlPath } from "../support/curl.ts";
import { Gateway } from "../support/gateway.ts";
import { RawClient } from "../support/raw.ts";

interface Answer {
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly interim: readonly number[];
  readonly trailers: Readonly<Record<string, string>> | null;
  readonly content: string;
  readonly error: string | null;
}

const origin = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const content = await request.text();
    const { pathname } = new URL(request.url);
    if (pathname === "/large") return new Response("x".repeat(1 << 20));
    if (pathname === "/slow") await Bun.sleep(150);
    return Response.json({
      method: request.method,
      path: pathname,
      fields: Object.fromEntries(request.headers),
      content,
    });
  },
});
let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.start({
    workers: 1,
    listeners: ["127.0.0.1:0"],
    sites: [{ to: `127.0.0.1:${origin.port}` }],
    timeouts: { drain: "5s" },
  });
});
afterAll(async () => {
  await gateway.stop();
  origin.stop(true);
});

async function exchanges(...plan: readonly unknown[]): Promise<Answer[]> {
  const peer = Bun.spawn(["node", join(import.meta.dir, "http2-peer.mjs"), gateway.url(), JSON.stringify(plan)], {
    stdout: "pipe",
  });
  return JSON.parse(await peer.stdout.text()) as Answer[];
}

const said = ({ content }: Answer) =>
  JSON.parse(content) as { method: string; path: string; fields: Record<string, string>; content: string };

describe("a client of HTTP/2", () => {
  test("has many requests answered on one connection, each with its own", async () => {
    const paths = Array.from({ length: 40 }, (_, i) => (i % 10 === 0 ? `/slow?${i}` : `/${i}`));
    const answers = await exchanges(...paths.map((path) => ({ fields: { ":path": path } })));
    expect(answers.map(({ status }) => status)).toEqual(paths.map(() => 200));
    expect(answers.map((one) => said(one).path)).toEqual(paths.map((path) => path.replace(/\?.*/, "")));
  });

  test("has its fields and content relayed, and the origin server told of it", async () => {
    const [answer] = await exchanges({
      fields: { ":method": "POST", ":path": "/upload", "x-own": "yes", cookie: "a=1" },
      content: "octets of content",
    });
    const { method, fields, content } = said(answer!);
    expect({ method, content, own: fields["x-own"] }).toEqual({
      method: "POST",
      content: "octets of content",
      own: "yes",
    });
    expect(fields["via"]).toBe("2 lintel");
    expect(fields["x-forwarded-proto"]).toBe("http");
    expect(answer!.fields["via"]).toBe("1.1 lintel");
  });

  test("gets long content whole, beside others", async () => {
    const answers = await exchanges(
      { fields: { ":path": "/large" } },
      { fields: { ":path": "/large" } },
      { fields: { ":path": "/small" } },
    );
    expect(answers.map(({ content }) => content.length).slice(0, 2)).toEqual([1 << 20, 1 << 20]);
    expect(answers[2]!.status).toBe(200);
  });

  test("is refused what HTTP/1 could not carry, stream by stream", async () => {
    const [bad, good] = await exchanges({ fields: { ":path": "/a b" } }, { fields: { ":path": "/good" } });
    expect([bad!.status, bad!.error]).toEqual([0, "Stream closed with error code NGHTTP2_PROTOCOL_ERROR"]);
    expect([good!.status, said(good!).path]).toEqual([200, "/good"]);
  });

  test("is in the access log with its version", async () => {
    await exchanges({ fields: { ":path": "/logged" } });
    const line = await gateway.logOf("/logged");
    expect(line["protocol"]).toBe("HTTP/2");
  });
});

needs(program("curl", curlPath)).test("curl speaks either version on the same listener", async () => {
  const two = await curl("--http2-prior-knowledge", `${gateway.url()}/two`);
  expect(two.heads).toStartWith("HTTP/2 200");
  const one = await curl(`${gateway.url()}/one`);
  expect(one.heads).toStartWith("HTTP/1.1 200");
});

test("a preface after a request of HTTP/1 is a request that is not understood", async () => {
  using client = await RawClient.connect(gateway.url());
  await client.send("GET /first HTTP/1.1\r\nHost: a.example\r\n\r\n");
  expect((await client.response()).status).toBe(200);
  await client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  expect((await client.response()).status).toBeGreaterThanOrEqual(400);
});

test("the preface may come in any pieces", async () => {
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
  for (let at = 1; at < preface.length; at++) {
    using client = await RawClient.connect(gateway.url());
    await client.send(preface.slice(0, at));
    await Bun.sleep(5);
    await client.send(preface.slice(at));
    // Our SETTINGS: length, then type 4 on stream 0.
    await client.inbox.until(() => (client.inbox.pending.length >= 9 ? 9 : null), "SETTINGS", 5000);
    const first = client.inbox.take(9);
    expect([first[3], first[5], first[6], first[7], first[8]]).toEqual([4, 0, 0, 0, 0]);
  }
});

test("a connection that grows old is replaced, and no request is lost", async () => {
  await using old = await Gateway.start({
    workers: 1,
    listeners: ["127.0.0.1:0"],
    sites: [{ to: `127.0.0.1:${origin.port}` }],
    timeouts: { connectionAge: "100ms" },
  });
  const peer = Bun.spawn(["node", join(import.meta.dir, "http2-age-peer.mjs"), old.url(), "8"], { stdout: "pipe" });
  const { connections, answered, lost } = JSON.parse(await peer.stdout.text());
  expect(lost).toEqual([]);
  expect(connections).toBe(8);
  expect(answered).toBeGreaterThan(8);
});

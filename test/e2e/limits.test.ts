/** Limits on what a client may send (RFC 9110 §15.5.14, §15.5.15, RFC 6585 §5). */
import { describe, expect, test } from "bun:test";
import { pair } from "../support/pair.ts";
import { exchange, get, RawClient, type RawResponse, wire } from "../support/raw.ts";

const it = pair(() => ({
  limits: {
    requestLine: "200B",
    fieldLine: "300B",
    fieldSection: "1KiB",
    fields: 12,
    trailers: "100B",
    chunkExtensions: "50B",
    content: "1000B",
  },
}));

async function refused(octets: string, status: number, method = "GET"): Promise<RawResponse> {
  using client = await RawClient.connect(it.gateway.port);
  client.send(octets);
  const response = await client.response(method);
  expect(response.status).toBe(status);
  expect(await client.closed()).toMatch(/end|reset/);
  return response;
}

const fields = (count: number, length: number) =>
  Array.from({ length: count }, (_, i) => `X-${i}: ${"v".repeat(length)}`);

describe("the head", () => {
  test("a request line within the limit passes", async () => {
    expect((await exchange(it.gateway.port, get(`/${"a".repeat(170)}`))).status).toBe(200);
  });

  test("a longer one gets 414, whole, in pieces, or without end", async () => {
    await refused(get(`/${"a".repeat(220)}`), 414);
    await refused(`GET /${"a".repeat(100_000)}`, 414);
    using client = await RawClient.connect(it.gateway.port);
    for (let i = 0; i < 5; i++) {
      client.send(i === 0 ? "GET /" : "a".repeat(50));
      await Bun.sleep(5);
    }
    expect((await client.response()).status).toBe(414);
  });

  test("a long method makes a long request line", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send("A".repeat(5000));
    expect((await client.response()).status).toBe(414);
  });

  test("a field line within the limit passes, a longer one gets 431", async () => {
    expect((await exchange(it.gateway.port, get("/", `X: ${"v".repeat(290)}`))).status).toBe(200);
    await refused(get("/", `X: ${"v".repeat(310)}`), 431);
    await refused(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"v".repeat(100_000)}`, 431);
  });

  test("a field section within the limit passes, a larger one gets 431", async () => {
    expect((await exchange(it.gateway.port, get("/", ...fields(4, 200)))).status).toBe(200);
    await refused(get("/", ...fields(6, 200)), 431);
  });

  test("as many field lines as the limit pass, one more gets 431", async () => {
    expect((await exchange(it.gateway.port, get("/", ...fields(11, 1)))).status).toBe(200);
    await refused(get("/", ...fields(12, 1)), 431);
  });
});

describe("the content", () => {
  const chunked = (...lines: string[]) =>
    wire("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", ...lines);

  test("trailers within the limit pass, larger ones get 431", async () => {
    it.origin.script = async (request) => {
      await request.content();
      await request.reply();
    };
    expect((await exchange(it.gateway.port, chunked("0", `X: ${"v".repeat(80)}`, "", ""))).status).toBe(200);
    const response = await exchange(it.gateway.port, chunked("0", `X: ${"v".repeat(120)}`, "", ""));
    expect(response.status).toBe(431);
  });

  test("chunk extensions within the limit pass, longer ones get 400, also without end", async () => {
    it.origin.script = async (request) => request.reply({ content: (await request.content()).text });
    expect((await exchange(it.gateway.port, chunked(`1;${"e".repeat(45)}`, "a", "0", "", ""))).text).toBe("a");
    expect((await exchange(it.gateway.port, chunked(`1;${"e".repeat(60)}`, "a", "0", "", ""))).status).toBe(400);
    expect((await exchange(it.gateway.port, chunked(`1;${"e".repeat(100_000)}`))).status).toBe(400);
  });

  test("a declared length over the limit gets 413 before the origin is asked (RFC 9110 §15.5.14)", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("POST / HTTP/1.1", "Host: a", "Content-Length: 1001", "", ""));
    expect((await client.response()).status).toBe(413);
    expect(it.origin.requests).toHaveLength(0);
  });

  test("a client that waits for 100 gets 413 instead", async () => {
    using client = await RawClient.connect(it.gateway.port);
    client.send(wire("POST / HTTP/1.1", "Host: a", "Content-Length: 1001", "Expect: 100-continue", "", ""));
    expect(await client.response()).toMatchObject({ status: 413, interim: [] });
  });

  test("chunked content is counted as it passes; the origin never sees it complete", async () => {
    it.origin.script = async (request) => {
      await request.content();
      await request.reply();
    };
    expect((await exchange(it.gateway.port, chunked("3e8", "x".repeat(1000), "0", "", ""))).status).toBe(200);
    it.origin.requests.length = 0;
    const response = await exchange(it.gateway.port, chunked("3e8", "x".repeat(1000), "1", "x", "0", "", ""));
    expect(response.status).toBe(413);
    for (const { received } of it.origin.requests) expect(received).not.toContain("0\r\n\r\n");
  });
});

test("each refusal is logged with its cause", async () => {
  await it.gateway.skipLog();
  await refused(get(`/${"a".repeat(220)}`), 414);
  await refused(get("/", ...fields(20, 1)), 431);
  const lines = await it.gateway.log(2);
  expect(JSON.stringify(lines)).toContain("request-line-too-long");
  expect(JSON.stringify(lines)).toContain("fields-too-large");
});

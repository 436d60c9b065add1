/** Static files, fetched by the real curl (RFC 9110 §13, §14). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { symlinkSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { needs, program } from "../../src/base/testing.ts";
import { curl, curlPath } from "../support/curl.ts";
import { Gateway } from "../support/gateway.ts";
import { exchange, get, RawClient, wire } from "../support/raw.ts";

const letters = "abcdefghijklmnopqrstuvwxyz";
const large = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7 + (i >> 9)) & 255));
let gateway: Gateway;

beforeAll(async () => {
  gateway = await Gateway.start(
    {
      sites: [
        {
          routes: [
            {
              match: "/app/*",
              use: [{ rewrite: { stripPrefix: "/app" } }, { files: { root: "public", fallback: "/index.html" } }],
            },
            { use: [{ files: { root: "public", precompressed: ["gzip"], cacheControl: "max-age=60" } }] },
          ],
        },
      ],
    },
    {
      files: {
        "secret.txt": "outside",
        "public/index.html": "<h1>home</h1>",
        "public/letters.txt": letters,
        "public/large.bin": large,
        "public/empty.txt": "",
        "public/style.css": "body { }",
        "public/style.css.gz": gzipSync("body { }"),
        "public/with space.txt": "space",
        "public/.env": "hidden",
        "public/.git/config": "hidden",
        "public/.well-known/security.txt": "contact",
        "public/folder/index.html": "<h1>folder</h1>",
        "public/bare/file.txt": "in a folder without index",
      },
    },
  );
  symlinkSync(join(gateway.directory, "secret.txt"), join(gateway.directory, "public/link.txt"));
  utimesSync(join(gateway.directory, "public/letters.txt"), 1_700_000_000, 1_700_000_000);
});
afterAll(() => gateway?.stop());

needs(program("curl", curlPath)).describe("with curl", () => {
  const url = (path: string) => gateway.url() + path;

  test("a file comes whole, with type, length and validators", async () => {
    const response = await curl(url("/letters.txt"));
    expect(response).toMatchObject({ status: 200, text: letters });
    expect(response.field("content-type")).toStartWith("text/plain");
    expect(response.field("content-length")).toBe("26");
    expect(response.field("last-modified")).toBe("Tue, 14 Nov 2023 22:13:20 GMT");
    expect(response.field("etag")).toMatch(/^"[^"]+"$/);
    expect(response.field("accept-ranges")).toBe("bytes");
    expect(response.field("cache-control")).toBe("max-age=60");
  });

  test("a large file comes octet for octet, also to a slow reader", async () => {
    expect((await curl(url("/large.bin"))).content.equals(large)).toBe(true);
    expect((await curl("--limit-rate", "3M", url("/large.bin"))).content.equals(large)).toBe(true);
  });

  test("an empty file is empty", async () => {
    expect(await curl(url("/empty.txt"))).toMatchObject({ status: 200, text: "" });
  });

  test("an index stands for its folder, which has a slash at its end", async () => {
    expect((await curl(url("/"))).text).toBe("<h1>home</h1>");
    expect((await curl(url("/folder/"))).text).toBe("<h1>folder</h1>");
    const response = await curl(url("/folder?a=b"));
    expect(response.status).toBe(308);
    expect(response.field("location")).toBe("/folder/?a=b");
    expect((await curl(url("/bare/"))).status).toBe(404);
  });

  test.each([
    ["0-4", "abcde", "bytes 0-4/26"],
    ["20-", "uvwxyz", "bytes 20-25/26"],
    ["-3", "xyz", "bytes 23-25/26"],
    ["25-99", "z", "bytes 25-25/26"],
    ["-99", letters, "bytes 0-25/26"],
  ])("range %s (RFC 9110 §14.1)", async (range, text, contentRange) => {
    const response = await curl("-r", range, url("/letters.txt"));
    expect(response).toMatchObject({ status: 206, text });
    expect(response.field("content-range")).toBe(contentRange);
  });

  test("several ranges come as multipart/byteranges (RFC 9110 §14.6)", async () => {
    const response = await curl("-r", "0-1,2000000-2000003", url("/large.bin"));
    expect(response.status).toBe(206);
    const boundary = /^multipart\/byteranges; ?boundary="?([^"]+)"?$/.exec(response.field("content-type") ?? "")![1]!;
    const parts = response.content.toString("latin1").split(`--${boundary}`);
    const slice = (from: number, to: number) => large.subarray(from, to).toString("latin1");
    expect(parts).toHaveLength(4);
    expect(parts[1]).toMatch(/content-range: bytes 0-1\/3000000\r\n/i);
    expect(parts[1]).toEndWith(`\r\n\r\n${slice(0, 2)}\r\n`);
    expect(parts[2]).toMatch(/content-range: bytes 2000000-2000003\/3000000\r\n/i);
    expect(parts[2]).toEndWith(`\r\n\r\n${slice(2_000_000, 2_000_004)}\r\n`);
    expect(parts[3]).toBe("--\r\n");
    expect(response.field("content-length")).toBe(String(response.content.length));
  });

  test("ranges that lie close together come as one (RFC 9110 §15.3.7.2)", async () => {
    const response = await curl("-r", "0-1,24-25", url("/letters.txt"));
    expect(response).toMatchObject({ status: 206, text: letters });
    expect(response.field("content-range")).toBe("bytes 0-25/26");
  });

  test("a range that cannot be satisfied gets 416 (RFC 9110 §15.5.17)", async () => {
    const response = await curl("-r", "26-", url("/letters.txt"));
    expect(response.status).toBe(416);
    expect(response.field("content-range")).toBe("bytes */26");
  });

  test.each(["bytes=5-1", "lines=0-4", "bytes=a-b", "bytes=0-1,,,x"])(
    "Range: %s is ignored (RFC 9110 §14.2)",
    async (range) => {
      expect(await curl("-H", `Range: ${range}`, url("/letters.txt"))).toMatchObject({ status: 200, text: letters });
    },
  );

  test("conditions: If-None-Match, If-Modified-Since, If-Match, If-Range (RFC 9110 §13)", async () => {
    const etag = (await curl(url("/letters.txt"))).field("etag")!;
    const modified = "Tue, 14 Nov 2023 22:13:20 GMT";
    const status = async (...fields: string[]) =>
      (await curl(...fields.flatMap((field) => ["-H", field]), url("/letters.txt"))).status;
    expect(await status(`If-None-Match: ${etag}`)).toBe(304);
    expect(await status(`If-None-Match: "other", W/${etag}`)).toBe(304);
    expect(await status('If-None-Match: "other"')).toBe(200);
    expect(await status(`If-Modified-Since: ${modified}`)).toBe(304);
    expect(await status("If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT")).toBe(200);
    expect(await status('If-None-Match: "other"', `If-Modified-Since: ${modified}`)).toBe(200);
    expect(await status('If-Match: "other"')).toBe(412);
    expect(await status(`If-Match: ${etag}`)).toBe(200);
    expect(await status("If-Unmodified-Since: Tue, 14 Nov 2023 22:13:19 GMT")).toBe(412);
    expect(await status("Range: bytes=0-1", `If-Range: ${etag}`)).toBe(206);
    expect(await status("Range: bytes=0-1", 'If-Range: "other"')).toBe(200);
  });

  test("a precompressed sibling is sent to who accepts it", async () => {
    const response = await curl("-H", "Accept-Encoding: gzip", url("/style.css"));
    expect(response.field("content-encoding")).toBe("gzip");
    expect(response.field("content-type")).toStartWith("text/css");
    expect(response.field("vary")?.toLowerCase()).toContain("accept-encoding");
    expect(response.content.equals(gzipSync("body { }"))).toBe(true);
    expect((await curl("--compressed", url("/style.css"))).text).toBe("body { }");
    const plain = await curl(url("/style.css"));
    expect(plain.text).toBe("body { }");
    expect(plain.field("vary")?.toLowerCase()).toContain("accept-encoding");
  });

  test("resuming a download with -C gives the rest", async () => {
    const response = await curl("-C", "20", url("/letters.txt"));
    expect(response).toMatchObject({ status: 206, text: "uvwxyz" });
  });

  test("fallback serves applications that route by themselves", async () => {
    expect(await curl(url("/app/some/page"))).toMatchObject({ status: 200, text: "<h1>home</h1>" });
  });

  test("HEAD has the same fields and no content", async () => {
    const response = await curl("-I", url("/letters.txt"));
    expect(response.status).toBe(200);
    expect(response.field("content-length")).toBe("26");
  });

  test("only GET and HEAD are taken, and OPTIONS or 405 say so (RFC 9110 §15.5.6)", async () => {
    const response = await curl("-X", "DELETE", url("/letters.txt"));
    expect(response.status).toBe(405);
    expect(response.field("allow")).toContain("GET");
  });

  test("a name with a space is found by its escape", async () => {
    expect((await curl(url("/with%20space.txt"))).text).toBe("space");
  });
});

describe("nothing outside the root, nothing hidden", () => {
  const isRefused = async (target: string, status: number): Promise<void> => {
    const response = await exchange(gateway.port, get(target));
    expect(response.status).toBe(status);
    expect(response.text).not.toMatch(/outside|hidden/);
  };
  test.each([
    "/..%2fsecret.txt",
    "/folder/..%2f..%2fsecret.txt",
    "/folder/..;/..;/secret.txt",
    "/folder/%2e%2e/%2e%2e/secret.txt",
    "/..%5csecret.txt",
    "/letters.txt%00.html",
    "/style.css.gz/..%2f..%2fsecret.txt",
  ])("%s is refused as malformed", (target) => isRefused(target, 400));
  test.each([
    "/secret.txt",
    "/link.txt",
    "/.env",
    "/%2eenv",
    "/.git/config",
    "/folder/../.env",
    "/letters.txt/",
    `/${"a".repeat(4000)}`,
  ])("%s is not there", (target) => isRefused(target, 404));

  test("/.well-known/ is never hidden (RFC 8615)", async () => {
    expect((await exchange(gateway.port, get("/.well-known/security.txt"))).text).toBe("contact");
  });
});

test("a client that leaves in the middle of a file costs no descriptor", async () => {
  const before = gateway.sockets();
  for (let i = 0; i < 20; i++) {
    using client = await RawClient.connect(gateway.port);
    client.pause();
    client.send(wire("GET /large.bin HTTP/1.1", "Host: a", "", ""));
    await Bun.sleep(5);
    client.reset();
  }
  await gateway.socketsAtMost(before);
});

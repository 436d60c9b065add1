import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { Failure } from "../../base/failure.ts";
import { asOrdinaryUser } from "../../base/testing.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { HttpResponse } from "../../http/message.ts";
import { until } from "../../net/testing.ts";
import { rewrite } from "../rewrite/rewrite.ts";
import { build, contentOf, get, head, origin, problems, request, SlowSink, textOf, unreachable } from "../testing.ts";
import { files } from "./files.ts";

/** More than one chunk, and no two places alike. */
const LARGE = Buffer.from(Uint8Array.from({ length: 300_001 }, (_, i) => (i * 7 + (i >> 8) * 13) & 0xff));
const MODIFIED = new Date("2026-01-02T03:04:05.678Z");

let base = "";
let root = "";

function put(path: string, content: string | Buffer): void {
  writeFileSync(join(root, path), content);
  utimesSync(join(root, path), MODIFIED, MODIFIED);
}

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "files-"));
  root = join(base, "root");
  for (const folder of ["", "docs", "empty", ".git", ".well-known", "docs/index.html.d"])
    mkdirSync(join(root, folder), { recursive: true });
  put("index.html", "<h1>home</h1>");
  put("docs/index.html", "<h1>docs</h1>");
  put("hello.txt", "hello world");
  put("empty.txt", "");
  put("large.bin", LARGE);
  put("app.js", "let a = 1;");
  put("app.js.gz", gzipSync("let a = 1;"));
  put("app.js.br", "br of app");
  put("ünï cödé.txt", "unicode");
  put("a;b.txt", "semicolon");
  put(".env", "SECRET");
  put(".git/config", "SECRET");
  put(".well-known/security.txt", "contact");
  writeFileSync(join(base, "secret.txt"), "SECRET");
  mkdirSync(join(base, "outside"));
  writeFileSync(join(base, "outside/secret.txt"), "SECRET");
  mkdirSync(join(base, "root-beside"));
  writeFileSync(join(base, "root-beside/secret.txt"), "SECRET");
  symlinkSync("../secret.txt", join(root, "escape.txt"));
  symlinkSync("../outside", join(root, "escape"));
  symlinkSync("../root-beside/secret.txt", join(root, "beside.txt"));
  symlinkSync("hello.txt", join(root, "inside.txt"));
  symlinkSync("/dev/zero", join(root, "zero"));
  symlinkSync("loop", join(root, "loop"));
  execFileSync("mkfifo", [join(root, "fifo")]);
});

afterAll(() => rmSync(base, { recursive: true }));

/** How many descriptors of this process stand for files of the test's folder. */
function openFiles(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(base);
    } catch {
      return false;
    }
  }).length;
}

/** Exchanges of the test under way; each is ended after it, so that what was not read is closed. */
let served: Exchange[] = [];

afterEach(() => {
  for (const exchange of served) exchange.abort(new Failure("client-closed", "the test is over"));
  served = [];
  expect(openFiles()).toBe(0);
});

async function serve(exchange = get(), options: object = {}): Promise<HttpResponse> {
  served.push(exchange);
  return await build(files, { root, ...options })(unreachable)(exchange);
}

test("a file is sent with its type, length and validators", async () => {
  const response = await serve(get("/hello.txt"));
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.fields)).toEqual({
    "content-type": "text/plain; charset=utf-8",
    "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT",
    etag: expect.stringMatching(/^"[0-9a-z]+-[0-9a-z]+"$/),
    "accept-ranges": "bytes",
  });
  expect(response.body.length).toBe(11);
  expect(await textOf(response)).toBe("hello world");
});

test.each([
  ["/", "<h1>home</h1>"],
  ["/docs/", "<h1>docs</h1>"],
  ["/docs/index.html", "<h1>docs</h1>"],
  ["/hello.txt?v=1", "hello world"],
  ["/%68ello.txt", "hello world"],
  ["/docs/../hello.txt", "hello world"],
  ["/%C3%BCn%C3%AF%20c%C3%B6d%C3%A9.txt", "unicode"],
  ["/inside.txt", "hello world"],
  ["/.well-known/security.txt", "contact"],
  ["/empty.txt", ""],
])("%s gives %j", async (target, text) => {
  expect(await textOf(await serve(get(target)))).toBe(text);
});

test("HEAD has the fields of GET, the length, and no content (RFC 9110 §9.3.2)", async () => {
  const response = await serve(head("/large.bin", { range: "bytes=0-1" }));
  expect(response.status).toBe(200);
  expect(response.body.length).toBe(LARGE.length);
  expect(await textOf(response)).toBe("");
  expect(openFiles()).toBe(0);
});

describe("what is not sent", () => {
  test.each([
    "/nothing.txt",
    "/hello.txt/",
    "/hello.txt/more",
    "/empty/",
    `/${"x".repeat(300)}`,
    "/.env",
    "/.git/config",
    "/docs/.hidden",
    "/.well-known/.git",
    "/escape.txt",
    "/escape/secret.txt",
    "/beside.txt",
    "/zero",
    "/loop",
    "/fifo",
    "/%2e%2e%2fsecret.txt".replace("%2f", "%252f"),
    "/..%252fsecret.txt",
    "/app.js/",
  ])("%s is 404, and no descriptor stays open", async (target) => {
    await expect(serve(get(target))).rejects.toMatchObject({ code: "not-found", status: 404 });
    expect(openFiles()).toBe(0);
  });

  test.each(["/../secret.txt", "/%2e%2e/secret.txt", "/docs/../../secret.txt", "/..%2fsecret.txt", "/..%5csecret.txt"])(
    "%s does not even become a path",
    (target) => {
      expect(() => get(target)).toThrow(expect.objectContaining({ status: 400 }));
    },
  );

  test("a path that is no normal form does not lead out either", async () => {
    const exchange = get("/x");
    exchange.path = "/docs/../../secret.txt";
    await expect(serve(exchange)).rejects.toMatchObject({ status: 404 });
    exchange.path = "/../secret.txt";
    await expect(serve(exchange, { hidden: true })).rejects.toMatchObject({ status: 404 });
  });

  test("a file that may not be read is 403", async () => {
    put("private.txt", "x");
    chmodSync(join(root, "private.txt"), 0);
    chmodSync(base, 0o755);
    await asOrdinaryUser(async () => {
      await expect(serve(get("/private.txt"))).rejects.toMatchObject({ code: "forbidden", status: 403 });
      // Not for the folder's sake.
      expect(await textOf(await serve(get("/hello.txt")))).toBe("hello world");
    });
  });

  test.each(["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])(
    "%s is 405 with Allow (RFC 9110 §15.5.6)",
    async (method) => {
      const response = await serve(request("/hello.txt", { method }));
      expect(response.status).toBe(405);
      expect(response.fields.get("allow")).toBe("GET, HEAD");
    },
  );
});

test("hidden files and links that lead out are sent if that is asked for", async () => {
  expect(await textOf(await serve(get("/.env"), { hidden: true }))).toBe("SECRET");
  expect(await textOf(await serve(get("/escape/secret.txt"), { followSymlinks: true }))).toBe("SECRET");
  await expect(serve(get("/fifo"), { followSymlinks: true })).rejects.toMatchObject({ status: 404 });
  await expect(serve(get("/zero"), { followSymlinks: true })).rejects.toMatchObject({ status: 404 });
});

test("the root may be a link that is turned to another folder while we run", async () => {
  for (const name of ["one", "two"]) {
    mkdirSync(join(base, name));
    writeFileSync(join(base, name, "v.txt"), name);
  }
  symlinkSync("one", join(base, "current"));
  const handler = build(files, "current", { directory: base })(unreachable);
  expect(await textOf(await handler(get("/v.txt")))).toBe("one");
  symlinkSync("two", join(base, "next"));
  renameSync(join(base, "next"), join(base, "current"));
  expect(await textOf(await handler(get("/v.txt")))).toBe("two");
});

test("a root that is not there is said once and is 404 until it comes", async () => {
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  const log = { debug() {}, info() {}, warn, error() {}, with: () => log };
  const handler = build(files, "later", { directory: base, log })(unreachable);
  expect(warnings).toEqual(["files: there is no such folder"]);
  await expect(Promise.resolve(handler(get("/x.txt")))).rejects.toMatchObject({ status: 404 });
  mkdirSync(join(base, "later"));
  writeFileSync(join(base, "later/x.txt"), "now");
  expect(await textOf(await handler(get("/x.txt")))).toBe("now");
});

describe("folders", () => {
  test.each([
    ["/docs", "/docs/"],
    ["/docs?a=b", "/docs/?a=b"],
    ["/x/../docs", "/docs/"],
    ["//docs", "/docs/"],
    ["/%64ocs", "/docs/"],
  ])("%s is sent to %s", async (target, location) => {
    const response = await serve(get(target));
    expect(response.status).toBe(308);
    expect(response.fields.get("location")).toBe(location);
  });

  test("behind a rewrite the client is sent where it sees the folder", async () => {
    const strip = build(rewrite, { stripPrefix: "/static" })(build(files, root)(unreachable));
    expect((await strip(get("/static/docs?a"))).fields.get("location")).toBe("/static/docs/?a");
    const fixed = build(rewrite, { path: "/docs" })(build(files, root)(unreachable));
    expect((await fixed(get("/manual"))).fields.get("location")).toBe("/manual/");
    expect(await textOf(await fixed(get("/manual/")))).toBe("<h1>docs</h1>");
  });

  test("one that leads out is not confirmed", async () => {
    await expect(serve(get("/escape"))).rejects.toMatchObject({ status: 404 });
  });

  test("the first index that is there is sent; [] means none", async () => {
    expect(await textOf(await serve(get("/"), { index: ["none.html", "hello.txt"] }))).toBe("hello world");
    await expect(serve(get("/"), { index: [] })).rejects.toMatchObject({ status: 404 });
  });
});

describe("without a file", () => {
  test("fallback is sent with 200", async () => {
    const response = await serve(get("/app/route"), { fallback: "/index.html" });
    expect(response.status).toBe(200);
    expect(await textOf(response)).toBe("<h1>home</h1>");
  });

  test("next hands on, other methods too", async () => {
    const { handler, seen } = origin(200, {}, "from the origin");
    const handsOn = build(files, { root, next: true })(handler);
    expect(await textOf(await handsOn(get("/api")))).toBe("from the origin");
    expect(await textOf(await handsOn(get("/hello.txt")))).toBe("hello world");
    await handsOn(request("/hello.txt", { method: "POST" }));
    expect(seen.target).toBe("/hello.txt");
  });
});

test.each([
  ["/index.html", "text/html; charset=utf-8"],
  ["/app.js", "text/javascript; charset=utf-8"],
  ["/large.bin", "application/octet-stream"],
  ["/app.js.gz", "application/gzip"],
])("%s is %s", async (target, type) => {
  expect((await serve(get(target))).fields.get("content-type")).toBe(type);
});

test("types can be overridden, and Cache-Control is sent as given, on 304 too", async () => {
  const options = { mime: { ".BIN": "application/x-own" }, cacheControl: "max-age=60" };
  const response = await serve(get("/large.bin"), options);
  expect(response.fields.get("content-type")).toBe("application/x-own");
  expect(response.fields.get("cache-control")).toBe("max-age=60");
  const etag = response.fields.get("etag")!;
  await contentOf(response);
  const unchanged = await serve(get("/large.bin", { "if-none-match": etag }), options);
  expect(unchanged.status).toBe(304);
  expect([...unchanged.fields].map(([name]) => name)).toEqual(["etag", "last-modified", "cache-control"]);
  expect(openFiles()).toBe(0);
});

test("a failed precondition is 412 without content (RFC 9110 §13.1.1)", async () => {
  const response = await serve(get("/large.bin", { "if-match": '"x"' }));
  expect(response.status).toBe(412);
  expect(response.body.length).toBe(0);
  expect(openFiles()).toBe(0);
});

test("the entity tag changes with the content's time and size, and only with them", async () => {
  const tag = async () => (await serve(head("/changing.txt"))).fields.get("etag");
  put("changing.txt", "one");
  const first = await tag();
  put("changing.txt", "two");
  expect(await tag()).toBe(first!);
  put("changing.txt", "three");
  const longer = await tag();
  expect(longer).not.toBe(first!);
  utimesSync(join(root, "changing.txt"), MODIFIED, new Date(MODIFIED.getTime() + 1));
  expect(await tag()).not.toBe(longer!);
});

test("a file from the future was modified now (RFC 9110 §8.8.2.1)", async () => {
  put("future.txt", "x");
  utimesSync(join(root, "future.txt"), new Date("2990-01-01"), new Date("2990-01-01"));
  const response = await serve(get("/future.txt"));
  expect(Date.parse(response.fields.get("last-modified")!)).toBeLessThanOrEqual(Date.now());
});

describe("precompressed", () => {
  const options = { precompressed: ["br", "zstd", "gzip"] };
  const coded = (acceptEncoding?: string, fields = {}) =>
    serve(
      get("/app.js", { ...fields, ...(acceptEncoding === undefined ? {} : { "accept-encoding": acceptEncoding }) }),
      options,
    );

  test.each([
    ["gzip, deflate, br, zstd", "br"],
    ["zstd, gzip", "gzip"], // There is no .zst.
    ["zstd", undefined],
    ["br;q=0.1, gzip", "gzip"],
    ["br;q=0", undefined],
    [undefined, undefined],
  ])("Accept-Encoding: %p gets %p", async (acceptEncoding, coding) => {
    const response = await coded(acceptEncoding);
    expect(response.fields.get("content-encoding")).toBe(coding);
    expect(response.fields.get("vary")).toBe("accept-encoding");
    expect(response.fields.get("content-type")).toBe("text/javascript; charset=utf-8");
    await contentOf(response);
    expect(openFiles()).toBe(0);
  });

  test("each coding has a tag of its own, and ranges are of the coded octets (RFC 9110 §8.8.3.3, §14.2)", async () => {
    const plain = await coded();
    const br = await coded("br", { range: "bytes=0-1" });
    expect(br.fields.get("etag")).not.toBe(plain.fields.get("etag")!);
    expect(br.fields.get("content-range")).toBe("bytes 0-1/9");
    expect(await textOf(br)).toBe("br");
  });

  test("304 has Vary too (RFC 9110 §15.4.5)", async () => {
    const etag = (await coded("br")).fields.get("etag")!;
    const response = await coded("br", { "if-none-match": etag });
    expect(response.status).toBe(304);
    expect(response.fields.get("vary")).toBe("accept-encoding");
  });

  test("a sibling that leads out of the root is not sent", async () => {
    put("linked.txt", "plain");
    symlinkSync("../secret.txt", join(root, "linked.txt.br"));
    const response = await serve(get("/linked.txt", { "accept-encoding": "br" }), options);
    expect(await textOf(response)).toBe("plain");
  });
});

describe("ranges", () => {
  test("one range is a 206 with Content-Range (RFC 9110 §15.3.7.1)", async () => {
    const response = await serve(get("/large.bin", { range: "bytes=200000-299999" }));
    expect(response.status).toBe(206);
    expect(response.fields.get("content-range")).toBe("bytes 200000-299999/300001");
    expect(response.body.length).toBe(100_000);
    expect((await contentOf(response)).equals(LARGE.subarray(200_000, 300_000))).toBe(true);
  });

  test("several are multipart/byteranges (RFC 9110 §15.3.7.2)", async () => {
    const response = await serve(get("/large.bin", { range: "bytes=1000-1003,0-1,-2" }));
    expect(response.status).toBe(206);
    expect(response.fields.has("content-range")).toBe(false);
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(response.fields.get("content-type")!)![1]!;
    const content = await contentOf(response);
    expect(response.body.length).toBe(content.length);
    const part = (start: number, end: number) =>
      `--${boundary}\r\ncontent-type: application/octet-stream\r\ncontent-range: bytes ${start}-${end - 1}/300001\r\n\r\n` +
      `${LARGE.subarray(start, end).toString("latin1")}\r\n`;
    const expected = `${part(1000, 1004)}${part(0, 2)}${part(299_999, 300_001)}--${boundary}--\r\n`;
    expect(content.toString("latin1")).toBe(expected);
  });

  test.each([
    ["bytes=300001-", 416],
    ["bytes=5-4", 200],
    ["lines=1-2", 200],
    ["bytes=0-", 206],
  ])("%s is %i", async (range, status) => {
    const response = await serve(get("/large.bin", { range }));
    expect(response.status).toBe(status);
    if (status === 416) expect(response.fields.get("content-range")).toBe("bytes */300001");
    await contentOf(response);
    expect(openFiles()).toBe(0);
  });

  test("If-Range that is out of date gets the whole (RFC 9110 §13.1.5)", async () => {
    const range = "bytes=0-1";
    const etag = (await serve(head("/large.bin"))).fields.get("etag")!;
    expect((await serve(get("/large.bin", { range, "if-range": etag }))).status).toBe(206);
    expect((await serve(get("/large.bin", { range, "if-range": '"old"' }))).status).toBe(200);
    expect((await serve(get("/large.bin", { range, "if-range": "Fri, 02 Jan 2026 03:04:05 GMT" }))).status).toBe(206);
    expect((await serve(get("/large.bin", { range, "if-range": "Fri, 02 Jan 2026 03:04:06 GMT" }))).status).toBe(200);
  });

  test("a condition that fails comes before the range (RFC 9110 §13.2.2)", async () => {
    const etag = (await serve(head("/large.bin"))).fields.get("etag")!;
    expect((await serve(get("/large.bin", { range: "bytes=0-1", "if-none-match": etag }))).status).toBe(304);
    expect((await serve(get("/large.bin", { range: "bytes=999999-", "if-match": '"x"' }))).status).toBe(412);
  });

  test("every single range is that slice of the file", async () => {
    const position = fc.nat(LARGE.length + 10);
    await fc.assert(
      fc.asyncProperty(position, position, async (a, b) => {
        const [first, last] = a <= b ? [a, b] : [b, a];
        const response = await serve(get("/large.bin", { range: `bytes=${first}-${last}` }));
        if (first >= LARGE.length) return expect(response.status).toBe(416);
        expect((await contentOf(response)).equals(LARGE.subarray(first, last + 1))).toBe(true);
      }),
      { numRuns: 40 },
    );
    expect(openFiles()).toBe(0);
  });
});

describe("streaming", () => {
  test("a large file arrives whole, in chunks, and is closed", async () => {
    const response = await serve(get("/large.bin"));
    expect(response.body.length).toBe(LARGE.length);
    expect((await contentOf(response)).equals(LARGE)).toBe(true);
    expect(openFiles()).toBe(0);
  });

  test("nothing is read while the sink is full", async () => {
    const response = await serve(get("/large.bin"));
    const sink = new SlowSink();
    response.body.sendTo(sink);
    await until(() => sink.octets > 0);
    const first = sink.octets;
    expect(first).toBeLessThanOrEqual(256 * 1024);
    await Bun.sleep(20);
    expect(sink.octets).toBe(first);
    while (sink.outcome === "") {
      sink.flow.resume();
      await Bun.sleep(2);
    }
    expect(sink).toMatchObject({ octets: LARGE.length, outcome: "complete" });
    expect(openFiles()).toBe(0);
  });

  test("a sink that pauses and resumes from within write gets everything once", async () => {
    const response = await serve(get("/large.bin", { range: "bytes=0-9,1000-250000" }));
    const chunks: Buffer[] = [];
    const done = Promise.withResolvers<void>();
    let flow = { pause() {}, resume() {} };
    response.body.sendTo({
      begin: (f) => {
        flow = f;
      },
      write: (octets) => {
        flow.pause();
        flow.resume();
        chunks.push(Buffer.from(octets));
      },
      end: () => done.resolve(),
      abort: (why) => done.reject(why),
    });
    await done.promise;
    expect(Buffer.concat(chunks).length).toBe(response.body.length!);
  });

  test("after cancel nothing is called and the file is closed", async () => {
    const response = await serve(get("/large.bin"));
    const sink = new SlowSink();
    response.body.sendTo(sink);
    sink.flow.cancel(new Failure("client-closed", "gone")); // While the first read is under way.
    await until(() => openFiles() === 0);
    await Bun.sleep(20);
    expect(sink).toMatchObject({ octets: 0, outcome: "" });
  });

  test("a cancel in the middle closes the file", async () => {
    const response = await serve(get("/large.bin"));
    const sink = new SlowSink();
    response.body.sendTo(sink);
    await until(() => sink.octets > 0);
    expect(openFiles()).toBe(1);
    sink.flow.cancel(new Failure("client-closed", "gone"));
    sink.flow.resume();
    expect(openFiles()).toBe(0);
    await Bun.sleep(20);
    expect(sink.outcome).toBe("");
  });

  test("a file that becomes shorter never looks complete", async () => {
    put("shrinking.bin", LARGE);
    const response = await serve(get("/shrinking.bin"));
    const sink = new SlowSink();
    response.body.sendTo(sink);
    await until(() => sink.octets > 0);
    const fd = openSync(join(root, "shrinking.bin"), "r+");
    ftruncateSync(fd, 150_000);
    closeSync(fd);
    while (sink.outcome === "") {
      sink.flow.resume();
      await Bun.sleep(2);
    }
    expect(sink).toMatchObject({ octets: 150_000, outcome: "internal" });
    expect(openFiles()).toBe(0);
  });

  test("an exchange that ends before its response is sent closes the file", async () => {
    const exchange = get("/large.bin");
    const response = await serve(exchange);
    expect(openFiles()).toBe(1);
    exchange.abort(new Failure("client-closed", "gone"));
    expect(openFiles()).toBe(0);
    const sink = new SlowSink();
    response.body.sendTo(sink);
    expect(sink).toMatchObject({ octets: 0, outcome: "internal" });
  });

  test("a response that nobody sends does not keep its file open for ever", async () => {
    const waste = async () => {
      for (let i = 0; i < 20; i++) await build(files, root)(unreachable)(get("/large.bin"));
    };
    await waste();
    expect(openFiles()).toBeGreaterThan(0);
    for (let i = 0; i < 1000 && openFiles() > 0; i++) {
      Bun.gc(true);
      await Bun.sleep(10);
    }
    expect(openFiles()).toBe(0);
  });
});

test.each([
  [{}, "expected string"],
  ["", "needs a folder"],
  [{ root: "x", fallback: "index.html" }, "begins with /"],
  [{ root: "x", fallback: "/../x" }, "begins with /"],
  [{ root: "x", index: "a/b" }, "without a folder"],
  [{ root: "x", precompressed: ["deflate"] }, "br"],
  [{ root: "x", mime: { a: "b\r\nc" } }, "line end"],
  [{ root: "x", browse: true }, "browse"],
])("%j is refused: %s", (options, message) => {
  expect(problems(files, options).join()).toContain(message);
});

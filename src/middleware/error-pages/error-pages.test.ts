import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "../../base/failure.ts";
import type { Handler } from "../../http/define.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { respond } from "../respond/respond.ts";
import { build, ChunkedBody, get, head, origin, problems, textOf, unreachable } from "../testing.ts";
import { errorPages } from "./error-pages.ts";

const fails =
  (code: ConstructorParameters<typeof Failure>[0]): Handler =>
  () => {
    throw new Failure(code, "10.0.0.1:80 is secret");
  };

const pages = { "404": "nothing at {request.path}", "5xx": "status {response.status} {outcome.code}" };
const page = build(errorPages, { pages });

test("a failure is answered with the page of its status, and stays on the exchange for the log", async () => {
  const exchange = get();
  const response = await page(fails("no-endpoint"))(exchange);
  expect(response.status).toBe(503);
  expect(response.fields.get("content-type")).toBe("text/html; charset=utf-8");
  expect(await textOf(response)).toBe("status 503 no-endpoint");
  expect(exchange.failure?.code).toBe("no-endpoint");
});

test("a rejection counts as much as a throw, and what is no Failure is an internal one", async () => {
  const errors: string[] = [];
  const log = { debug() {}, info() {}, warn() {}, error: (message: string) => errors.push(message), with: () => log };
  const response = await build(errorPages, { pages }, { log })(() => Promise.reject(new TypeError("a bug")))(get());
  expect(response.status).toBe(500);
  expect(errors).toEqual(["a fault in an exchange"]); // Nobody else sees it any more.
  expect(await textOf(response)).not.toContain("a bug");
});

test("the more precise page wins", async () => {
  const both = build(errorPages, { pages: { "5xx": "class", "502": "exact" } });
  expect(await textOf(await both(fails("upstream-closed"))(get()))).toBe("exact");
  expect(await textOf(await both(fails("no-endpoint"))(get()))).toBe("class");
});

test("a failure without a page goes on as it is", async () => {
  const exchange = get();
  await expect(page(fails("forbidden"))(exchange)).rejects.toMatchObject({ code: "forbidden" });
  expect(exchange.failure).toBeNull();
});

test("nobody is answered who has left", async () => {
  const all = build(errorPages, { pages: { "4xx": "x", "5xx": "x" }, problem: true });
  await expect(all(fails("client-closed"))(get())).rejects.toMatchObject({ status: 499 });
  const left = get();
  left.abort(new Failure("client-closed", "gone"));
  await expect(all(fails("upstream-reset"))(left)).rejects.toMatchObject({ code: "upstream-reset" });
});

test("the page says nothing of the failure's message, and its other fields stay", async () => {
  const response = await page(fails("no-endpoint"))(get());
  expect(await textOf(response)).not.toContain("10.0.0.1");
  expect(response.fields.has("proxy-status")).toBe(true);
});

test("variables are escaped as the page's type asks for", async () => {
  const response = await page(fails("no-route"))(get("/%3Cscript%3Ealert(1)%3C%2Fscript%3E"));
  expect(await textOf(response)).toBe("nothing at /&lt;script&gt;alert(1)&lt;/script&gt;");
  const plain = build(errorPages, { pages: { "404": { body: "{request.path}", contentType: "text/plain" } } });
  const raw = await plain(fails("no-route"))(get("/%3Cb%3E"));
  expect(await textOf(raw)).toBe("/<b>");
  expect(raw.fields.get("content-type")).toBe("text/plain");
});

test("HEAD gets the length alone (RFC 9110 §9.3.2)", async () => {
  const response = await page(fails("no-route"))(head("/x"));
  expect(response.body.length).toBe("nothing at /x".length);
  expect(await textOf(response)).toBe("");
});

test("a page can be a file, from the folder of the config", async () => {
  const directory = mkdtempSync(join(tmpdir(), "error-pages-"));
  try {
    writeFileSync(join(directory, "404.html"), "<p>{request.host}</p>");
    const fromFile = build(errorPages, { pages: { "404": { file: "404.html" } } }, { directory });
    expect(await textOf(await fromFile(fails("no-route"))(get()))).toBe("<p>example.com</p>");
    expect(() => build(errorPages, { pages: { "404": { file: "405.html" } } }, { directory })).toThrow(
      /the error page .*405\.html cannot be read/,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("an error that a middleware answers without content gets a page and keeps its fields", async () => {
  const bare: Handler = () => new HttpResponse(503, FieldSection.of({ "retry-after": "60" }));
  const response = await page(bare)(get());
  expect(response.fields.get("retry-after")).toBe("60");
  expect(await textOf(response)).toBe("status 503 ");
});

test("one that it answers with content is meant so", async () => {
  const maintenance = build(respond, { status: 503, body: "back at nine" })(unreachable);
  expect(await textOf(await page(maintenance)(get()))).toBe("back at nine");
  expect((await page(maintenance)(head())).body.length).toBe(12);
});

test("errors of the origin server pass unless they are intercepted", async () => {
  const fields = { etag: '"1"', "content-encoding": "gzip", "set-cookie": "a=b", "content-type": "text/x" };
  const passed = await page(origin(404, fields, "theirs").handler)(get());
  expect(await textOf(passed)).toBe("theirs");

  const intercepting = build(errorPages, { pages, intercept: true });
  const replaced = await intercepting(origin(404, fields, "theirs").handler)(get("/x"));
  expect(await textOf(replaced)).toBe("nothing at /x");
  expect([...replaced.fields]).toEqual([
    ["set-cookie", "a=b"],
    ["content-type", "text/html; charset=utf-8"],
  ]);
  expect(await textOf(await intercepting(origin(200, {}, "fine").handler)(get()))).toBe("fine");
  expect(await textOf(await intercepting(origin(410, {}, "no page").handler)(get()))).toBe("no page");
});

test("a list intercepts only what it names", async () => {
  const some = build(errorPages, { pages: { "4xx": "ours", "5xx": "ours" }, intercept: ["5xx", 404] });
  expect(await textOf(await some(origin(404, {}, "theirs").handler)(get()))).toBe("ours");
  expect(await textOf(await some(origin(502, {}, "theirs").handler)(get()))).toBe("ours");
  expect(await textOf(await some(origin(422, {}, "theirs").handler)(get()))).toBe("theirs");
});

test("replaced content is read to its end if it is short and cancelled if it is not", async () => {
  const intercepting = build(errorPages, { pages, intercept: true });
  const short = new ChunkedBody(100, 100);
  await intercepting(origin(500, {}, short).handler)(get());
  expect(short.cancelled).toBeNull();
  const long = new ChunkedBody(60_000, 60_000, 60_000);
  await intercepting(origin(500, {}, long).handler)(get());
  expect(long.cancelled).not.toBeNull();
});

const problem = build(errorPages, { pages, problem: true });

test.each([
  ["application/json", "json"],
  ["application/problem+json", "json"],
  ["application/json, text/plain, */*", "json"],
  ["text/html;q=0.5, application/vnd.api+json", "json"],
  ["text/html, application/json;q=0.9", "page"],
  ["text/html, application/xhtml+xml, */*;q=0.8", "page"],
  ["*/*", "page"],
  ["application/json;q=0", "page"],
])("Accept: %s gets a %s where there is a page", async (accept, expected) => {
  const response = await problem(fails("no-endpoint"))(get("/", { accept }));
  const type = response.fields.get("content-type");
  expect(type).toBe(expected === "json" ? "application/problem+json" : "text/html; charset=utf-8");
  expect(response.fields.get("vary")).toBe("accept");
});

test("problem details name the status and the request, and nothing inside (RFC 9457 §3)", async () => {
  const exchange = get("/", { accept: "application/json" });
  const response = await problem(fails("no-endpoint"))(exchange);
  const text = await textOf(response);
  expect(JSON.parse(text)).toEqual({
    type: "about:blank",
    title: "Service Unavailable",
    status: 503,
    requestId: exchange.id,
  });
});

test("without a page for the status, problem details are for those who take JSON at all", async () => {
  const response = await problem(fails("forbidden"))(get());
  expect(response.fields.get("content-type")).toBe("application/problem+json");
  await expect(problem(fails("forbidden"))(get("/", { accept: "text/html" }))).rejects.toMatchObject({
    code: "forbidden",
  });
});

test.each([
  [{}, "no page"],
  [{ pages: { "200": "x" } }, "is not an error status"],
  [{ pages: { "499": "x" } }, "is not an error status"],
  [{ pages: { "6xx": "x" } }, "is not an error status"],
  [{ pages: { "404": {} } }, "either body or file"],
  [{ pages: { "404": { body: "a", file: "b" } } }, "either body or file"],
  [{ pages: { "404": "{nope}" } }, "there is no variable {nope}"],
  [{ pages: { "404": "x" }, intercept: ["20x"] }, "is not an error status"],
  [{ pags: {} }, "pags"],
])("%j is refused: %s", (options, message) => {
  expect(problems(errorPages, options).join()).toContain(message);
});

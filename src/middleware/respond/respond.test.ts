import { expect, test } from "bun:test";
import { NO_BODY } from "../../http/body.ts";
import { build, get, head, problems, textOf, unreachable } from "../testing.ts";
import { respond } from "./respond.ts";

const answered = (options: unknown, exchange = get()) => build(respond, options)(unreachable)(exchange);

test("text alone is the content", async () => {
  const response = await answered("pong\n");
  expect(response.status).toBe(200);
  expect([...response.fields]).toEqual([["content-type", "text/plain; charset=utf-8"]]);
  expect(await textOf(response)).toBe("pong\n");
  expect(response.body.length).toBe(5);
});

test("a number alone is the status, without content", async () => {
  const response = await answered(403);
  expect(response.status).toBe(403);
  expect(response.body).toBe(NO_BODY);
  expect(response.fields.size).toBe(0);
});

test("HEAD gets the length and no content (RFC 9110 §9.3.2)", async () => {
  const response = await answered("grün", head());
  expect(response.body.length).toBe(5);
  expect(await textOf(response)).toBe("");
});

test.each([204, 304])("%i has no content, not even a length (RFC 9110 §8.6)", async (status) => {
  const response = await answered({ status, fields: { etag: '"1"' } }, head());
  expect([...response.fields]).toEqual([["etag", '"1"']]);
  expect(response.body).toBe(NO_BODY);
});

test("fields are templates and replace the type if they name it", async () => {
  const response = await answered(
    { status: 503, body: "later", fields: { "retry-after": 60, "x-host": "{request.host}", "content-type": "text/x" } },
    get(),
  );
  expect([...response.fields]).toEqual([
    ["retry-after", "60"],
    ["content-type", "text/x"],
    ["x-host", "example.com"],
  ]);
});

test("answers do not share their fields", async () => {
  const handler = build(respond, "x")(unreachable);
  const first = await handler(get());
  first.fields.set("content-type", "changed");
  expect((await handler(get())).fields.get("content-type")).toBe("text/plain; charset=utf-8");
});

test.each([
  ["text/html; charset=utf-8", "<b>&lt;script&gt;&quot;&#39;&amp;</b>"],
  ["application/xhtml+xml", "<b>&lt;script&gt;&quot;&#39;&amp;</b>"],
  ["image/svg+xml", "<b>&lt;script&gt;&quot;&#39;&amp;</b>"],
  ["application/json", `<b><script>\\"'&</b>`],
  ["text/plain", `<b><script>"'&</b>`],
])("in %s the values of variables are escaped and the text around them is not", async (contentType, expected) => {
  const options = { body: "<b>{request.query.q}</b>", contentType };
  expect(await textOf(await answered(options, get("/?q=%3Cscript%3E%22'%26")))).toBe(expected);
});

test("what variables bring into JSON stays within its string", async () => {
  const options = { body: '{{"q":"{request.query.q}"}}', contentType: "application/problem+json" };
  const text = await textOf(await answered(options, get("/?q=%22,%22admin%22:true,%0D%0A%5C")));
  expect(JSON.parse(text)).toEqual({ q: '","admin":true,\r\n\\' });
});

test("CR LF from a variable cannot end a field line", async () => {
  const response = await answered({ fields: { "x-q": "{request.query.q}" } }, get("/?q=a%0D%0Aset-cookie:b"));
  expect(response.fields.toString()).toBe("x-q: a  set-cookie:b\r\n");
});

test.each([
  [{ status: 204, body: "x" }, "has no content"],
  [{ status: 304, body: "x" }, "has no content"],
  [{ status: 205, body: "x" }, "has no content"],
  [{ status: 101 }, ">=200"],
  [{ status: 600 }, "<=599"],
  [{ fields: { "content-length": "3" } }, "cannot be changed"],
  [{ contentType: "a\nb" }, "line end"],
  ["{nope}", "there is no variable {nope}"],
  [{ bdy: "x" }, "bdy"],
])("%j is refused: %s", (options, message) => {
  expect(problems(respond, options).join()).toContain(message);
});

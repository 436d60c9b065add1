import { expect, test } from "bun:test";
import { build, get, origin, problems, request, unreachable } from "../testing.ts";
import { redirect } from "./redirect.ts";

async function location(options: unknown, target: string, parts: Parameters<typeof request>[1] = {}, params = {}) {
  const exchange = request(target, parts);
  exchange.params = params;
  const response = await build(redirect, options)(unreachable)(exchange);
  return `${response.status} ${response.fields.get("location")}`;
}

test.each([
  ["https://www.example.com", "/a?b=c", "308 https://www.example.com?b=c"],
  ["https://www.example.com{request.path}", "/a/b?c=d", "308 https://www.example.com/a/b?c=d"],
  ["https://{request.host}{request.target}", "/a%20b?c=d", "308 https://example.com/a%20b?c=d"],
  ["/new", "/old", "308 /new"],
  ["/new?x=1", "/old?c=d", "308 /new?x=1"],
  ["/new#part", "/old?c=d", "308 /new?c=d#part"],
  ["/größe", "/old", "308 /gr%C3%B6%C3%9Fe"],
  ["/a b", "/old", "308 /a%20b"],
])("to %s from %s gives %s", async (to, target, expected) => {
  expect(await location(to, target)).toBe(expected);
});

test("the client's query can be left out", async () => {
  expect(await location({ to: "/new", keepQuery: false }, "/old?c=d")).toBe("308 /new");
});

test.each([301, 302, 303, 307, 308])("status %i", async (status) => {
  expect(await location({ to: "/new", status }, "/")).toBe(`${status} /new`);
});

test("paths and parameters are encoded anew: decoded text cannot change the shape of the location", async () => {
  expect(await location("https://x.example{request.path}", "/a%3Fb%23c%25/%C3%BC")).toBe(
    "308 https://x.example/a%3Fb%23c%25/%C3%BC",
  );
  expect(await location("/users/{param.id}", "/", {}, { id: "a?b#c d/e" })).toBe("308 /users/a%3Fb%23c%20d/e");
});

test("CR LF from a variable cannot end the field line", async () => {
  expect(await location({ to: "/{request.query.q}", keepQuery: false }, "/?q=%0D%0Aset-cookie:%20a=1")).toBe(
    "308 /%0D%0Aset-cookie%3A%20a%3D1",
  );
  expect(await location("/{param.x}", "/", {}, { x: "a\r\nb" })).toBe("308 /a%0D%0Ab");
});

test.each([
  ["{request.query.to}", "/?to=https://evil.example/"],
  ["{request.query.to}", "/?to=//evil.example/"],
  ["{request.target}", "//evil.example/"],
  ["{request.path}", "/%2Fevil.example/"],
  ["/{param.x}", "/x"],
])("to %s from %s does not lead to another host", async (to, target) => {
  const found = await location({ to, keepQuery: false }, target, {}, { x: "/evil.example/" });
  expect(new URL(found.slice(4), "http://example.com/").host).toBe("example.com");
});

test("a location that means another host by itself is left alone", async () => {
  expect(await location("//cdn.example{request.path}", "/a")).toBe("308 //cdn.example/a");
});

test("scheme sends to the same URL without the old port", async () => {
  const options = { scheme: "https", status: 301 };
  expect(await location(options, "/a%2Fb?c=d", { authority: "example.com:8080" })).toBe(
    "301 https://example.com/a%2Fb?c=d",
  );
  expect(await location(options, "/a", { authority: "[::1]:8080" })).toBe("301 https://[::1]/a");
  expect(await location({ ...options, keepQuery: false }, "/a?b")).toBe("301 https://example.com/a");
});

test("a request that has the scheme already goes on", async () => {
  const { handler } = origin(204);
  const to = build(redirect, { scheme: "https" })(handler);
  expect((await to(request("/", { scheme: "https" }))).status).toBe(204);
  expect((await to(request("*", { method: "OPTIONS" }))).status).toBe(204);
});

test("a redirect has no content", async () => {
  const response = await build(redirect, "/new")(unreachable)(get());
  expect(response.body.length).toBe(0);
});

test.each([
  [{}, "either to or scheme"],
  [{ to: "/", scheme: "https" }, "not both"],
  [{ to: "/", status: 200 }, "301"],
  ["", "needs a location"],
  ["/{oops", 'single "{"'],
  [{ to: "{request.hots}" }, "did you mean {request.host}"],
  [{ to: "/", kepQuery: true }, "kepQuery"],
])("%j is refused: %s", (options, message) => {
  expect(problems(redirect, options).join()).toContain(message);
});

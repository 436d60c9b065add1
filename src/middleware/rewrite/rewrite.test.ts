import { describe, expect, test } from "bun:test";
import { normalizePath, pathOf } from "../../http/target.ts";
import { build, get, origin, problems, request } from "../testing.ts";
import { rewrite } from "./rewrite.ts";

async function rewritten(options: unknown, target: string) {
  const { handler, seen } = origin();
  const exchange = get(target);
  await build(rewrite, options)(handler)(exchange);
  // Whatever was done, the path that later rules match on is the normal form of what the origin gets.
  expect(exchange.path).toBe(normalizePath(pathOf(seen.target)));
  return seen.target;
}

describe("stripPrefix", () => {
  test.each([
    ["/api", "/"],
    ["/api/", "/"],
    ["/api/users", "/users"],
    ["/api/users?a=b%20c", "/users?a=b%20c"],
    ["/api?x", "/?x"],
    ["/apis", "/apis"],
    ["/apis/x", "/apis/x"],
    ["/v1/api/x", "/v1/api/x"],
    ["/", "/"],
    ["/API/x", "/API/x"],
  ])("/api off %s gives %s", async (target, expected) => {
    expect(await rewritten({ stripPrefix: "/api" }, target)).toBe(expected);
  });

  test.each([
    // The rest is spelled as the client spelled it.
    ["/api/a%2Fb", "/a%2Fb"],
    ["/api/%7Euser/caf%c3%a9", "/%7Euser/caf%c3%a9"],
    ["/api/a;v=1/b", "/a;v=1/b"],
    ["/api/a//b", "/a//b"],
    // A prefix in another spelling still counts; then the rest is written anew.
    ["/%61pi/a b".replace(" ", "%20"), "/a%20b"],
    ["/x/../api/y", "/y"],
    ["//api/y", "/y"],
    ["/api%2Fy", "/y"],
    // Never "//…", which reads as an authority.
    ["/api//evil.example/x", "/evil.example/x"],
    // Fine as a whole, but its rest alone would climb above the root.
    ["/api/../api/y", "/y"],
    ["/api/x/../../api/y", "/y"],
  ])("%s becomes %s", async (target, expected) => {
    expect(await rewritten({ stripPrefix: "/api" }, target)).toBe(expected);
  });

  test("a slash at the end of the prefix makes no difference", async () => {
    expect(await rewritten({ stripPrefix: "/api/" }, "/api/x")).toBe("/x");
    expect(await rewritten({ stripPrefix: "/" }, "/api/x")).toBe("/api/x");
  });

  test("a prefix beyond ASCII is written decoded", async () => {
    expect(await rewritten({ stripPrefix: "/café" }, "/caf%C3%A9/x%2Fy")).toBe("/x/y");
  });
});

test.each([
  ["/", "/app/"],
  ["/x?y=z", "/app/x?y=z"],
  ["/a%2Fb", "/app/a%2Fb"],
])("addPrefix before %s gives %s", async (target, expected) => {
  expect(await rewritten({ addPrefix: "/app" }, target)).toBe(expected);
});

test("the order is stripPrefix, replace, addPrefix", async () => {
  const options = { addPrefix: "/v2", stripPrefix: "/api", replace: { pattern: "^/old/(.*)$", with: "/new/$1" } };
  expect(await rewritten(options, "/api/old/x%20y?q")).toBe("/v2/new/x%20y?q");
});

test("replace changes every match and knows groups by name", async () => {
  expect(await rewritten({ replace: { pattern: "(?<n>\\d+)", with: "<$<n>>" } }, "/a1/b22")).toBe(
    "/a%3C1%3E/b%3C22%3E",
  );
});

test("a path that does not match keeps its spelling", async () => {
  expect(await rewritten({ replace: { pattern: "nothing", with: "x" } }, "/a%2Fb//c")).toBe("/a%2Fb//c");
});

test("what a replacement leaves without a slash in front gets one", async () => {
  expect(await rewritten({ replace: { pattern: "^/a/", with: "" } }, "/a/b")).toBe("/b");
  expect(await rewritten({ replace: { pattern: "^.*$", with: "" } }, "/a/b")).toBe("/");
});

test("path takes the place of the whole path and keeps the query", async () => {
  expect(await rewritten({ path: "/x/{request.method}{request.path}" }, "/a%20b?q=1")).toBe("/x/GET/a%20b?q=1");
});

test("path encodes what variables bring in", async () => {
  expect(await rewritten({ path: "/s/{request.query.q}" }, "/?q=a%3Fb%23c%20%C3%BC%25")).toBe(
    "/s/a%3Fb%23c%20%C3%BC%25?q=a%3Fb%23c%20%C3%BC%25",
  );
});

test.each(["..%2F..%2Fetc", "..", ".%2Fx", "a%2F..%2F..%2Fb", "..%5Cx", "a%5C.."])(
  "a variable with %s cannot lead out of the path it stands in",
  (q) => {
    const handler = build(rewrite, { path: "/files/{request.query.q}" })(origin().handler);
    expect(() => handler(get(`/?q=${q}`))).toThrow(expect.objectContaining({ code: "request-malformed", status: 400 }));
  },
);

test("a replacement cannot make a dot segment either", () => {
  const handler = build(rewrite, { replace: { pattern: "x", with: "" } })(origin().handler);
  expect(() => handler(get("/a/.x./b"))).toThrow("dot segment");
});

test.each(["%2F%2Fevil.example", "%5C%5Cevil.example"])("%s becomes no authority", async (q) => {
  expect(await rewritten({ path: "{request.query.q}", query: { remove: ["q"] } }, `/?q=${q}`)).toBe("/evil.example");
});

test("CR LF and NUL in a variable end up encoded or refused", async () => {
  expect(await rewritten({ path: "/{request.query.q}", query: { remove: ["q"] } }, "/?q=a%0D%0Ab")).toBe("/a%0D%0Ab");
  const handler = build(rewrite, { path: "/{request.query.q}" })(origin().handler);
  expect(() => handler(get("/?q=a%00b"))).toThrow("NUL");
});

describe("query", () => {
  test.each([
    ["/?a=1&b=2&a=3", { remove: ["a"] }, "/?b=2"],
    ["/?a=1", { remove: ["a"] }, "/"],
    ["/?utm_source=x&q=%20+y&utm_medium=z", { remove: ["utm_*"] }, "/?q=%20+y"],
    ["/?%61=1&b", { remove: ["a"] }, "/?b"],
    ["/?a+b=1&c", { remove: ["a b"] }, "/?c"],
    ["/?a=1", { set: { b: "x y&z=1" } }, "/?a=1&b=x%20y%26z%3D1"],
    ["/?a=1&b=2&a=3", { set: { a: "9" } }, "/?b=2&a=9"],
    ["/", { set: { from: "{request.path}" } }, "/?from=%2F"],
    ["/?aa=1", { remove: ["a"] }, "/?aa=1"],
  ])("of %s with %j gives %s", async (target, query, expected) => {
    expect(await rewritten({ query }, target)).toBe(expected);
  });

  test("templates see the request as it came here", async () => {
    const options = { path: "/item", query: { set: { p: "{request.path}", q: "{request.query.q}!" } } };
    expect(await rewritten(options, "/old?q=1")).toBe("/item?p=%2Fold&q=1!");
  });
});

test("targets without a path pass by", async () => {
  const { handler, seen } = origin();
  await build(rewrite, { addPrefix: "/x" })(handler)(request("*", { method: "OPTIONS" }));
  expect(seen.target).toBe("*");
});

test("the target the client sent stays known", async () => {
  const exchange = get("/api/x?y");
  const strip = build(rewrite, { stripPrefix: "/api" });
  const add = build(rewrite, { addPrefix: "/v2" });
  await strip(add(origin().handler))(exchange);
  expect(exchange.request.target).toBe("/v2/x?y");
  expect(exchange.clientTarget).toBe("/api/x?y");
  expect(get("/z").clientTarget).toBe("/z");
});

test.each([
  [{}, "changes nothing"],
  [{ stripPrefix: "api" }, 'must begin with "/"'],
  [{ stripPrefix: "/a?b" }, "query"],
  [{ addPrefix: "/a/../b" }, "normal form"],
  [{ addPrefix: "/a%20b" }, "normal form"],
  [{ path: "x" }, 'must begin with "/"'],
  [{ path: "/x?y=1" }, "query.set"],
  [{ path: "/x", stripPrefix: "/y" }, "leave out stripPrefix"],
  [{ path: "/{request.pth}" }, "did you mean {request.path}"],
  [{ replace: { pattern: "[", with: "" } }, "is not a regular expression"],
  [{ stripPrefx: "/a" }, "stripPrefx"],
])("%j is refused: %s", (options, message) => {
  expect(problems(rewrite, options).join()).toContain(message);
});

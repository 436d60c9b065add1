/** Which route serves which request, seen from outside: each route answers with its own name. */
import { describe, expect, test } from "bun:test";
import tls from "node:tls";
import { Gateway } from "../support/gateway.ts";
import { pair } from "../support/pair.ts";
import { exchange, wire } from "../support/raw.ts";
import { CertificateFolder } from "../support/tls.ts";

const route = (name: string, match?: unknown) => ({
  name,
  ...(match === undefined ? {} : { match }),
  use: [{ respond: `{site}:{route}` }],
});

const it = pair(() => ({
  trustedProxies: ["127.0.0.1/32"],
  sites: [
    { name: "exact", hosts: ["a.example"], routes: [route("exact")] },
    { name: "wildcard", hosts: ["*.a.example"], routes: [route("wildcard")] },
    { name: "suffix", hosts: [".a.example"], routes: [route("suffix")] },
    { name: "regex", hosts: ["~^r\\d+\\.example$"], routes: [route("regex")] },
    {
      name: "paths",
      hosts: ["paths.example"],
      routes: [
        route("all"),
        route("regex", "~^/re/(?<id>\\d+)$"),
        route("prefix", "/api/*"),
        route("longer", "/api/v1/*"),
        route("exact", "/api/v1/users"),
        { name: "param", match: "/users/:id/posts", use: [{ respond: "param:{param.id}" }] },
        { name: "star", match: "/star/*", use: [{ respond: "star:{param.*}" }] },
        route("private", "/private/*"),
        route("root", "/"),
      ],
    },
    {
      name: "file",
      hosts: ["file.example"],
      order: "file",
      routes: [route("first", { path: "/a/*", method: "GET" }), route("second", "/a/b"), route("rest")],
    },
    {
      name: "match",
      hosts: ["match.example"],
      order: "file",
      routes: [
        route("method", { method: ["PUT", "DELETE"] }),
        route("field", { field: { "X-Kind": "blue" } }),
        route("field-regex", { field: { "x-kind": "~^gr" } }),
        route("field-absent", { path: "/absent", field: { "x-kind": false } }),
        route("query", { query: { version: "2" } }),
        route("query-any", { query: { debug: true } }),
        route("cookie", { cookie: { beta: ["1", "yes"] } }),
        route("client", { client: "10.0.0.0/8" }),
        route("protocol", { protocol: "HTTP/1.0" }),
        route("not", { path: "/not/*", not: { path: "/not/this" } }),
        route("any", { any: [{ path: "/one" }, { path: "/two", method: "POST" }] }),
        route("all", { all: [{ path: "/both/*" }, { field: { "x-both": true } }] }),
        route("host", { host: "match.example", path: "/hosted" }),
        route("variable", { path: "/var/*", variable: { "request.query.kind": "~^b", "client.address": "11.9.9.9" } }),
        route("variable-empty", { path: "/var/*", variable: { "request.query": false } }),
        route("rest"),
      ],
    },
    { name: "default", routes: [route("default")] },
  ],
}));

async function who(line: string, ...fieldLines: string[]): Promise<string> {
  const response = await exchange(
    it.gateway.port,
    wire(`${line.includes(" HTTP/") ? line : `${line} HTTP/1.1`}`, ...fieldLines, "", ""),
  );
  return response.status === 200 ? response.text : String(response.status);
}

describe("host", () => {
  test.each([
    ["a.example", "exact:exact"],
    ["A.EXAMPLE", "exact:exact"],
    ["a.example:8080", "exact:exact"],
    ["a.example.", "exact:exact"],
    ["b.a.example", "wildcard:wildcard"],
    ["c.b.a.example", "suffix:suffix"],
    ["r12.example", "regex:regex"],
    ["r.example", "default:default"],
    ["xa.example", "default:default"],
    ["other.example", "default:default"],
    ["[::1]", "default:default"],
  ])("%s goes to %s", async (host, expected) => {
    expect(await who("GET /", `Host: ${host}`)).toBe(expected);
  });

  test("an absolute-form target decides, not Host (RFC 9112 §3.2.2)", async () => {
    expect(await who("GET http://a.example/ HTTP/1.1", "Host: b.a.example")).toBe("exact:exact");
  });

  test("an HTTP/1.0 request without Host goes where any host goes", async () => {
    expect(await who("GET / HTTP/1.0")).toBe("default:default");
  });
});

describe("path: the most specific pattern wins, whatever the order in the file", () => {
  test.each([
    ["/", "paths:root"],
    ["/else", "paths:all"],
    ["/api", "paths:prefix"],
    ["/api/", "paths:prefix"],
    ["/api/x", "paths:prefix"],
    ["/apis", "paths:all"],
    ["/api/v1", "paths:longer"],
    ["/api/v1/x", "paths:longer"],
    ["/api/v1/users", "paths:exact"],
    ["/api/v1/users/", "paths:longer"],
    ["/users/42/posts", "param:42"],
    ["/users/a%20b/posts", "param:a b"],
    ["/users/42/posts/1", "paths:all"],
    ["/users//posts", "paths:all"],
    ["/re/17", "paths:regex"],
    ["/re/x", "paths:all"],
    ["/star/a/b", "star:a/b"],
    ["/api/x?q=/api/v1/users", "paths:prefix"],
  ])("%s goes to %s", async (target, expected) => {
    expect(await who(`GET ${target}`, "Host: paths.example")).toBe(expected);
  });

  test("order: file tries routes as written", async () => {
    expect(await who("GET /a/b", "Host: file.example")).toBe("file:first");
    expect(await who("PUT /a/b", "Host: file.example")).toBe("file:second");
    expect(await who("GET /c", "Host: file.example")).toBe("file:rest");
  });
});

describe("no spelling of a path steps around a rule (RFC 3986 §6.2.2)", () => {
  test.each([
    "/private/x",
    "//private/x",
    "/private//x",
    "/./private/x",
    "/a/../private/x",
    "/a/%2e%2e/private/x",
    "/a/%2E./private/x",
    "/a/.%2e/private/x",
    "/%70rivate/x",
    "/priv%61te/x",
    "/private%2fx",
    "/private%2Fx",
    "/private%5cx",
    "/private;v=1/x",
    "/private;a/x;b",
    "/private/../private/x",
    "/private/",
    "/private",
    "/private;",
    "/private/%2e",
  ])("%s is still private", async (target) => {
    expect(await who(`GET ${target}`, "Host: paths.example")).toBe("paths:private");
  });

  test("escapes are decoded once, not twice", async () => {
    expect(await who("GET /%2570rivate/x", "Host: paths.example")).toBe("paths:all");
    expect(await who("GET /a/%252e%252e/private/x", "Host: paths.example")).toBe("paths:all");
  });

  test.each(["/..", "/../private/x", "/%2e%2e/private/x", "/private/../../x", "/a/..;/../x", "/%", "/%a", "/%00"])(
    "%s is refused",
    async (target) => {
      expect(await who(`GET ${target}`, "Host: paths.example")).toBe("400");
    },
  );
});

describe("the other matchers", () => {
  const host = "Host: match.example";
  test.each([
    ["PUT /", [], "method"],
    ["put /", [], "rest"],
    ["GET /", ["X-Kind: blue"], "field"],
    ["GET /", ["x-KIND: blue"], "field"],
    ["GET /", ["X-Kind: Blue"], "rest"],
    ["GET /", ["X-Kind: green"], "field-regex"],
    ["GET /absent", [], "field-absent"],
    ["GET /absent", ["X-Kind: x"], "rest"],
    ["GET /?version=2", [], "query"],
    ["GET /?a=b&version=2&c", [], "query"],
    ["GET /?version=22", [], "rest"],
    ["GET /?vers%69on=%32", [], "query"],
    ["GET /?debug", [], "query-any"],
    ["GET /", ["Cookie: a=b; beta=yes"], "cookie"],
    ["GET /", ["Cookie: a=b", "Cookie: beta=1"], "cookie"],
    ["GET /", ["Cookie: beta=no"], "rest"],
    ["GET /", ["X-Forwarded-For: 10.1.2.3"], "client"],
    ["GET /", ["X-Forwarded-For: 11.1.2.3"], "rest"],
    ["GET / HTTP/1.0", [], "protocol"],
    ["GET /not/that", [], "not"],
    ["GET /not/this", [], "rest"],
    ["GET /one", [], "any"],
    ["POST /two", [], "any"],
    ["GET /two", [], "rest"],
    ["GET /both/x", ["X-Both:"], "all"],
    ["GET /both/x", [], "rest"],
    ["GET /hosted", [], "host"],
    ["GET /var/?kind=blue", ["X-Forwarded-For: 11.9.9.9"], "variable"],
    ["GET /var/?kind=blue", ["X-Forwarded-For: 11.9.9.8"], "rest"],
    ["GET /var/?kind=red", ["X-Forwarded-For: 11.9.9.9"], "rest"],
    ["GET /var/", [], "variable-empty"],
  ] as const)("%s with %j goes to %s", async (line, fields, expected) => {
    expect(await who(line, host, ...fields)).toBe(`match:${expected}`);
  });
});

test("a variable of the connection decides: which version of TLS it has, or none", async () => {
  const files = new CertificateFolder();
  await using gateway = await Gateway.start({
    workers: 1,
    listeners: [
      { name: "plain", address: "127.0.0.1:0" },
      { name: "secure", address: "127.0.0.1:0", tls: true },
    ],
    tls: { certificates: [files.put("a", files.authority.issue(["a.example"]))], redirect: false },
    sites: [
      {
        name: "a",
        routes: [
          route("modern", { variable: { "tls.version": "TLSv1.3", "tls.server-name": "a.example" } }),
          route("old", { variable: { "tls.version": true } }),
          route("none", { variable: { "tls.version": false } }),
        ],
      },
    ],
  });
  const request = wire("GET / HTTP/1.1", "Host: a.example", "Connection: close", "", "");
  const port = Number(new URL(gateway.url("listener=secure")).port);
  const over = (maxVersion: tls.SecureVersion) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const place = { host: "127.0.0.1", port, servername: "a.example", ca: files.authority.cert, maxVersion };
    const socket = tls.connect(place, () => socket.write(request));
    let text = "";
    socket.on("data", (octets) => (text += octets.toString("latin1")));
    socket.on("error", reject).on("close", () => resolve(text.split("\r\n\r\n")[1] ?? ""));
    return promise;
  };
  expect(await over("TLSv1.3")).toBe("a:modern");
  expect(await over("TLSv1.2")).toBe("a:old");
  expect((await exchange(gateway.url("listener=plain"), request)).text).toBe("a:none");
  files.remove();
}, 30_000);

test("where no site takes the host, or no route the path, the answer is 404 and the log says which", async () => {
  await using gateway = await Gateway.start({ sites: [{ hosts: ["a.example"], routes: [route("only", "/only")] }] });
  for (const [host, path, code] of [
    ["b.example", "/only", "no-site"],
    ["a.example", "/other", "no-route"],
  ] as const) {
    expect((await exchange(gateway.port, wire(`GET ${path} HTTP/1.1`, `Host: ${host}`, "", ""))).status).toBe(404);
    expect(await gateway.logLine()).toMatchObject({ status: 404, outcome: { by: "gateway", code } });
  }
});

test("a site is reached by the listeners it names only", async () => {
  await using gateway = await Gateway.start({
    listeners: [
      { name: "public", address: "127.0.0.1:0" },
      { name: "internal", address: "127.0.0.1:0" },
    ],
    sites: [
      { name: "open", use: [], routes: [route("open")] },
      { name: "inside", hosts: ["inside.example"], listeners: ["internal"], routes: [route("inside")] },
    ],
  });
  const request = wire("GET / HTTP/1.1", "Host: inside.example", "", "");
  expect((await exchange(gateway.url("internal"), request)).text).toBe("inside:inside");
  expect((await exchange(gateway.url("public"), request)).text).toBe("open:open");
});

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { runSteps } from "../base/steps.ts";
import type { MatchConfig } from "../config/gateway-config.ts";
import { compileRegex } from "../config/pattern.ts";
import type { Exchange } from "../http/exchange.ts";
import { explainRoute, listRoutes } from "./explain.ts";
import { RouteTable, type SiteSpec } from "./table.ts";
import { exchangeOf, type RequestFacts } from "./test-exchange.ts";

type Routes = Readonly<Record<string, MatchConfig | string>>;

function site(name: string, routes: Routes, more: Partial<SiteSpec<string>> = {}): SiteSpec<string> {
  const specs = Object.entries(routes).map(([route, match]) => ({
    name: route,
    match: typeof match === "string" ? { path: [match] } : match,
    target: `${name}/${route}`,
  }));
  return { name, hosts: [], order: "specific", routes: specs, ...more };
}

const find = (sites: readonly SiteSpec<string>[], facts: RequestFacts): string | null =>
  RouteTable.of(sites).find(exchangeOf(facts));

describe("the most specific route of a site wins, wherever it stands", () => {
  const routes: Routes = {
    all: {},
    regex: "~^/users/\\d+/posts$",
    everything: "/*",
    users: "/users/*",
    "user-files": "/users/:id/files/*",
    user: "/users/:id",
    posts: "/users/:id/posts",
    me: "/users/me",
    "any-posts": "/:kind/:id/posts",
    "my-posts": "/users/me/:what",
    deep: "/users/me/files/2026/*",
  };

  test.each([
    ["/users/me", "me"],
    ["/users/7", "user"],
    ["/users/7/posts", "posts"],
    ["/users/me/posts", "my-posts"],
    ["/groups/7/posts", "any-posts"],
    ["/users/7/likes", "users"],
    ["/users/7/files", "user-files"],
    ["/users/7/files/a/b", "user-files"],
    ["/users/me/files/2026/a", "deep"],
    ["/users/me/files/2026", "deep"],
    ["/users/me/files/2025", "user-files"],
    ["/users", "users"],
    ["/users/", "users"],
    ["/usersx", "everything"],
    ["/", "everything"],
    ["*", "all"],
  ])("%s goes to %s", (target, route) => {
    expect(find([site("s", routes)], { target })).toBe(`s/${route}`);
    const reversed = Object.fromEntries(Object.entries(routes).reverse());
    expect(find([site("s", reversed)], { target })).toBe(`s/${route}`);
  });

  test("a regex is more specific than no path, and less than a prefix", () => {
    expect(find([site("s", { none: {}, regex: "~x" })], { target: "/x" })).toBe("s/regex");
    expect(find([site("s", { regex: "~x", all: "/*" })], { target: "/x" })).toBe("s/all");
  });

  test("of the same path, the one with more conditions is tried first", () => {
    const same = [
      site("s", {
        plain: "/x",
        one: { path: ["/x"], method: ["GET"] },
        two: { path: ["/x"], field: { a: true, b: true } },
        three: {
          path: ["/x"],
          all: [{ method: ["GET"], scheme: ["http"] }, { host: ["a.example"] }],
          query: { q: false },
        },
      }),
    ];
    expect(find(same, { target: "/x" })).toBe("s/three");
    expect(find(same, { target: "/x?q", fields: { a: "1", b: "2" } })).toBe("s/two");
    expect(find(same, { target: "/x?q", fields: { a: "1" } })).toBe("s/one");
    expect(find(same, { target: "/x?q", method: "PUT" })).toBe("s/plain");
  });

  test("of equals, the first in the file wins", () => {
    expect(find([site("s", { a: "/x/:a", b: "/x/:b" })], { target: "/x/1" })).toBe("s/a");
  });

  test("a more specific route whose conditions fail leaves the request to the next", () => {
    const sites = [
      site("s", {
        exact: { path: ["/a/b"], method: ["POST"] },
        pattern: { path: ["/a/:x"], scheme: ["https"] },
        rest: "/a/*",
      }),
    ];
    expect(find(sites, { target: "/a/b" })).toBe("s/rest");
    expect(find(sites, { target: "/a/b", scheme: "https" })).toBe("s/pattern");
    expect(find(sites, { target: "/a/b", method: "POST" })).toBe("s/exact");
  });

  test("a route with several paths stands at the place of each", () => {
    const sites = [site("s", { both: { path: ["/*", "/a/b"] }, a: "/a/*" })];
    expect(find(sites, { target: "/a/b" })).toBe("s/both");
    expect(find(sites, { target: "/a/c" })).toBe("s/a");
    expect(find(sites, { target: "/c" })).toBe("s/both");
  });
});

test("with order: file, the first route that matches wins", () => {
  const sites = [site("s", { users: "/users/*", me: "/users/me", all: {}, late: "/late" }, { order: "file" })];
  expect(find(sites, { target: "/users/me" })).toBe("s/users");
  expect(find(sites, { target: "/late" })).toBe("s/all");
});

test("the exchange gets site, route and params", () => {
  const table = RouteTable.of([site("s", { user: "/users/:id/*" })]);
  const exchange = exchangeOf({ target: "/users/caf%C3%A9/a%20b/c?x=1" });
  table.find(exchange);
  expect([exchange.site, exchange.route]).toEqual(["s", "user"]);
  expect(exchange.params).toEqual({ id: "café", "*": "a b/c" });
});

describe("the site", () => {
  const sites = [
    site("rest", { r: {} }),
    site("regex", { r: {} }, { hosts: ["~^api\\d+\\."] }),
    site("deep", { r: {} }, { hosts: [".example.com"] }),
    site("label", { r: {} }, { hosts: ["*.example.com"] }),
    site("exact", { r: "/only" }, { hosts: ["www.example.com", "example.com"] }),
    site("late", { r: {} }),
  ];

  test.each([
    ["example.com", "exact"],
    ["a.example.com", "label"],
    ["a.b.example.com", "deep"],
    ["api1.example.com", "label"],
    ["api1.test", "regex"],
    ["other.test", "rest"],
    ["", "rest"],
  ])("of host %j is %s", (host, name) => {
    expect(find(sites, { host, target: "/only" })).toBe(`${name}/r`);
  });

  test("is chosen by host alone: a path it has no route for does not fall through to another site", () => {
    const exchange = exchangeOf({ host: "www.example.com", target: "/other" });
    expect(RouteTable.of(sites).find(exchange)).toBeNull();
    expect([exchange.site, exchange.route]).toEqual(["exact", null]);
  });

  test("must serve the listener the request came in by", () => {
    const split = [
      site("inside", { r: {} }, { hosts: ["a.example"], listeners: ["internal"] }),
      site("outside", { r: {} }, { hosts: ["*.example", "a.example"], listeners: ["web", "web2"] }),
      site("both", { r: {} }),
    ];
    expect(find(split, { host: "a.example", listener: "internal" })).toBe("inside/r");
    expect(find(split, { host: "a.example", listener: "web2" })).toBe("outside/r");
    expect(find(split, { host: "a.example", listener: "another" })).toBe("both/r");
    expect(find(split.slice(0, 2), { host: "a.example", listener: "another" })).toBeNull();
  });
});

describe("no spelling of a path steps around a rule", () => {
  const sites = [
    site("s", {
      admin: "/admin/*",
      file: "/private/key.pem",
      user: "/users/:id/secrets",
      public: "/public/*",
      rest: "/*",
    }),
  ];

  test.each([
    "/admin",
    "/admin/",
    "/admin/x",
    "//admin/x",
    "/./admin/x",
    "/admin//x",
    "/public/../admin/x",
    "/public/%2e%2e/admin/x",
    "/public/%2E./admin/x",
    "/public/.%2e/admin",
    "/%61dmin/x",
    "/%61%64%6d%69%6e/x",
    "/admin;x=1/y",
    "/admin;/x",
    "/admin%3bx=1/y",
    "/admin%3B",
    "/admin%2fx",
    "/admin%5cx",
    "/admin%2Fx%2Fy",
    "/%2fadmin/x",
    "/%5cadmin/x",
    "/public;x/../admin",
    "/;/admin",
    "/;x/admin",
  ])("%s is under /admin", (target) => {
    expect(find(sites, { target })).toBe("s/admin");
    expect(find(sites, { target: `${target}?/public/../` })).toBe("s/admin");
  });

  test.each(["/private/./key.pem", "/private//key%2Epem", "/private/key.pem;v=2", "/x/../private%2fkey.pem"])(
    "%s is the private key",
    (target) => {
      expect(find(sites, { target })).toBe("s/file");
    },
  );

  test.each(["/users/7/secrets;x", "/users/7/%73ecrets", "/users//7/secrets", "/users/7%2fsecrets"])(
    "%s are somebody's secrets",
    (target) => {
      expect(find(sites, { target })).toBe("s/user");
    },
  );

  test.each(["/admin/../public/x", "/admin/%2e%2e/public/x", "/ADMIN/../public/x"])(
    "%s has left /admin for everybody",
    (target) => {
      expect(find(sites, { target })).toBe("s/public");
    },
  );

  test.each([
    "/public/..;/admin",
    "/admin/..;/public",
    "/public/..%2fadmin",
    "/admin/..%2Fpublic",
    "/public/%2e%2e%2fadmin",
    "/public/..%5cadmin",
    "/public//../admin",
    "/admin//../public",
    "/public/%c0%ae%c0%ae/admin",
    "/public%c0%afadmin",
    "/public/%EF%BC%8F/../../..",
    "/admin%00",
    "/admin%00/../public",
    "/admin%",
    "/%%61dmin",
    "/admin%u002f",
    "/..",
    "/public/../../admin",
  ])("%s never reaches a route: it is refused as malformed", (target) => {
    expect(() => exchangeOf({ target })).toThrow(expect.objectContaining({ code: "request-malformed" }));
  });

  test("an escape is decoded once: what is encoded twice is a name of its own, under the rule it stands under", () => {
    expect(find(sites, { target: "/admin/%252e%252e/public" })).toBe("s/admin");
    expect(find(sites, { target: "/public/%252e%252e/admin" })).toBe("s/public");
    expect(find(sites, { target: "/%2561dmin" })).toBe("s/rest");
  });
});

describe("the table answers as trying all routes one by one would", () => {
  const segment = fc.constantFrom("a", "b", "ab", "c");
  const patternSegment = fc.oneof(
    { weight: 3, arbitrary: segment },
    { weight: 1, arbitrary: fc.constantFrom(":p", ":q") },
  );
  const plain = fc
    .array(fc.oneof(segment, fc.constant("")), { maxLength: 4 })
    .map((s) => `/${s.join("/")}`.replace(/\/{2,}/g, "/"));
  const pattern = fc
    .tuple(fc.array(patternSegment, { maxLength: 4 }), fc.constantFrom("", "", "/", "/*", "/*"))
    .map(([segments, end]) =>
      `/${segments.map((s, i) => (s.startsWith(":") ? `${s}${i}` : s)).join("/")}${end}`.replace(/\/{2,}/g, "/"),
    );
  const path = fc.oneof(
    { weight: 6, arbitrary: pattern },
    { weight: 1, arbitrary: fc.constantFrom("~^/a", "~b$", "~/ab?/") },
  );
  const conditions = fc.oneof(
    { weight: 3, arbitrary: fc.constant<MatchConfig>({}) },
    {
      weight: 2,
      arbitrary: fc.constantFrom<MatchConfig>(
        { method: ["POST"] },
        { scheme: ["https"] },
        { method: ["POST"], scheme: ["https"] },
      ),
    },
  );
  const match = fc
    .tuple(fc.option(fc.array(path, { minLength: 1, maxLength: 2 })), conditions)
    .map(([paths, others]): MatchConfig => (paths === null ? others : { path: paths, ...others }));
  const order = fc.constantFrom("specific" as const, "file" as const);
  const hosts = fc.array(fc.constantFrom("a.test", "b.test", "*.test", ".test", "~^a"), { maxLength: 2 });
  const sites = fc.array(fc.tuple(fc.array(match, { maxLength: 8 }), order, hosts), { minLength: 1, maxLength: 4 });
  const facts = fc.record({
    target: fc.oneof({ weight: 9, arbitrary: plain }, { weight: 1, arbitrary: fc.constant("*") }),
    method: fc.constantFrom("GET", "POST"),
    scheme: fc.constantFrom("http" as const, "https" as const),
    host: fc.constantFrom("a.test", "b.test", "x.a.test", "other"),
  });

  const specsOf = (
    drawn: readonly [MatchConfig[], "specific" | "file", string[]][],
    generation = "",
  ): SiteSpec<string>[] =>
    drawn.map(([matches, ord, hostList], s) => ({
      name: `s${s}`,
      hosts: hostList,
      order: ord,
      routes: matches.map((m, r) => ({ name: `r${r}`, match: m, target: `s${s}/r${r}${generation}` })),
    }));

  test("for random sites, routes and requests", () => {
    fc.assert(
      fc.property(sites, fc.array(facts, { minLength: 1, maxLength: 8 }), (drawn, requests) => {
        const specs = specsOf(drawn);
        const table = RouteTable.of(specs);
        for (const request of requests) {
          const exchange = exchangeOf(request);
          const expected = naive(specs, exchangeOf(request));
          const target = table.find(exchange);
          expect({ target, site: exchange.site, params: exchange.params }).toEqual(expected);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("for tables that are made from the table before, of which they keep some sites", () => {
    const kept = fc.array(fc.constantFrom("same", "copy", "other"), { minLength: 4, maxLength: 4 });
    const step = fc.tuple(sites, kept);
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 2, maxLength: 4 }),
        fc.array(facts, { maxLength: 5 }),
        (steps, requests) => {
          let table: RouteTable<string> | null = null;
          let before: SiteSpec<string>[] = [];
          for (const [generation, [drawn, how]] of steps.entries()) {
            const specs = specsOf(drawn, `#${generation}`).map((spec, s) => {
              const old = before[s];
              if (old === undefined || how[s] === "other") return spec;
              const routes = old.routes.map(({ name, match: m }) => ({
                name: `${name}'`,
                match: how[s] === "same" ? m : structuredClone(m),
                target: `${name}#${generation}`,
              }));
              return { ...spec, order: old.order, routes };
            });
            table = runSteps(RouteTable.build(specs, table));
            expect(listRoutes(table)).toEqual(listRoutes(RouteTable.of(specs)));
            for (const request of requests) {
              const exchange = exchangeOf(request);
              const target = table.find(exchange);
              expect({ target, site: exchange.site, params: exchange.params }).toEqual(
                naive(specs, exchangeOf(request)),
              );
              expect(explainRoute(table, exchangeOf(request))).toEqual(
                explainRoute(RouteTable.of(specs), exchangeOf(request)),
              );
            }
            before = specs;
          }
        },
      ),
      { numRuns: 300 },
    );
  }, 60_000);
});

interface Answer {
  readonly target: string | null;
  readonly site: string | null;
  readonly params: Record<string, string> | null;
}

/** The rules of table.ts word by word, with no index and no pattern class. */
function naive(specs: readonly SiteSpec<string>[], exchange: Exchange): Answer {
  const hostRank = (p: string): number | null => {
    if (p.startsWith("~")) return new RegExp(p.slice(1)).test(exchange.host) ? 3 : null;
    if (p.startsWith("*."))
      return /^[^.]+/.test(exchange.host) && exchange.host.replace(/^[^.]+/, "*") === p ? 1 : null;
    if (p.startsWith(".")) return exchange.host.endsWith(p) ? 2 : null;
    return p === exchange.host ? 0 : null;
  };
  const fitting = specs.flatMap((spec) => {
    const ranks = spec.hosts.length === 0 ? [4] : spec.hosts.map(hostRank).filter((rank) => rank !== null);
    return ranks.map((rank) => ({ spec, rank }));
  });
  const chosen = fitting.toSorted((a, b) => a.rank - b.rank)[0]?.spec;
  if (chosen === undefined) return { target: null, site: null, params: null };
  const entries = chosen.routes.flatMap((route, position) => {
    const { path, ...others } = route.match;
    return (path ?? [null]).map((p) => ({ route, position, p, weight: Object.keys(others).length, key: pathKey(p) }));
  });
  entries.sort((a, b) => {
    const byPath = a.key.reduce((sum, k, i) => sum || k - b.key[i]!, 0);
    if (chosen.order === "file") return a.position - b.position || byPath;
    return byPath || b.weight - a.weight || a.position - b.position;
  });
  for (const { route, p } of entries) {
    const { method, scheme } = route.match;
    const params = p === null ? {} : paramsOf(p, exchange.path);
    if (params === null) continue;
    if (method !== undefined && !method.includes(exchange.request.method)) continue;
    if (scheme !== undefined && !scheme.includes(exchange.request.scheme)) continue;
    return { target: route.target, site: chosen.name, params: Object.keys(params).length === 0 ? null : params };
  }
  return { target: null, site: chosen.name, params: null };
}

/** Lower is more specific. */
function pathKey(p: string | null): number[] {
  if (p === null) return [4, 0, 0];
  if (p.startsWith("~")) return [3, 0, 0];
  const literal = p.replace(/[:*].*$/, "").length;
  const depth = p.replace(/\/\*$/, "").split("/").length;
  const rank = p.endsWith("*") ? 2 : p.includes(":") ? 1 : 0;
  return rank === 0 ? [0, 0, 0] : [rank, -literal, -depth];
}

/** By way of a regex made from the pattern. */
function paramsOf(p: string, path: string): Record<string, string> | null {
  if (p.startsWith("~")) return path.startsWith("/") && compileRegex(p).test(path) ? {} : null;
  const body = p.replace(/\/\*$/, "").replace(/:(\w+)/g, "(?<$1>[^/]+)");
  const found = new RegExp(`^${body}${p.endsWith("/*") ? "(?:/(?<star>.*))?" : ""}$`).exec(path);
  if (found === null || !path.startsWith("/")) return null;
  const { star, ...params } = { ...found.groups };
  return p.endsWith("/*") ? { ...params, "*": star ?? "" } : params;
}

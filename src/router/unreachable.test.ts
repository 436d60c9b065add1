import { describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import type { MatchConfig } from "../config/gateway-config.ts";
import { explainRoute } from "./explain.ts";
import { RouteTable, type SiteSpec } from "./table.ts";
import { exchangeOf } from "./test-exchange.ts";
import { homelessRoutes, shadowedRoutes } from "./unreachable.ts";

function tableOf(
  routes: Readonly<Record<string, MatchConfig>>,
  more: Partial<SiteSpec<string>> = {},
): RouteTable<string> {
  const specs = Object.entries(routes).map(([name, match]) => ({ name, match, target: name }));
  return RouteTable.of([{ name: "main", hosts: ["*.example"], order: "specific", routes: specs, ...more }]);
}

describe("shadowed routes", () => {
  const names = (table: RouteTable<string>) =>
    shadowedRoutes(table).map(({ route, by }) => [route.name, by.map(({ name }) => name).join()]);
  const file = { order: "file" } as const;

  test.each<[string, Readonly<Record<string, MatchConfig>>, Partial<SiteSpec<string>>, [string, string][]]>([
    ["the same path twice", { a: { path: ["/x"] }, b: { path: ["/x"] } }, {}, [["b", "a"]]],
    ["the same pattern under another name", { a: { path: ["/:x"] }, b: { path: ["/:y"] } }, {}, [["b", "a"]]],
    ["the same conditions twice", { a: { method: ["GET"] }, b: { method: ["GET"] } }, {}, [["b", "a"]]],
    ["a prefix before what is below it", { a: { path: ["/x/*"] }, b: { path: ["/x/y"] } }, file, [["b", "a"]]],
    [
      "a route for all before anything",
      { a: {}, b: { path: ["/x"] }, c: {} },
      file,
      [
        ["b", "a"],
        ["c", "a"],
      ],
    ],
    [
      "fewer conditions before more",
      { a: { path: ["/x"], method: ["GET"] }, b: { path: ["/x"], method: ["GET"], scheme: ["http"] } },
      file,
      [["b", "a"]],
    ],
    [
      "methods that one earlier route takes among others",
      { a: { method: ["GET", "POST"] }, b: { method: ["POST"] } },
      file,
      [["b", "a"]],
    ],
    [
      "methods that several earlier routes take together",
      {
        a: { path: ["/x/*"], method: ["GET", "HEAD"] },
        other: { path: ["/x/*"], method: ["DELETE"] },
        b: { method: ["POST"] },
        c: { path: ["/x/y"], method: ["POST", "GET"], scheme: ["http"] },
      },
      file,
      [["c", "a,b"]],
    ],
    [
      "hosts and schemes that earlier routes take",
      {
        a: { host: ["a.example", "b.example"], scheme: ["http", "https"] },
        b: { host: ["b.example"], scheme: ["https"] },
        c: { host: ["c.example"] },
        d: { host: ["c.example", "a.example"], scheme: ["http"] },
      },
      file,
      [
        ["b", "a"],
        ["d", "a,c"],
      ],
    ],
    [
      "paths of a route that different ones take",
      { a: { path: ["/1"] }, b: { path: ["/2"] }, c: { path: ["/1", "/2"] } },
      file,
      [["c", "a,b"]],
    ],
    ["all paths of a route", { a: { path: ["/x/*"] }, b: { path: ["/x/1", "/x/2"] } }, file, [["b", "a"]]],
  ])("are found: %s", (_what, routes, more, expected) => {
    expect(names(tableOf(routes, more))).toEqual(expected);
  });

  test.each<[string, Readonly<Record<string, MatchConfig>>, Partial<SiteSpec<string>>]>([
    ["the more specific one is tried first", { a: { path: ["/x/*"] }, b: { path: ["/x/y"] }, c: {} }, {}],
    ["the earlier one has a condition", { a: { path: ["/x/*"], method: ["GET"] }, b: { path: ["/x/y"] } }, file],
    ["the conditions differ", { a: { method: ["GET"] }, b: { method: ["POST"] } }, {}],
    [
      "a method is left",
      { a: { method: ["GET"] }, b: { method: ["POST"] }, c: { method: ["GET", "POST", "PUT"] } },
      file,
    ],
    ["no list names every method", { a: { method: ["GET"] }, b: { method: ["POST"] }, c: {} }, file],
    [
      "what one takes of a method another does not take of it",
      {
        a: { method: ["GET"], scheme: ["http"] },
        b: { method: ["POST"], scheme: ["https"] },
        c: { method: ["GET", "POST"], scheme: ["http", "https"] },
      },
      file,
    ],
    ["one of the paths is free", { a: { path: ["/x/*"] }, b: { path: ["/x/1", "/y"] } }, file],
    ["OPTIONS * is no path", { a: { path: ["/*"] }, b: {} }, file],
    ["regexes are not compared", { a: { path: ["~."] }, b: { path: ["~^/x"] } }, file],
    ["a route's own paths do not count", { a: { path: ["/x/*", "/x/y"] } }, file],
  ])("are not: %s", (_what, routes, more) => {
    expect(names(tableOf(routes, more))).toEqual([]);
  });

  test("a route named as shadowed is never found, and what explain chooses is what is found", () => {
    const path = fc.constantFrom("/a", "/a/", "/a/*", "/a/b", "/:x", "/:x/b", "/a/:y", "/:x/*", "/*", "~^/a");
    const match = fc.record(
      {
        path: fc.array(path, { minLength: 1, maxLength: 2 }),
        method: fc.subarray(["GET", "POST", "PUT"], { minLength: 1 }),
        scheme: fc.subarray(["http" as const, "https" as const], { minLength: 1 }),
        not: fc.constantFrom({ method: ["POST"] }, { path: ["/a"] }),
      },
      { requiredKeys: [] },
    );
    const target = fc.constantFrom("/", "/a", "/a/", "/a/b", "/b/b", "/b", "/a/b/c", "*");
    fc.assert(
      fc.property(
        fc.array(match, { maxLength: 6 }),
        fc.constantFrom("specific" as const, "file" as const),
        target,
        (matches, order, t) => {
          const table = tableOf(Object.fromEntries(matches.map((m, i) => [`r${i}`, m as MatchConfig])), { order });
          for (const method of ["GET", "POST", "PUT", "OTHER"]) {
            const exchange = exchangeOf({ target: t, method, scheme: method === "POST" ? "https" : "http" });
            const { chosen, params } = explainRoute(table, exchange);
            const found = table.find(exchange);
            expect(found).toBe(chosen?.target ?? null);
            expect(exchange.params).toEqual(params as Record<string, string> | null);
            expect(shadowedRoutes(table).map(({ route }) => route.target)).not.toContain(found);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("what is looked at for shadowed routes", () => {
  const many = (count: number, match: (i: number) => MatchConfig) =>
    tableOf(Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, match(i)])));

  /** What is found, and how often a value or a route was looked up in a set meanwhile. */
  function lookups(table: RouteTable<string>, mostCompared?: number) {
    const has = spyOn(Set.prototype, "has");
    try {
      const found = shadowedRoutes(table, mostCompared).length;
      return { found, count: has.mock.calls.length };
    } finally {
      has.mockRestore();
    }
  }

  const block = (i: number) => `10.0.${i}.0/24`;

  test.each<[string, (i: number) => MatchConfig]>([
    ["a host of its own", (i) => ({ host: [`h${i}.example`] })],
    [
      "a host of its own, and what others have too",
      (i) => ({ host: [`h${i}.example`], method: ["GET"], path: ["/x"] }),
    ],
    [
      "a field of its own, and a list that others have too",
      (i) => ({ field: { a: [`${i}`] }, client: ["10.0.0.0/8"] }),
    ],
  ])("routes are not compared with those that share nothing rare with them: %s", (_what, match) => {
    const { found, count } = lookups(many(300, match));
    expect(found).toBe(0);
    expect(count).toBeLessThan(300 * 10);
  });

  test("equal lists are counted through once for each route", () => {
    const { found, count } = lookups(many(100, () => ({ client: Array.from({ length: 50 }, (_, i) => block(i)) })));
    expect(found).toBe(99);
    expect(count).toBeLessThan(100 * 150);
  });

  test("of lists that overlap, so many pairs are compared as the limit says", () => {
    const methods = many(400, (i) => ({ path: ["/x"], method: ["GET", `M${i}`] }));
    expect(lookups(methods, 10).count).toBeLessThan(400 * 10 * 5);
    const clients = many(100, (i) => ({ client: Array.from({ length: 20 }, (_, j) => block(i + j)) }));
    expect(lookups(clients, 10).count).toBeLessThan(100 * 10 * 25);
  });

  test("a route with one that takes all of it finds it beside any number of those that take a part", () => {
    const table = many(3000, (i) => ({ method: i === 2999 ? ["GET", "M7"] : ["GET", `M${i}`] }));
    expect(shadowedRoutes(table).map(({ route, by }) => [route.name, ...by.map(({ name }) => name)])).toEqual([
      ["r2999", "r7"],
    ]);
  });

  test("nor are those lost that take it together, where they are the only ones for a value", () => {
    const table = many(3000, (i) => ({ method: i === 2999 ? ["GET", "M7", "M8"] : ["GET", `M${i}`] }));
    expect(shadowedRoutes(table).map(({ route, by }) => [route.name, ...by.map(({ name }) => name)])).toEqual([
      ["r2999", "r0", "r7", "r8"],
    ]);
  });

  test("one that takes all of it is found wherever its conditions are common", () => {
    const grid = (i: number): MatchConfig => ({
      host: [`h${i % 40}.example`],
      query: { q: [`${Math.floor(i / 40)}`] },
    });
    const table = many(1601, (i) => grid(i === 1600 ? 815 : i));
    expect(shadowedRoutes(table).map(({ route, by }) => [route.name, ...by.map(({ name }) => name)])).toEqual([
      ["r1600", "r815"],
    ]);
  });
});

describe("routes whose host is none of the site's", () => {
  const names = (hosts: readonly string[], match: MatchConfig) =>
    homelessRoutes(tableOf({ a: match, b: {} }, { hosts })).map(({ route }) => route.name);

  test.each([
    [["a.example"], ["b.example"]],
    [
      ["a.example", "*.b.example"],
      ["c.example", "b.example", "x.y.b.example"],
    ],
    [[".a.example"], ["a.example", "*.b.example", ".b.example"]],
    [["~^a\\d"], ["b1.example"]],
  ])("hosts %j, %j: found", (hosts, host) => {
    expect(names(hosts, { host, path: ["/x", "/y"] })).toEqual(["a"]);
  });

  test.each([
    [[], ["b.example"]],
    [["a.example"], ["b.example", "a.example"]],
    [["*.example"], ["~^b"]],
    [["~^a\\d"], ["~^b"]],
    [["~^a\\d"], ["*.example"]],
  ])("hosts %j, %j: not found", (hosts, host) => {
    expect(names(hosts, { host })).toEqual([]);
  });

  test("hosts and patterns are read once, not for each pair of them", () => {
    const hosts = Array.from({ length: 100 }, (_, i) => `h${i}.example`);
    const of = (i: number) => [i === 0 ? "other.example" : `h${i % 100}.example`];
    const routes = Array.from({ length: 300 }, (_, i): [string, MatchConfig] => [
      `r${i}`,
      { host: of(i), path: [`/${i}`, `/${i}/*`] },
    ]);
    const table = tableOf(Object.fromEntries(routes), { hosts });
    const reads = spyOn(RegExp.prototype, "test");
    try {
      expect(homelessRoutes(table).map(({ route }) => route.name)).toEqual(["r0"]);
      const count = reads.mock.calls.length;
      expect(count).toBeGreaterThan(0);
      expect(count).toBeLessThan((100 + 300) * 10);
    } finally {
      reads.mockRestore();
    }
  });

  test("a host within nested conditions is not looked at", () => {
    expect(names(["a.example"], { not: { host: ["b.example"] } })).toEqual([]);
  });
});

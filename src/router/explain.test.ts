import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { MatchConfig } from "../config/gateway-config.ts";
import { explainRoute, listRoutes, shadowedRoutes } from "./explain.ts";
import { RouteTable, type SiteSpec } from "./table.ts";
import { exchangeOf } from "./test-exchange.ts";

function tableOf(
  routes: Readonly<Record<string, MatchConfig>>,
  more: Partial<SiteSpec<string>> = {},
): RouteTable<string> {
  const specs = Object.entries(routes).map(([name, match]) => ({ name, match, target: name }));
  return RouteTable.of([{ name: "main", hosts: ["*.example"], order: "specific", routes: specs, ...more }]);
}

const shop = tableOf({
  all: {},
  api: { path: ["/api/*"] },
  write: { path: ["/api/*"], method: ["POST", "PUT"], client: ["10.0.0.0/8"] },
  item: { path: ["/api/items/:id"], field: { "x-key": ["1", "~^k"] } },
});

test("explain says why the site was chosen and why each earlier route did not match", () => {
  const exchange = exchangeOf({ target: "/api/items/7", method: "PUT" });
  expect(explainRoute(shop, exchange)).toEqual({
    site: "main",
    because: 'its pattern *.example fits host "a.example"',
    tried: [
      {
        name: "item",
        path: "/api/items/:id",
        matched: false,
        because: 'needs field x-key "1" or "~^k", found no field x-key',
      },
      { name: "write", path: "/api/*", matched: false, because: "needs client 10.0.0.0/8, found 192.0.2.1" },
      { name: "api", path: "/api/*", matched: true, because: "path /api/* holds" },
    ],
    chosen: { site: "main", name: "api", target: "api" },
    params: { "*": "items/7" },
  });
  expect([exchange.site, exchange.route, exchange.params]).toEqual([null, null, null]);
});

test.each([
  [{ target: "/x" }, "it takes everything"],
  [{ target: "/api/items/7", fields: { "x-key": "key" } }, 'path /api/items/:id and field x-key "1" or "~^k" hold'],
])("the route chosen for %j has its reason: %s", (facts, because) => {
  expect(explainRoute(shop, exchangeOf(facts)).tried.at(-1)).toMatchObject({ matched: true, because });
});

test.each([
  [["a.example"], 'it names host "a.example"'],
  [[], 'it takes every host, and no other site takes "a.example"'],
  [["~^a"], 'its pattern ~^a fits host "a.example"'],
])("the site with hosts %j is chosen because %s", (hosts, because) => {
  expect(explainRoute(tableOf({}, { hosts }), exchangeOf()).because).toBe(because);
});

test("explain says that no site or no route takes the request", () => {
  expect(explainRoute(shop, exchangeOf({ host: "b.test", listener: "web" }))).toMatchObject({
    site: null,
    because: 'no site on listener "web" takes host "b.test"',
    chosen: null,
  });
  const one = tableOf({ api: { path: ["/api/*"] } });
  expect(explainRoute(one, exchangeOf({ target: "/x" }))).toMatchObject({
    site: "main",
    tried: [{ name: "api", matched: false, because: 'needs path /api/*, found "/x"' }],
    chosen: null,
  });
});

test("the list has the routes in order of matching", () => {
  expect(listRoutes(shop).map(({ route, path, conditions }) => [route.name, path, conditions])).toEqual([
    ["item", "/api/items/:id", ['field x-key "1" or "~^k"']],
    ["write", "/api/*", ["method POST or PUT", "client 10.0.0.0/8"]],
    ["api", "/api/*", []],
    ["all", null, []],
  ]);
});

describe("shadowed routes", () => {
  const names = (table: RouteTable<string>) => shadowedRoutes(table).map(({ route, by }) => [route.name, by.name]);
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
    ["all paths of a route", { a: { path: ["/x/*"] }, b: { path: ["/x/1", "/x/2"] } }, file, [["b", "a"]]],
  ])("are found: %s", (_what, routes, more, expected) => {
    expect(names(tableOf(routes, more))).toEqual(expected);
  });

  test.each<[string, Readonly<Record<string, MatchConfig>>, Partial<SiteSpec<string>>]>([
    ["the more specific one is tried first", { a: { path: ["/x/*"] }, b: { path: ["/x/y"] }, c: {} }, {}],
    ["the earlier one has a condition", { a: { path: ["/x/*"], method: ["GET"] }, b: { path: ["/x/y"] } }, file],
    ["the conditions differ", { a: { method: ["GET"] }, b: { method: ["POST"] } }, {}],
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
      { path: fc.array(path, { minLength: 1, maxLength: 2 }), method: fc.constantFrom(["GET"], ["POST"]) },
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
          for (const method of ["GET", "POST"]) {
            const exchange = exchangeOf({ target: t, method });
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

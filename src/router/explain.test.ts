import { expect, test } from "bun:test";
import type { MatchConfig } from "../config/gateway-config.ts";
import { explainRoute, listRoutes } from "./explain.ts";
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

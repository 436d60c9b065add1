import { expect, test } from "bun:test";
import type { RelayMatchConfig } from "../config/relay-config.ts";
import { RelayRoutes } from "./routes.ts";

const routes = (...list: (readonly [string, RelayMatchConfig])[]) =>
  new RelayRoutes(list.map(([name, match]) => ({ name, match, target: null })));

const NAMES = routes(
  ["rest", {}],
  ["below", { serverName: [".example.com"] }],
  ["far-below", { serverName: [".a.example.com"] }],
  ["label", { serverName: ["*.example.com"] }],
  ["exact", { serverName: ["www.example.com", "example.org"] }],
);

test.each([
  ["www.example.com", "exact"],
  ["example.org", "exact"],
  ["shop.example.com", "label"],
  ["a.example.com", "label"],
  ["b.a.example.com", "far-below"],
  ["c.b.example.com", "below"],
  ["example.com", "rest"],
  ["com", "rest"],
  ["evilexample.com", "rest"],
  [null, "rest"],
])("server name %j is taken by the route that says most of it: %s", (name, route) => {
  expect(NAMES.find(name, "192.0.2.1")?.name).toBe(route);
});

test("a route for other clients is passed over, and the next best one takes the client", () => {
  const table = routes(
    ["inside", { serverName: ["db.example"], client: ["10.0.0.0/8"] }],
    ["guests", { serverName: ["*.example"], client: ["192.0.2.0/24"] }],
    ["v6", { client: ["2001:db8::/32"] }],
  );
  expect(table.find("db.example", "10.1.2.3")?.name).toBe("inside");
  expect(table.find("db.example", "192.0.2.7")?.name).toBe("guests");
  expect(table.find("db.example", "2001:db8::7")?.name).toBe("v6");
  expect(table.find("db.example", "198.51.100.1")).toBeNull();
  expect(table.find("db.example", "")).toBeNull();
});

test("of routes that say the same, the first in the file wins", () => {
  const table = routes(
    ["a", { serverName: ["x.example"] }],
    ["b", { serverName: ["x.example"] }],
    ["c", {}],
    ["d", {}],
  );
  expect(table.find("x.example", "192.0.2.1")?.name).toBe("a");
  expect(table.find(null, "192.0.2.1")?.name).toBe("c");
  expect(table.unreachable().map(({ spec, by }) => [spec.name, by.name])).toEqual([
    ["b", "a"],
    ["d", "c"],
  ]);
});

test("a route that is reached by one of its names is reached", () => {
  const table = routes(
    ["a", { serverName: ["x.example"] }],
    ["b", { serverName: ["x.example", "y.example"] }],
    ["c", { serverName: ["x.example"], client: ["10.0.0.0/8"] }],
  );
  expect(table.unreachable().map(({ spec }) => spec.name)).toEqual(["c"]);
});

test("server names are worth waiting for only where a route asks for one", () => {
  expect(routes(["a", {}], ["b", { client: ["10.0.0.0/8"] }]).wantServerName).toBe(false);
  expect(NAMES.wantServerName).toBe(true);
});

test("the explanation names each route that was looked at", () => {
  const table = routes(["inside", { serverName: ["db.example"], client: ["10.0.0.0/8"] }], ["all", {}]);
  expect(
    table.explain("db.example", "192.0.2.1").map(({ spec, matched, because }) => [spec.name, matched, because]),
  ).toEqual([
    ["inside", false, "192.0.2.1 is not in 10.0.0.0/8"],
    ["all", true, "it takes everyone"],
  ]);
});

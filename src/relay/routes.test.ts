import { expect, test } from "bun:test";
import fc from "fast-check";
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

/** How much a pattern says of a name it matches; -1: it does not. */
function weight(pattern: string | null, name: string | null): number {
  if (pattern === null) return 0;
  if (name === null) return -1;
  if (pattern.startsWith("*.")) {
    const [first = "", ...rest] = name.split(".");
    return first !== "" && rest.join(".") === pattern.slice(2) ? 1000 : -1;
  }
  if (pattern.startsWith(".")) return name.endsWith(pattern) ? pattern.length : -1;
  return pattern === name ? 2000 : -1;
}

test("whatever the routes and the client, the one that says most is found, and explain says the same", () => {
  const label = fc.constantFrom("a", "b", "aa");
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
  const pattern = fc.tuple(fc.constantFrom("", "*.", "."), name).map(([lead, rest]) => lead + rest);
  const client = fc.constantFrom("10.0.0.1", "192.0.2.1");
  const match = fc.record(
    { serverName: fc.array(pattern, { minLength: 1, maxLength: 3 }), client: fc.constant(["10.0.0.0/8"]) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(match, { maxLength: 6 }), fc.option(name), client, (matches, asked, from) => {
      const table = routes(...matches.map((one, i) => [String(i), one] as const));
      let best: string | null = null;
      let most = -1;
      for (const [i, { serverName = [null], client: blocks }] of matches.entries()) {
        if (blocks !== undefined && from !== "10.0.0.1") continue;
        const says = Math.max(...serverName.map((one) => weight(one, asked)));
        if (says > most) [most, best] = [says, String(i)];
      }
      expect(table.find(asked, from)?.name ?? null).toBe(best);
      expect(table.explain(asked, from).find(({ matched }) => matched)?.spec.name ?? null).toBe(best);
    }),
    { numRuns: 2000 },
  );
});

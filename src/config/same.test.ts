import { expect, test } from "bun:test";
import fc from "fast-check";
import { loadConfig } from "./load.ts";
import { keepSame } from "./same.ts";
import { testCatalog } from "./testing.ts";

const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<unknown>(null, true, 1, "a", "b"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom("name", "a", "b"), tie("value"), { maxKeys: 3 }),
  ),
})).value;

test("what it gives says exactly what the new text says, in the same order", () => {
  fc.assert(
    fc.property(plain, plain, (next, before) => {
      expect(JSON.stringify(keepSame(copy(next), before))).toBe(JSON.stringify(next));
    }),
    { numRuns: 500 },
  );
});

test("the tree that says the same is the one before", () => {
  fc.assert(
    fc.property(plain, (tree) => {
      expect(keepSame(copy(tree), tree)).toBe(tree);
    }),
  );
});

test("a list keeps its items when some come, go, move or change", () => {
  const route = (name: string, to = "a") => ({ name, match: { path: `/${name}` }, to });
  const before = [route("a"), route("b"), route("c"), route("d")];
  const next = keepSame([route("new"), route("d"), route("a"), route("c", "x")], before);
  expect(next[1]).toBe(before[3]!);
  expect(next[2]).toBe(before[0]!);
  expect(next[3]).not.toBe(before[2]!);
  expect(next[3]!.match).toBe(before[2]!.match);
  const unnamed = [{ to: "a" }, { to: "b" }, { to: "c" }];
  const more = keepSame([{ to: "a" }, { to: "new" }, { to: "b" }, { to: "c" }], unnamed);
  expect(more.map((one) => unnamed.indexOf(one))).toEqual([0, -1, 1, 2]);
});

test("a map whose keys stand in another order is another one", () => {
  const before = { a: { x: 1 }, b: 2 };
  const next = keepSame({ b: 2, a: { x: 1 } }, before);
  expect(Object.keys(next)).toEqual(["b", "a"]);
  expect(next.a).toBe(before.a);
});

test("a config read after another is the one read by itself; what did not change is made once", async () => {
  const tree = (value: string, path: string) => ({
    upstreams: { app: ["a:1", { address: "b:2", weight: 2 }] },
    sites: [
      {
        routes: [
          { match: path, use: [{ headers: { request: { set: { "x-a": value } } } }], to: "app" },
          { match: "/b", use: [{ headers: { request: { set: { "x-a": "1" } } } }], to: ["c:1"] },
          { match: "/b", use: [{ headers: { request: { set: { "x-a": 1 } } } }], to: "nobody" },
        ].slice(0, path === "/bad" ? 3 : 2),
      },
    ],
  });
  const load = (written: unknown, before: unknown = null) =>
    loadConfig({ tree: written, origin: "test" }, testCatalog, {}, before);
  const first = await load(tree("1", "/a"));
  for (const [value, path] of [
    ["1", "/a"],
    ["2", "/a"],
    ["1", "/a/*"],
    ["1", "/bad"],
  ] as const) {
    const after = await load(tree(value, path), first.tree);
    const alone = await load(tree(value, path));
    expect(after.config).toEqual(alone.config);
    expect(after.diagnostics).toEqual(alone.diagnostics);
    if (after.config !== null)
      expect(after.config.sites[0]!.routes[1]!.match).toBe(first.config!.sites[0]!.routes[1]!.match);
  }
});

import { expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "yaml";
import { renderTree } from "./tree-text.ts";

test("a config is written as a person would write it", () => {
  const tree = {
    listeners: [":80", { name: "local", address: "unix:/run/x.sock" }],
    upstreams: { app: { endpoints: ["10.0.0.1:80"], health: { check: { http: { path: "/h" } }, passive: "off" } } },
    sites: [
      {
        hosts: ["shop.example"],
        routes: [
          { match: "/*", use: [{ "body-limit": { max: "10MB" } }, { headers: { set: { "x-a": "1" } } }], to: "app" },
        ],
      },
    ],
    empty: {},
    none: [],
  };
  expect(renderTree(tree)).toBe(`listeners:
  - ":80"
  - { name: local, address: "unix:/run/x.sock" }
upstreams:
  app:
    endpoints: ["10.0.0.1:80"]
    health:
      check:
        http: { path: /h }
      passive: "off"
sites:
  - hosts: [shop.example]
    routes:
      - match: "/*"
        use:
          - body-limit: { max: "10MB" }
          - headers:
              set: { x-a: "1" }
        to: app
empty: {}
none: []
`);
});

test("any plain tree reads back as it was", () => {
  const leaf = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("off", "yes", "1:30", "- a", "#x", "a: b", "~", "null", "0x1", "1e3", "=", "<<", "é\u2028"),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ depthSize: "small" }, leaf, tie("list"), tie("map")),
    list: fc.array(tie("tree"), { maxLength: 4 }),
    map: fc.dictionary(fc.string({ unit: "grapheme" }), tie("tree"), { maxKeys: 4, noNullPrototype: true }),
  }));
  fc.assert(
    fc.property(tree, (value) => {
      fc.pre(!JSON.stringify(value).includes("__proto__") && !JSON.stringify(value).includes("${"));
      expect(parse(renderTree(value))).toEqual(value);
    }),
    { numRuns: 500 },
  );
});

test("what looks like a variable is text and stays text", () => {
  expect(renderTree({ body: "cost: ${amount}" })).toBe('body: "cost: $${amount}"\n');
});

import { afterAll, describe, expect, spyOn, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import fc from "fast-check";
import { diagnose, oneLine, render } from "../../diagnostic.ts";
import { loadConfig } from "../../load.ts";
import { locate } from "../../node.ts";
import { type Path, parsePath } from "../../path.ts";
import { testCatalog } from "../../testing.ts";
import { Effort, MOST_IN_ALL, MOST_SEARCHES, MOST_STEPS } from "./effort.ts";
import { Module, Modules } from "./module.ts";
import { Tracer } from "./tracer.ts";
import { readTypescript } from "./typescript.ts";

const folder = mkdtempSync(join(tmpdir(), "lintel-places-"));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;

/** Texts with «…» around what is to be found, without these and with its place. */
function marked(text: string): { text: string; start: number; end: number } | { text: string; start: null } {
  const start = text.indexOf("«");
  if (start < 0) return { text, start: null };
  const end = text.indexOf("»") - 1;
  return { text: text.replaceAll(/[«»]/g, ""), start, end };
}

/** Evaluates files (the first is the config) and finds a path of it. */
async function find(files: Readonly<Record<string, string>>, path: string, at: "key" | "value" = "value") {
  const place = join(folder, `${count++}`);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(place, name)), { recursive: true });
    await Bun.write(join(place, name), marked(text).text);
  }
  const [name, text] = Object.entries(files)[0]!;
  const { node, diagnostics } = await readTypescript(marked(text).text, join(place, name));
  expect(diagnostics.map(oneLine)).toEqual([]);
  const span = locate(node!, parsePath(path), at);
  const { source, start, end, exact } = span.placed();
  return { file: relative(place, source.file), start, end, exact, said: diagnose(span, { code: "c", message: "m" }) };
}

/** The one marked place of the files. */
function wanted(files: Readonly<Record<string, string>>) {
  for (const [file, text] of Object.entries(files)) {
    const place = marked(text);
    if (place.start !== null) return { file, start: place.start, end: place.end };
  }
  throw new Error("nothing is marked");
}

type Case = [text: string, path: string, at?: "key" | "value"];

const IMPORT = 'import { defineConfig, upstream } from "lintel";\n';

describe("what is written out is found exactly", () => {
  test.each<Case>([
    ["export default «{ a: 1 }»;", ""],
    ["export default { a: «1» };", "a"],
    ["export default { a: «-1» };", "a"],
    ["export default { «a»: 1 };", "a", "key"],
    ['export default { a: { «"b c"»: [1] } };', 'a["b c"]', "key"],
    ["export default { a: { b: «[1, 2]» } };", "a.b"],
    ["export default { a: [0, [1, «2»]] };", "a[1][1]"],
    ["export default { a: 1, «a»: 2 };", "a", "key"],
    ["export default { ['a']: «1» };", "a"],
    ["export default { [`a`]: { 1: «true» } };", 'a["1"]'],
    ["export default { a: «`text`» };", "a"],
    ["export default { a: «null» };", "a"],
    ["export default { a: ((«'x'») as string)! };", "a"],
    ["export default { a: [«'x'»] as const satisfies readonly string[] };", "a[0]"],
    ["export default { a: <string>«'x'» };", "a"],
    ["export default ({ a: [«1», 2] } as { a: number[] });", "a[0]"],
    [`${IMPORT}export default defineConfig({ sites: [{ to: «"a"» }] });`, "sites[0].to"],
    [`${IMPORT}export default defineConfig(«{ sites: [] }» as never);`, ""],
    ['import { defineConfig as d } from "lintel";\nexport default d({ sites: [«{}»] });', "sites[0]"],
    ['import * as l from "lintel";\nexport default l.defineConfig({ sites: [«{}»] });', "sites[0]"],
    ['import { defineConfig } from "lintel";\nexport default await defineConfig({ sites: [«{}»] });', "sites[0]"],
    ["const config = { a: «1» };\nexport default config;", "a"],
    ["const config = { a: «1» };\nexport { config as default };", "a"],
    ["export default { a: «1» };\nfunction unused() { return { a: 1 }; }", "a"],
    ["#!/usr/bin/env bun\nexport default { a: «1» };", "a"],
    ["enum E { A }\nnamespace N { export const x = 1 }\nexport default { a: «1» };", "a"],
  ])("%s at %s (%s)", async (text, path, at = "value") => {
    const files = { "lintel.config.ts": text };
    expect(await find(files, path, at)).toMatchObject({ ...wanted(files), exact: true });
  });
});

describe("references are followed to where a value was written", () => {
  test.each<Case>([
    ["const x = «1»;\nexport default { a: x };", "a"],
    ["const a = «1»;\nexport default { a };", "a"],
    ["const a = 1;\nexport default { «a» };", "a", "key"],
    ["const x = { y: [{ z: «1» }] };\nexport default { a: x.y[0].z };", "a"],
    ["const x = { 'y-z': { «b»: 1 } };\nexport default { a: x['y-z'] };", "a.b", "key"],
    ["export const y = «1»;\nconst x = y;\nexport default { a: x };", "a"],
    ["const base = { a: «1» };\nexport default { ...base, b: 2 };", "a"],
    ["const base = { a: 1 };\nexport default { ...base, a: «2» };", "a"],
    ["const base = { a: «2» };\nexport default { a: 1, ...base };", "a"],
    ["const base = { b: 2 };\nexport default { a: «1», ...base };", "a"],
    ["export default { ...(1 > 0 ? { a: «1» } : {}) };", "a"],
    ["export default { ...(1 > 0 && { «a»: 1 }) };", "a", "key"],
    ["export default { a: 1, ...(1 > 0 && { a: «2» }) };", "a"],
    ["export default { a: «1», ...(1 > 2 && { a: 2 }) };", "a"],
    ["export default { a: 1 > 0 ? «'x'» : 'y' };", "a"],
    ["export default { a: 1 > 0 ? (2 > 3 ? 'x' : 'z') as string : 'y', b: [1 < 0 ? [1] : [«2»]] };", "b[0][0]"],
    ["const no = process.env['NO_SUCH'];\nexport default { a: no === undefined ? { b: «1» } : { c: 2 } };", "a.b"],
    ["export default { a: (1 > 0 && { b: «1» }) || undefined };", "a.b"],
    [
      `${IMPORT}const a = upstream("a", {}), app = upstream("app", { «retry»: 2 });\nexport default { sites: [{ to: 1 > 0 ? app : a }] };`,
      "upstreams.app.retry",
      "key",
    ],
    [
      `${IMPORT}const a = upstream("a", {}), app = «upstream("app", {})»;\nexport default { sites: [{ to: 1 > 0 ? app : a }] };`,
      "upstreams.app",
    ],
    ["const more = [2, 3];\nexport default { a: [1, ...more, «4»] };", "a[3]"],
    ["const more = [2, «3»];\nexport default { a: [1, ...more, 4] };", "a[2]"],
    ["const list = [«1»];\nlist.push(2);\nexport default { a: list };", "a[0]"],
    ["export default { a: [...'xy'.split(''), «4»] };", "a[2]"],
    ["export default { a: [0, ...'xy'.split(''), 3, «4»] };", "a[4]"],
    [
      `${IMPORT}const app = upstream("app", { endpoints: [«"a:1"»] });\nexport default { sites: [{ to: app }] };`,
      "sites[0].to.endpoints[0]",
    ],
    [
      `${IMPORT}const app = upstream("app", { endpoints: [«"a:1"»] });\nexport default { sites: [{ to: app }] };`,
      "upstreams.app.endpoints[0]",
    ],
    [
      `${IMPORT}const app = «upstream("app", { endpoints: [] })»;\nexport default { sites: [{ to: app }] };`,
      "upstreams.app",
      "key",
    ],
    [
      `${IMPORT}const app = upstream("app", { «retry»: 2 });\nexport default { upstreams: { app } };`,
      "upstreams.app.retry",
      "key",
    ],
  ])("%s at %s (%s)", async (text, path, at = "value") => {
    const files = { "lintel.config.ts": text };
    // A path below a `to` is one of the tree before upstreams were taken out of it.
    const sought = path.replace(/^sites\[0\]\.to\./, "upstreams.app.");
    expect(await find(files, sought, at)).toMatchObject({ ...wanted(files), exact: true });
  });
});

describe("what is computed has the nearest expression and its path", () => {
  test.each<Case>([
    ["export default { a: «Math.min(1, 2)» };", "a"],
    ["export default { a: «[1, 2].filter(() => true)» };", "a[1]"],
    ["export default { a: «1 > 0 ? 'x' : 'x'» };", "a"],
    ["export default { a: «1 > 0 ? String('x') : Number('1')» };", "a"],
    ["export default { a: «`x${1}`» };", "a"],
    ["export default { a: «'x' + 1» };", "a"],
    ["let x = 1;\nexport default { a: «x» };", "a"],
    ["const x = «String(1)»;\nexport default { a: x };", "a"],
    ["const { x } = { x: 1 };\nexport default { a: «x» };", "a"],
    ["export default «Object.assign({ a: 1 }, { b: [2] })»;", "b[0]"],
    ["export default { ...«Object.fromEntries([['a', 1]])» };", "a"],
    ["export default «{ ...Object.fromEntries([['b', 1]]), ...Object.fromEntries([['a', 1]]) }»;", "a"],
    ["export default { a: [1, ...«'xy'.split('')»] };", "a[2]"],
    ["const k = () => 'a';\nexport default { [k()]: «1» };", "a"],
    ["export default { get a() { return 1; }, b: «new Array(1).fill(2)» };", "b[0]"],
    // Items of a list that is made of another, and what a function of the config's own returns.
    ["export default { a: ['x', 'y'].map((name) => ({ b: «1», name })) };", "a[1].b"],
    ["export default { a: ['x', 'y'].map((name) => ({ b: { «c»: 1 }, name })) };", "a[0].b.c", "key"],
    ["const list = ['x', «'y'»];\nexport default { a: list.map((name) => ({ name })) };", "a[1].name"],
    ["export default { a: ['x', 'y'].map((name) => ({ b: «`${name}.com`» })) };", "a[1].b"],
    ["const list = [1, 2];\nexport default { a: [0, ...list.map((n) => ({ n: «'n'», m: n }))] };", "a[2].n"],
    ["export default { a: [{ b: [«1»] }, { b: [2] }].map(({ b: [c] }) => ({ c })) };", "a[0].c"],
    ["const f = (b: number, c = «3») => ({ b, c });\nexport default { a: f(1) };", "a.c"],
    ["function f(b: number) { const c = { b }; return { c }; }\nexport default { a: f(«7») };", "a.c.b"],
    ["const f = (b: number) => b + 1;\nexport default { a: «f(7)» };", "a"],
    ["const f = (n: number): number => (n > 3 ? n : f(n + 1));\nexport default { a: «f(1)» };", "a"],
    ["const b = 1;\nconst f = (b: unknown) => ({ b });\nexport default { a: f(«2») };", "a.b"],
    // What the text says and what came out differ: somebody changed it on the way.
    ["const list = [{ b: 1 }];\nlist.unshift({ b: 2 });\nexport default { a: «list» };", "a[1].b"],
    ["const list: number[] = [];\nfor (const n of [1, 2]) list.push(«n»);\nexport default { a: list };", "a[1]"],
    [
      "const list = [{ b: 1 }];\nfor (const n of [1, 2]) {\n  list.push({ b: «7» });\n}\nexport default { a: list };",
      "a[2].b",
    ],
    ["const list = [1];\nlist.push(2, «3»);\nlist.push(4);\nexport default { a: list };", "a[2]"],
    ["const list = [1];\nlist.push(2, 3);\nlist.push(«4»);\nexport default { a: list };", "a[3]"],
    ["const list = [1];\nlist.push(2, 3);\nlist.shift();\nexport default { a: «list» };", "a[1]"],
    [
      "const list: number[] = [];\nlist.push(2);\nfor (const n of [1]) list.push(n);\nexport default { a: «list» };",
      "a[1]",
    ],
    ["const list: number[] = [];\nlist.push(...[1, 2]);\nexport default { a: «list» };", "a[1]"],
    ["const x: Record<string, number> = {};\nx.b = 1;\nexport default { a: «x» };", "a.b"],
    ["const x = { b: 1 };\nx.b = «2»;\nexport default { a: x };", "a.b"],
    ["const x = { b: 1 };\nx['b'] = «'y'»;\nexport default { a: [x] };", "a[0].b"],
    ["const x = { b: «1» };\nx.b = 2;\nx.b = 2;\nexport default { a: x };", "a.b"],
    ["const x = { b: «1» };\nx.b += 1;\nexport default { a: x };", "a.b"],
    ["const x = { b: «1», c: 1 };\nx.b = 1 + 1;\nx.c = 2;\nexport default { a: x };", "a.b"],
  ])("%s at %s (%s)", async (text, path, at = "value") => {
    const files = { "lintel.config.ts": text };
    const found = await find(files, path, at);
    expect(found).toMatchObject({ ...wanted(files), exact: false });
    expect(found.said.message).toBe(`m (${path})`);
  });
});

describe("files that a config imports", () => {
  test.each<[files: Record<string, string>, path: string]>([
    [
      {
        "lintel.config.ts": 'import { shop } from "./sites/shop";\nexport default { sites: [shop] };',
        "sites/shop.ts": "\nexport const shop = { to: «'a:1'» };",
      },
      "sites[0].to",
    ],
    [
      {
        "lintel.config.ts": 'import shop from "./shop.js";\nexport default { sites: [{ ...shop }] };',
        "shop.ts": "const shop = { to: «'a:1'» };\nexport default shop;",
      },
      "sites[0].to",
    ],
    [
      {
        "lintel.config.ts": 'import * as all from "./all.ts";\nexport default { sites: [all.shop] };',
        "all.ts": 'export * from "./none.ts";\nexport { store as shop } from "./deep/index.ts";',
        "none.ts": "export const nothing = 1;",
        "deep/index.ts": 'import { to } from "../to.ts";\nexport const store = { to };',
        "to.ts": "export const to = «'a:1'»;",
      },
      "sites[0].to",
    ],
    [
      {
        "lintel.config.ts": 'import hosts from "./hosts.json";\nexport default { sites: [{ hosts }] };',
        "hosts.json": '[\n  "a.com",\n  «"b.com"»\n]\n',
      },
      "sites[0].hosts[1]",
    ],
    [{ "lintel.config.mjs": "export default { a: «1» };" }, "a"],
    [{ "lintel.config.js": "module.exports = { a: «1» };" }, "a"],
    [{ "lintel.config.ts": "const a = «1»;\nexport = { a };" }, "a"],
  ])("%j", async (files, path) => {
    expect(await find(files, path)).toMatchObject({ ...wanted(files), exact: true });
  });
});

test("what stands before a place does not move it: CRLF, tabs, letters beyond ASCII", async () => {
  const text = 'const ü = "é€😀";\r\nexport default {\r\n\ta: { ü, "ключ😀": «"bad"» },\r\n};\r\n';
  const { said } = await find({ "lintel.config.ts": text }, 'a["ключ😀"]');
  expect(said).toMatchObject({ line: 3, column: 20, length: 5, excerpt: '\ta: { ü, "ключ😀": "bad" },' });
  expect(render(said)).toContain(`\n      | \t${" ".repeat(18)}^^^^^\n`);
});

test("a text that the parser cannot read leaves the path", () => {
  const modules = new Modules("lintel.config.ts", "export default { a: 1");
  expect(new Tracer(modules, () => undefined).find(["a"], "value")).toBeNull();
});

describe("of a config with a mistake in each of its many parts", () => {
  const many = MOST_SEARCHES + 100;
  const pushes = [
    "const routes: unknown[] = [];",
    ...Array.from({ length: many }, (_, i) => `routes.push({ match: "/${i}", to: "a:1", usee: [] });`),
    "export default { sites: [{ routes }] };",
  ].join("\n");
  const tree = { sites: [{ routes: Array.from({ length: many }, () => ({ usee: [] })) }] };
  const valueIn = (value: unknown) => (path: Path) =>
    path.reduce<unknown>((held, step) => (held as never)?.[step], value);

  test("some hundred are placed; the others have their path and the name of the file", async () => {
    const file = join(folder, "many.config.ts");
    await Bun.write(file, pushes);
    const { diagnostics } = await loadConfig({ file }, testCatalog, {});
    expect(diagnostics).toHaveLength(many);
    expect(new Set(diagnostics.map((one) => one.file))).toEqual(new Set([file]));
    for (const one of diagnostics) {
      const route = Number(/\d+/.exec(one.message)![0]) - 1;
      expect(one.path).toBe(`sites[0].routes[${route}].usee`);
      expect(one.line).toBe(route < MOST_SEARCHES ? route + 2 : null);
    }
  });

  test("the file is searched once for what it pushes, however many are asked for", () => {
    const modules = new Modules("x.config.ts", pushes);
    const tracer = new Tracer(modules, valueIn(tree));
    using nodes = spyOn(Module.prototype, "nodes");
    for (let i = 0; i < 100; i++) {
      const found = tracer.find(["sites", 0, "routes", i, "usee"], "key");
      expect(found).toMatchObject({ start: pushes.indexOf("usee", pushes.indexOf(`"/${i}"`)) });
    }
    expect(nodes).toHaveBeenCalledTimes(1);
  });

  test("a list that doubles sixteen times is given up, each time, and costs no more after that", () => {
    const doubled = Array.from({ length: 16 }, (_, i) => `const a${i + 1} = [...a${i}, ...a${i}];`).join("\n");
    const text = `const a0 = [1];\n${doubled}\nexport default { a: a16.map((x) => ({ q: x })) };`;
    const effort = new Effort();
    const value = { a: Array.from({ length: 65_536 }, () => ({ q: 1 })) };
    const tracer = new Tracer(new Modules("x.config.ts", text), valueIn(value), effort);
    const costs = value.a.map((_, i) => {
      const before = effort.spent;
      tracer.find(["a", i, "q"], "key");
      return effort.spent - before;
    });
    // Each step may look at a list of two.
    expect(Math.max(...costs.slice(0, MOST_SEARCHES))).toBeWithin(20, 3 * MOST_STEPS);
    expect(Math.max(...costs.slice(MOST_SEARCHES))).toBe(0);
  });

  test("long lists are gone through until all that may be spent is spent", () => {
    const length = 100_000;
    const text = `export default { a: [${"1,".repeat(length)}] };`;
    const effort = new Effort();
    const tracer = new Tracer(
      new Modules("x.config.ts", text),
      valueIn({ a: Array.from({ length }, () => 1) }),
      effort,
    );
    const found = Array.from({ length: 100 }, (_, i) => tracer.find(["a", i], "value")?.start ?? null);
    const placed = found.indexOf(null);
    expect(found).toEqual(found.map((_, i) => (i < placed ? text.indexOf("1,") + 2 * i : null)));
    expect(placed).toBeWithin(10, 100);
    expect(effort.spent).toBeWithin(MOST_IN_ALL, MOST_IN_ALL + 2 * length);
  });
});

/** A value as somebody may write it: its text, and where each piece of it begins and ends. */
interface Piece {
  readonly value: unknown;
  readonly text: string;
  readonly places: readonly {
    readonly path: Path;
    readonly key: number | null;
    readonly start: number;
    readonly end: number;
  }[];
}

const space = fc.constantFrom("", " ", "\n", "\r\n\t", " // c: {\n", "/* ü😀 */ ");
const word = fc.constantFrom("a", "b", "to", "ключ", "x y", "0", "😀", "constructor");

const { piece } = fc.letrec<{ piece: Piece }>((tie) => {
  const leaf = fc
    .oneof(fc.string(), fc.integer({ min: 0 }), fc.boolean(), fc.constant(null))
    .map((value) => alone(value, JSON.stringify(value)));
  const list = fc.tuple(fc.array(tie("piece"), { maxLength: 4 }), space).map(([items, between]) =>
    joined(
      items.map((item, i) => ({ step: i, before: between, item })),
      "[",
      "]",
      items.map(({ value }) => value),
    ),
  );
  const map = fc
    .tuple(fc.uniqueArray(fc.tuple(word, tie("piece")), { selector: ([key]) => key, maxLength: 4 }), space)
    .map(([members, between]) =>
      joined(
        members.map(([step, item]) => ({ step, before: between, key: JSON.stringify(step), item })),
        "{",
        "}",
        Object.fromEntries(members.map(([key, { value }]) => [key, value])),
      ),
    );
  const dressed = fc
    .tuple(
      tie("piece"),
      fc.constantFrom(["(", ")"], ["(", " as never)"], ["(", " satisfies unknown)!"], ["", " as const"]),
    )
    .map(([{ value, text, places }, [before, after]]) => ({
      value,
      text: `${before}${text}${after}`,
      places: shifted(places, before!.length, null),
    }));
  return { piece: fc.oneof({ maxDepth: 4 }, leaf, list, map, dressed) };
});

const alone = (value: unknown, text: string): Piece => ({
  value,
  text,
  places: [{ path: [], key: null, start: 0, end: text.length }],
});

function joined(
  members: readonly { step: string | number; before: string; key?: string; item: Piece }[],
  open: string,
  close: string,
  value: unknown,
): Piece {
  let text = open;
  const places: Piece["places"][number][] = [];
  for (const { step, before, key, item } of members) {
    text += before;
    const keyAt = key === undefined ? null : text.length;
    text += key === undefined ? "" : `${key}:${before}`;
    places.push(
      ...shifted(item.places, text.length, step).map((place) =>
        place.path.length === 1 ? { ...place, key: keyAt } : place,
      ),
    );
    text += `${item.text}${before},`;
  }
  text += close;
  return { value, text, places: [{ path: [], key: null, start: 0, end: text.length }, ...places] };
}

const shifted = (places: Piece["places"], by: number, step: string | number | null) =>
  places.map(({ path, key, start, end }) => ({
    path: step === null ? path : [step, ...path],
    key: key === null ? null : key + by,
    start: start + by,
    end: end + by,
  }));

/** Ways to hand a value out of a file. */
const frames = [
  ["export default ", ";"],
  ['import { defineConfig } from "lintel";\nexport default defineConfig(', ");"],
  ["const config = ", ";\nexport default { ...config };"],
  ["const ü = ", ";\nexport { ü as default };"],
] as const;

test("whatever is written, each part of it is found where it was written", () => {
  fc.assert(
    fc.property(piece, fc.constantFrom(...frames), (written, [before, after]) => {
      const text = before + written.text + after;
      const isSpread = after.includes("...");
      if (isSpread && (typeof written.value !== "object" || written.value === null || Array.isArray(written.value)))
        return;
      const valueAt = (path: Path) => path.reduce<unknown>((value, step) => (value as never)?.[step], written.value);
      const modules = new Modules("x.config.ts", text);
      for (const { path, key, start, end } of shifted(written.places, before.length, null)) {
        if (isSpread && path.length === 0) continue;
        // One for each: there may be more places than are looked for.
        const tracer = new Tracer(modules, valueAt);
        const found = tracer.find(path, "value");
        expect({ text, path, ...found }).toMatchObject({ start, end, exact: true });
        if (key !== null) expect({ text, path, start: tracer.find(path, "key")?.start }).toMatchObject({ start: key });
      }
    }),
    { numRuns: 300 },
  );
});

test("no path of a broken or strange text makes the search throw", () => {
  const pieces = fc.constantFrom(
    ..."{}[]().,:;`'ax1 \n".split(""),
    "...",
    "=>",
    "const x = ",
    "export default ",
    "x.map((a) => (",
    "upstream(",
    "as const",
    "${",
    "x(",
    "a: ",
    'import x from "./x.ts";',
    "await ",
    "function x() { return ",
    "? ",
    "&& ",
  );
  const path: fc.Arbitrary<Path> = fc.array(fc.oneof(fc.constantFrom("a", "x"), fc.nat(2)), { maxLength: 4 });
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 30 }), path, fc.jsonValue(), (parts, steps, value) => {
      const text = `const x = [{ a: [x, { ...x }] }];\nexport default ${parts.join("")}`;
      const tracer = new Tracer(new Modules("x.config.ts", text), (at) =>
        at.reduce<unknown>((held, step) => (held as never)?.[step], value),
      );
      for (const at of ["key", "value"] as const) {
        const found = tracer.find(steps, at);
        if (found !== null) expect(found.end).toBeWithin(found.start, text.length + 1);
      }
    }),
    { numRuns: 2000 },
  );
});

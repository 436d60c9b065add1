import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { type ConfigNode, toPlain } from "../../node.ts";
import { Source, type Span } from "../../source.ts";
import { ItemMemory, readUsualYaml } from "./usual.ts";
import { readAnyYaml } from "./yaml.ts";

/**
 * Every node with its place: where it begins, and what of its first line would be underlined. The
 * package counts a comment after a block map's or list's last value as a part of it.
 */
function described(node: ConfigNode, source: Source): string[] {
  const at = (span: Span) => {
    const { line, column } = source.place(span.start);
    const underlined = source.line(line).slice(column - 1, column - 1 + span.end - span.start);
    return `${span.path} at ${line}:${column} ${underlined.replace(/ +(?:#.*)?$/, "")}:`;
  };
  if (node.kind === "scalar") return [`${at(node.span)} ${node.plain ? "plain" : ""} ${JSON.stringify(node.value)}`];
  if (node.kind === "list") return [`${at(node.span)} list`, ...node.items.flatMap((item) => described(item, source))];
  const entries = [...node.entries].flatMap(([name, { key, value }]) => [
    `${at(key)} key ${JSON.stringify(name)}`,
    ...described(value, source),
  ]);
  return [`${at(node.span)} map`, ...entries];
}

/** What is read at all is read as the package does. @returns whether it is */
function agrees(text: string): boolean {
  const source = new Source("x.yaml", text);
  const usual = readUsualYaml(source);
  if (usual === null) return false;
  const { node, diagnostics } = readAnyYaml(source);
  expect({ text, diagnostics: diagnostics.map(({ message }) => message) }).toEqual({ text, diagnostics: [] });
  expect({ text, nodes: described(usual, source) }).toEqual({ text, nodes: described(node!, source) });
  return true;
}

const root = join(import.meta.dir, "../../../..");
const inFolder = (folder: string, ending: RegExp) =>
  readdirSync(join(root, folder), { recursive: true })
    .map(String)
    .filter((name) => ending.test(name))
    .map((name) => readFileSync(join(root, folder, name), "utf8"));

const texts = [
  ...inFolder("src/config/golden", /\.yaml$/),
  ...inFolder("examples", /\.yaml$/),
  ...inFolder("docs", /\.md$/).flatMap((page) =>
    [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!),
  ),
];

test("every example of the project is read as the package does, nearly all of them here", () => {
  const here = texts.filter(agrees);
  expect(here.length).toBeGreaterThan(texts.length * 0.8);
});

describe("is read here", () => {
  test.each([
    "a: 1",
    "---\na: 1\n",
    "# x\n\n---\n# y\na: 1 # z\n",
    "a:\n- x\n- y\nb: 2",
    "a:\n  - x\n  -\n    b: 1\n    c: 2\n  - - d\n    - e\n  -   f: 1\n      g: 2",
    "- a: 1\n  b: [1, -2.5, true, null-ish, 'it''s', \"x\\\"y\\n\"]",
    "a: { b: 1, \"c\":2, 'd': [ x ,\n    y, # comment\n    z,\n  ] }",
    "a: {\n  b: 1,\n  c: {}\n  }\nd: []",
    '{"a": [1, 2],\n "b": {"c": "d"}}\n',
    "a: 10.0.0.1\nb: 10.0.0.1:8080\nc: on\nd: 1_000\ne: 2026-01-01\nf: 0.5\ng: -3\nh: 5%\ni: a#b\nj: a:b",
    "1: a\ntrue: b\n08: c\na b: c\n\"x: y\": d\n'': e",
    "a: |\n  x\n\n   y # no comment\nb: |-\n    z\n\n\nc: 1",
    "a: ~^regex\nb: :8080\nc: -x\nd: /a/*\ne: a, b\nf: a]b}",
    "bücher: grün # ü",
  ])("%j", (text) => {
    expect(agrees(text)).toBe(true);
  });
});

describe("is left to the package", () => {
  test.each([
    "",
    "# nothing",
    "a:",
    "a:\nb: 1",
    "- \n- a",
    "{ a }",
    "a: 1\na: 2",
    "{ a: 1, a: 2 }",
    "a: &x 1\nb: *x",
    "a: { <<: { b: 1 } }",
    "<<: { b: 1 }",
    "a: !!str 1",
    "? a\n: b",
    "a: >\n  folded",
    "a: |\n  no newline at the end",
    "a: |2\n    x\n",
    "a: one\n  two",
    "a: 'one\n  two'",
    "[one\n two]",
    "a: b: c",
    "a: - b",
    "a: x\n b: y",
    "a: [1\n]",
    "a: 'x'y",
    "a: 'x'#y",
    "a: 1\n---\nb: 2",
    "%YAML 1.2\n---\na: 1",
    "a: 1\n...\n",
    "\ta: 1",
    "a:\t1",
    "a: 1\r\nb: 2",
    "\ufeffa: 1",
    "a: 08",
    "a: 1e3",
    "a: 0x10",
    "a: 0o17",
    "a: .inf",
    "a: +1",
    "a: -0",
    "a: ~",
    "a: Null",
    "a: TRUE",
    "a: 12345678901234567890",
    "~: a",
    'a: "\\x41"',
    "a: %x",
    "a: @x",
    "[a: b]",
    "[,]",
    "[a",
    "a: ]",
    `${"x".repeat(1025)}: 1`,
    "[".repeat(200) + "]".repeat(200),
    "- ".repeat(200),
  ])("%j", (text) => {
    expect(agrees(text)).toBe(false);
  });
});

test("whatever is changed in a text, it is read as the package does or not at all", () => {
  const pieces = [
    ..." \n:-#,[]{}'\"|>&*!?%@~\\x1\t",
    ": ",
    "- ",
    " #",
    "\n  ",
    "\n- ",
    "---\n",
    "a: ",
    "''",
    "|\n",
    "  ",
    "true",
    "<<: ",
    "é",
  ];
  const change = fc.record({
    at: fc.nat(),
    remove: fc.nat({ max: 3 }),
    insert: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...pieces) }, fc.constant("")),
  });
  const short = texts
    .flatMap((text) => text.split(/\n(?=\w)/).map((part) => `${part}\n`))
    .filter((text) => text.length < 600);
  let read = 0;
  fc.assert(
    fc.property(fc.constantFrom(...short), fc.array(change, { maxLength: 3 }), (text, changes) => {
      let changed = text;
      for (const { at, remove, insert } of changes) {
        const place = at % (changed.length + 1);
        changed = changed.slice(0, place) + insert + changed.slice(place + remove);
      }
      if (agrees(changed)) read++;
    }),
    { numRuns: Number(process.env["RUNS"] ?? 3000) },
  );
  expect(read).toBeGreaterThan(100);
});

test("whatever stands in a text, it is read as the package does or not at all", () => {
  const piece = fc.constantFrom(
    ..."ab1:-[]{},&*|'\"#\n\n   .~".split(""),
    ": ",
    "- ",
    "\n  ",
    "\n- ",
    "a: ",
    "b: ",
    " #",
    ", ",
  );
  const text = fc.array(piece, { maxLength: 25 }).map((all) => all.join(""));
  fc.assert(
    fc.property(text, (given) => void agrees(given)),
    { numRuns: Number(process.env["RUNS"] ?? 3000) },
  );
});

describe("read with what items were read into before", () => {
  const lines = fc.constantFrom(
    "sites:",
    "  - name: a",
    "  -   name: a",
    "    routes:",
    "    - name: r",
    "      - name: r",
    "      - { name: s, match: /s }",
    "      - - x",
    "        match: /r",
    "        text: |",
    "          # no comment",
    "          b",
    "",
    "# a comment",
    "      # a comment",
    "  - b",
    "      - 1",
    "other: 1",
  );
  const documents = fc.array(fc.array(lines, { minLength: 1, maxLength: 14 }), { minLength: 2, maxLength: 4 });

  test("a text says what it says when it is read alone", () => {
    fc.assert(
      fc.property(documents, fc.boolean(), (drawn, isWhole) => {
        let memory: ItemMemory | null = null;
        // Later ones have most of what the first one has.
        const first = ["sites:", "  - name: a", "    routes:", ...drawn[0]!];
        for (const more of drawn) {
          const at = more.length % first.length;
          const text =
            [...first.slice(0, at), ...more.slice(0, 2), ...first.slice(at)].join("\n") + (isWhole ? "\n" : "");
          const source = new Source("x.yaml", text);
          const items: ItemMemory = new ItemMemory(memory);
          const remembered = readUsualYaml(source, items);
          const alone = readUsualYaml(source);
          if (remembered === null) {
            expect({ text, alone }).toEqual({ text, alone: null });
            continue;
          }
          const { node, diagnostics } = alone === null ? readAnyYaml(source) : { node: alone, diagnostics: [] };
          expect({ text, diagnostics }).toEqual({ text, diagnostics: [] });
          expect({ text, tree: toPlain(remembered) }).toEqual({ text, tree: toPlain(node!) });
          memory = items;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("what has the same lines is the same object; values of variables are not remembered", () => {
    const text = (name: string) =>
      `sites:\n  - routes:\n      - name: ${name}\n      # a comment\n      - name: b\n      - a: "\${V}"\n`;
    const memory = new ItemMemory(null);
    const read = (written: string, items: ItemMemory) =>
      toPlain(readUsualYaml(new Source("x.yaml", written), items)!) as { sites: { routes: object[] }[] };
    const before = read(text("a"), memory).sites[0]!.routes;
    const after = read(text("c"), new ItemMemory(memory)).sites[0]!.routes;
    expect(after).toEqual([{ name: "c" }, { name: "b" }, { a: "${V}" }]);
    expect(after.map((route, i) => route === before[i])).toEqual([false, true, false]);
  });
});

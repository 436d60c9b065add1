import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { oneLine, render } from "../../diagnostic.ts";
import { loadConfig } from "../../load.ts";
import { toPlain } from "../../node.ts";
import { testCatalog } from "../../testing.ts";
import { readTypescript } from "./typescript.ts";

const folder = mkdtempSync(join(tmpdir(), "lintel-ts-"));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;
await Bun.write(
  join(folder, "shop.ts"),
  'export const shops = [{}];\nexport const boom = () => { throw new RangeError("boom"); };\n',
);
await Bun.write(join(folder, "broken.json"), '{\n  "a": }\n');
await Bun.write(join(folder, "pass.ts"), '// Passes on.\nexport { shop } from "./shop.ts";\n');

async function read(text: string, timeLimitMs?: number) {
  const file = join(folder, `c${count++}.config.ts`);
  await Bun.write(file, text);
  const { node, diagnostics } = await readTypescript(text, file, timeLimitMs);
  return {
    tree: node === null ? null : toPlain(node),
    said: diagnostics.map((one) => oneLine(one).replaceAll(file, "c.ts")),
  };
}

test("the default export is the config; `lintel` can be imported from anywhere", async () => {
  const text =
    'import { defineConfig } from "lintel";\nexport default defineConfig({ workers: 2, user: undefined, sites: [] });';
  expect(await read(text)).toEqual({ tree: { workers: 2, sites: [] }, said: [] });
});

test("it may be awaited, and what the file prints does not get in the way", async () => {
  const text = 'console.log("hello");\nexport default Promise.resolve({ sites: [{ to: "a:1" }] });';
  expect(await read(text)).toEqual({ tree: { sites: [{ to: "a:1" }] }, said: [] });
});

test("upstreams that routes hold become entries of `upstreams`, one for each object", async () => {
  const { tree, said } = await read(`
    import { upstream } from "lintel";
    const app = upstream("app", { endpoints: "a:1" });
    export default { upstreams: { b: "b:1" }, sites: [{ to: app, routes: [{ to: app }, { to: "b" }] }] };`);
  expect(said).toEqual([]);
  expect(tree).toEqual({
    upstreams: { b: "b:1", app: { endpoints: "a:1" } },
    sites: [{ to: "app", routes: [{ to: "app" }, { to: "b" }] }],
  });
});

test.each([
  ["export default () => ({});", "c.ts:1:16: error[not-data]: a config is plain data, and this is a function"],
  [
    "export default { a: { b: [new Date()] } };",
    "c.ts:1:27: error[not-data]: a config is plain data, and this is a Date",
  ],
  ["export default { a: 10n };", "c.ts:1:21: error[not-data]: a config is plain data, and this is a bigint"],
  ["export default { a: NaN };", "c.ts:1:21: error[bad-value]: NaN is not a number a config can hold"],
  ["const a: any = {}; a.a = a; export default a;", "c.ts:1:16: error[not-data]: this object holds itself (a)"],
  ["export const x = 1;", "c.ts:1:1: error[config-failed]: the file has no default export"],
  ["export default {\n  a: ,\n};", "c.ts:2:6: error[config-failed]: Unexpected ,"],
  [
    "// A comment.\nexport default JSON.parse('{');",
    "c.ts:2:21: error[config-failed]: the file throws SyntaxError: JSON Parse error",
  ],
  ['const a = 1;\nthrow "no";\nexport default {};', "c.ts:2:1: error[config-failed]: the file throws no"],
  [
    "interface A { a: 1 }\n\tconst f = () => { throw { message: 'no' }; };\nexport default { a: f() };",
    "c.ts:2:20: error[config-failed]: the file throws no",
  ],
  [
    'if (!process.argv) throw "a";\nthrow "b";\nexport default {};',
    "c.ts:1:1: error[config-failed]: the file throws b (an Error would know",
  ],
  // What throws itself when somebody looks at it.
  ...[
    "Object.create(null)",
    "{ toString: no }",
    "{ get message() { return no(); } }",
    "Object.assign(Error(), { message: Object.create(null) })",
    "Object.defineProperty(Error(), 'message', { get: no })",
    "new Proxy({}, { get: no, has: no, getPrototypeOf: no })",
    "AggregateError([Object.create(null)])",
  ].map((value) => [
    `const no: any = Function("throw 1");\nconst a: any = ${value};\nthrow a;\nexport default {};`,
    "c.ts:3:1: error[config-failed]: the file throws something that has no text",
  ]),
  ['import "./missing.ts";\nexport default {};', 'c.ts:1:8: error[config-failed]: there is no module "./missing.ts"'],
  [
    '// ./missing.ts\nimport {\n  a,\n} from "./missing.ts";\nexport default { a };',
    'c.ts:4:8: error[config-failed]: there is no module "./missing.ts"',
  ],
  ['export default { a: await import("nowhere") };', 'c.ts:1:34: error[config-failed]: there is no module "nowhere"'],
  [
    'import { defineConfig, upstrem } from "lintel";\nexport default defineConfig({ a: upstrem() });',
    'c.ts:1:24: error[config-failed]: "lintel" does not export "upstrem" (did you mean "upstream"? (exports: defineConfig, upstream))',
  ],
  [
    'import { shop as a } from "./shop.ts";\nexport default { a };',
    'c.ts:1:10: error[config-failed]: "./shop.ts" does not export "shop" (did you mean "shops"?',
  ],
  [
    'import { shop as a } from "./pass.ts";\nexport default { a };',
    'pass.ts:2:10: error[config-failed]: "./shop.ts" does not export "shop" (did you mean "shops"?',
  ],
  [
    'import broken from "./broken.json";\nexport default { broken };',
    "broken.json:2:8: error[config-failed]: a value should stand here",
  ],
  [
    'import { boom } from "./shop.ts";\nexport default { a: boom() };',
    "shop.ts:2:39: error[config-failed]: the file throws RangeError: boom",
  ],
  [
    'const ü = "é€😀";\r\nconst b = "é€😀"; const c = ;\r\nexport default {};',
    "c.ts:2:29: error[config-failed]: Unexpected ;",
  ],
  [
    'const ü = "é€😀";\r\n\tconst b = "é€😀"; throw new Error("x");\r\nexport default {};',
    "c.ts:2:30: error[config-failed]: the file throws x",
  ],
  [
    "const a = 1;\nif (a) process.exit(3);\nexport default {};",
    "c.ts:2:16: error[config-failed]: the file ends its process: process.exit(3)",
  ],
  [
    "try {\n  process.exit();\n} catch {}\nexport default {};",
    "c.ts:2:11: error[config-failed]: the file ends its process: process.exit()",
  ],
  [
    "process.kill(process.pid, 9);\nexport default {};",
    "c.ts: error[config-failed]: the file ended its process with status 137",
  ],
])("%j", async (text, message) => {
  expect((await read(text)).said.join("\n").replaceAll(`${folder}/`, "")).toStartWith(message);
});

describe("what goes wrong beside the evaluation", () => {
  const late = 'setTimeout(() => { throw new Error("late"); });';
  const turns = "for (let i = 0; i < 5; i++) await new Promise((done) => setTimeout(done, 1));";
  const fine = "export default { workers: 2 };";

  test.each([
    [
      `${late}\n${turns} throw new Error("first");`,
      [
        "c.ts:2:89: error[config-failed]: the file throws first",
        "c.ts:1:30: error[config-failed]: the file throws late",
      ],
    ],
    [
      `${late}\n${turns} process.exit(3);`,
      [
        "c.ts:2:87: error[config-failed]: the file ends its process: process.exit(3)",
        "c.ts:1:30: error[config-failed]: the file throws late",
      ],
    ],
    [
      `${late}\n${turns} process.kill(process.pid, 9);`,
      [
        "c.ts: error[config-failed]: the file ended its process with status 137 before it exported anything",
        "c.ts:1:30: error[config-failed]: the file throws late",
      ],
    ],
    [
      `${late}\n${turns} export {};`,
      [
        "c.ts:1:1: error[config-failed]: the file has no default export: write `export default defineConfig({ … })`",
        "c.ts:1:30: error[config-failed]: the file throws late",
      ],
    ],
    // It is the same error when the promise is awaited after all.
    [
      `const p = Promise.reject(new Error("loose"));\n${turns} await p;`,
      ["c.ts:1:30: error[config-failed]: the file throws loose"],
    ],
    [
      `const p = Promise.reject(new Error("loose"));\n${turns} p.catch(() => {}); throw new Error("other");`,
      ["c.ts:2:108: error[config-failed]: the file throws other"],
    ],
    [
      `for (let i = 0; i < 99; i++) Promise.reject(new Error("loose " + i));\n${turns} throw new Error("other");`,
      [
        "c.ts:2:89: error[config-failed]: the file throws other",
        ...Array.from({ length: 10 }, (_, i) => `c.ts:1:49: error[config-failed]: the file throws loose ${i}`),
      ],
    ],
  ])("explains why nothing came: %j", async (text, said) => {
    expect(await read(text)).toEqual({ tree: null, said });
  });

  test.each([
    [`${late}\n${turns} ${fine}`, "late"],
    [`Promise.reject(new Error("loose"));\n${turns} ${fine}`, "loose"],
    [`const p = Promise.reject(new Error("loose")); ${turns} await p.catch(() => {}); ${fine}`, null],
    [`const p = Promise.reject(new Error("loose")); ${turns} p.catch(() => {}); ${turns} ${fine}`, null],
  ])("refuses nothing that comes to an end: %j prints %j", async (text, printed) => {
    const program = `
      const { readTypescript } = await import(${JSON.stringify(new URL("typescript.ts", import.meta.url).href)});
      const { node, diagnostics } = await readTypescript("", process.argv[1]);
      console.log(JSON.stringify([[...node.entries.keys()], diagnostics]));`;
    const file = join(folder, `c${count++}.config.ts`);
    await Bun.write(file, text);
    const child = Bun.spawnSync([process.execPath, "-e", program, file]);
    expect(JSON.parse(child.stdout.toString())).toEqual([["workers"], []]);
    const errors = child.stderr.toString();
    if (printed === null) expect(errors).toBe("");
    else expect(errors).toContain(`error: ${printed}\n`);
  });
});

test("a file that never ends is ended", async () => {
  const { said } = await read("for (;;);\nexport default {};", 300);
  expect(said).toEqual(["c.ts: error[config-failed]: the file did not finish within 0.3 s"]);
});

test("timers that the file leaves running do not hold it up", async () => {
  expect(await read("setInterval(() => {}, 1000);\nexport default {};")).toEqual({ tree: {}, said: [] });
});

test("a package that is not installed is not fetched: nothing runs that nobody has put there", async () => {
  const asked: string[] = [];
  await using registry = Bun.serve({
    port: 0,
    fetch(request) {
      asked.push(new URL(request.url).pathname);
      return new Response("{}", { status: 404 });
    },
  });
  const before = process.env["BUN_CONFIG_REGISTRY"];
  process.env["BUN_CONFIG_REGISTRY"] = registry.url.href;
  try {
    const { said } = await read('import a from "lintel-no-such-package";\nexport default { a };');
    expect(said).toEqual(['c.ts:1:15: error[config-failed]: there is no module "lintel-no-such-package"']);
  } finally {
    if (before === undefined) delete process.env["BUN_CONFIG_REGISTRY"];
    else process.env["BUN_CONFIG_REGISTRY"] = before;
  }
  expect(asked).toEqual([]);
});

test("the message that docs/config.md shows is what is said", async () => {
  const file = join(folder, "lintel.config.ts");
  await Bun.write(
    file,
    [
      'import { defineConfig } from "lintel";',
      "",
      "export default defineConfig({",
      '  sites: ["en", "de"].map((language) => ({',
      "    hosts: `${language}.example.com`,",
      "    to: `app-${language}`,",
      "  })),",
      "});",
    ].join("\n"),
  );
  const { diagnostics } = await loadConfig({ file }, testCatalog, {});
  const page = await Bun.file(new URL("../../../../docs/config.md", import.meta.url)).text();
  expect(page).toContain(`\n${render(diagnostics[0]!).replaceAll(`${folder}/`, "")}`);
});

test("of what is no data, nothing else is said", async () => {
  const file = join(folder, "refused.config.ts");
  await Bun.write(
    file,
    [
      'import { upstream } from "lintel";',
      'const app = upstream("app", { endpoints: new Set(["a:1"]) as never, retry: (() => 1) as never });',
      'export default { workers: 1n, sites: [{ hosts: [Symbol("a")], to: app }] };',
    ].join("\n"),
  );
  const { diagnostics } = await loadConfig({ file }, testCatalog, {});
  expect(diagnostics.map((one) => oneLine(one).replaceAll(`${folder}/`, ""))).toEqual([
    "refused.config.ts:2:42: error[not-data]: a config is plain data, and this is a Set",
    "refused.config.ts:2:77: error[not-data]: a config is plain data, and this is a function",
    "refused.config.ts:3:27: error[not-data]: a config is plain data, and this is a bigint",
    "refused.config.ts:3:49: error[not-data]: a config is plain data, and this is a symbol (sites[0].hosts[0])",
  ]);
});

test("the parser is loaded for who has something to place, and for nobody else", async () => {
  const program = `
    const { loadConfig } = await import(${JSON.stringify(new URL("../../load.ts", import.meta.url).href)});
    const { testCatalog } = await import(${JSON.stringify(new URL("../../testing.ts", import.meta.url).href)});
    for (const file of process.argv.slice(1)) {
      await loadConfig({ file }, testCatalog, {});
      console.log(Object.keys(require.cache).some((path) => path.includes("@babel/parser")));
    }`;
  const [good, bad] = [join(folder, "good.config.ts"), join(folder, "bad.config.ts")];
  await Bun.write(good, 'export default { sites: [{ to: "a:1" }] };');
  await Bun.write(bad, 'export default { sites: [{ to: "a" }] };');
  const child = Bun.spawnSync([process.execPath, "-e", program, good, bad], { stderr: "inherit" });
  expect(child.stdout.toString()).toBe("false\ntrue\n");
});

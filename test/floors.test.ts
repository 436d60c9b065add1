import { expect, test } from "bun:test";
import { checkFloors, FLOORS } from "../scripts/floors.ts";

/** What is said of `src/<file>` when it holds `text` and the other files exist. */
function said(file: string, text: string, others: readonly string[] = []): string[] {
  const files = new Map([[`src/${file}`, text], ...others.map((other) => [`src/${other}`, ""] as const)]);
  return checkFloors(files, ["yaml", "zod"]).map(({ line, message }) => `${line}: ${message}`);
}

test("a room may import its own files and lower floors", () => {
  const text = `import { a } from "./a.ts";\nimport type { Failure } from "../base/failure.ts";\nexport { b } from "../http/body.ts";\n`;
  expect(said("upstream/pool.ts", text, ["upstream/a.ts", "base/failure.ts", "http/body.ts"])).toEqual([]);
});

test("an import from a higher floor is named with both floors", () => {
  expect(said("base/log.ts", `\nimport { x } from "../cli/x.ts";`, ["cli/x.ts"])).toEqual([
    "2: base/ (floor 0) imports up from cli/ (floor 7)",
  ]);
});

test("an import from a neighbour on the same floor is found, in several lines and for types only, too", () => {
  const text = `import type {\n  Request,\n  Response,\n} from "../http/message.ts";\n`;
  expect(said("net/tcp.ts", text, ["http/message.ts"])).toEqual([
    "1: net/ imports sideways from http/: both are on floor 1",
  ]);
});

test("a re-export and a dynamic import count as imports", () => {
  const text = `export * from "../server/build.ts";\nconst lazy = await import("../admin/api.ts");\n`;
  expect(said("http/body.ts", text, ["server/build.ts", "admin/api.ts"])).toEqual([
    "1: http/ (floor 1) imports up from server/ (floor 5)",
    "2: http/ (floor 1) imports up from admin/ (floor 6)",
  ]);
});

test("what a comment says is not an import", () => {
  expect(said("http/body.ts", `/**\n * import { x } from "../cli/x.ts";\n */\n// import("../cli/x.ts")\n`)).toEqual([]);
});

test("tests put rooms together and may import from every floor", () => {
  expect(said("http/body.test.ts", `import { x } from "../cli/x.ts";`, ["cli/x.ts"])).toEqual([]);
});

test("what tests share may use their packages, and nothing else may use it", () => {
  expect(
    said("net/testing.ts", `import fc from "fast-check";\nimport { x } from "../cli/x.ts";`, ["cli/x.ts"]),
  ).toEqual([]);
  expect(said("net/tcp.test.ts", `import { until } from "./testing.ts";`, ["net/testing.ts"])).toEqual([]);
  expect(said("net/tcp.ts", `import { until } from "./testing.ts";`, ["net/testing.ts"])).toEqual([
    `1: "./testing.ts" is for tests only`,
  ]);
});

test("a file in src/ must belong to a known room", () => {
  expect(said("utils/x.ts", "")[0]).toStartWith("1: src/utils/ is not a room: the rooms are base, config");
  expect(said("helper.ts", "")).toEqual(["1: only index.ts, what the package exports, stands in src/ itself"]);
  expect(said("index.ts", `export { x } from "./config/x.ts";`, ["config/x.ts"])).toEqual([]);
});

test("default exports are refused", () => {
  expect(said("base/a.ts", "export default 1;")).toHaveLength(1);
  expect(said("base/a.ts", "const a = 1;\nexport { a as default };")).toHaveLength(1);
});

test("index.ts is only the list of an extensible folder", () => {
  expect(said("middleware/index.ts", "")).toEqual([]);
  expect(said("http/index.ts", "")).toHaveLength(1);
  expect(said("proxy/a.ts", `import { x } from "../http/index.ts";`, ["http/index.ts"])).toContainEqual(
    `1: "../http/index.ts": import the file that defines the thing`,
  );
});

test("an import names an existing file with its extension, or a package that is depended on", () => {
  expect(said("base/a.ts", `import { b } from "./b";`)).toEqual([`1: "./b": name the file with its extension .ts`]);
  expect(said("base/a.ts", `import { b } from "./b.ts";`)).toEqual([`1: "./b.ts" does not exist`]);
  expect(said("base/a.ts", `import { b } from "lodash";`)).toEqual([
    `1: "lodash" is neither built in nor a dependency in package.json`,
  ]);
  expect(said("base/a.ts", `import "node:fs";\nimport { z } from "zod";\nimport { p } from "bun:ffi";`)).toEqual([]);
  expect(said("cli/a.ts", `import { x } from "../../scripts/x.ts";`)).toEqual([
    `1: "../../scripts/x.ts" lies outside src/, which is all that is installed`,
  ]);
});

test("the runtime's sockets are named in net/ only", () => {
  expect(said("admin/api.ts", "\nBun.listen({});")).toEqual([
    "2: Bun.listen belongs to net/, the only room that knows the runtime's sockets",
  ]);
  expect(said("net/listener.ts", "Bun.listen({});")).toEqual([]);
  expect(said("admin/api.ts", "// unlike Bun.listen, this")).toEqual([]);
});

test("every floor of the plan is there", () => {
  expect(new Set(Object.values(FLOORS)).size).toBe(8);
});

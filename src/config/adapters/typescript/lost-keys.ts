/**
 * `{ "__proto__": "x" }`: where a key stands written like that, JavaScript takes it for the object's prototype, and what
 * cannot be one is dropped without a word. Nothing of it is left to be seen in what the file exports, so it is
 * looked for in the text.
 */
import { dirname, extname, join, resolve } from "node:path";
import { type Diagnostic, diagnose } from "../../diagnostic.ts";
import { Span } from "../../source.ts";
import { Modules, readText, spellings } from "./module.ts";
import type { Expression, Member, Node_, ObjectLiteral } from "./syntax.ts";

const NAME = "__proto__";

/** @param file  as shown in messages */
export function lostKeys(file: string, text: string): Diagnostic[] {
  // Nearly no config mentions it, and a parser that knows places takes its time.
  if (!isMentioned(resolve(file), text)) return [];
  return new Modules(file, text).all().flatMap((module) =>
    module
      .nodes(isObject)
      .flatMap((node) => (node as ObjectLiteral).properties)
      .filter((one): one is Member => one.type !== "SpreadElement" && isLost(one))
      .map(({ key }) =>
        diagnose(new Span(module.source, key.start!, key.end!, []), {
          code: "bad-name",
          message: '"__proto__" cannot be used as a name',
        }),
      ),
  );
}

/** In a file, or in one that can be reached from it by relative imports. */
function isMentioned(file: string, text: string): boolean {
  const found = new Map([[file, text]]);
  for (const [path, own] of found) {
    if (own.includes(NAME)) return true;
    for (const specifier of importsOf(path, own)) {
      const other = spellings(join(dirname(path), specifier)).find((one) => found.has(one) || readText(one) !== null);
      if (other !== undefined && !found.has(other)) found.set(other, readText(other)!);
    }
  }
  return false;
}

function importsOf(path: string, text: string): string[] {
  if (extname(path) === ".json" || !/["'`]\.{1,2}\//.test(text)) return [];
  try {
    const loader = /\.[cm]?ts$/.test(path) ? "ts" : "jsx";
    const imports = new Bun.Transpiler({ loader }).scanImports(text);
    return imports.flatMap(({ path: specifier }) => (/^\.{1,2}\//.test(specifier) ? [specifier] : []));
  } catch {
    // The runtime could read it in the way that it was imported.
    return [];
  }
}

const isObject = ({ type }: Node_): boolean => type === "ObjectExpression";

/** Of these there is something to be seen, or nothing that is lost: the object has no prototype then. */
const SEEN = new Set<Expression["type"]>(["ObjectExpression", "ArrayExpression", "NullLiteral"]);

function isLost(member: Member): boolean {
  if (member.type !== "ObjectProperty" || member.computed || member.shorthand) return false;
  const { key, value } = member;
  const name = key.type === "Identifier" ? key.name : key.type === "StringLiteral" ? key.value : null;
  return name === NAME && !SEEN.has(value.type as Expression["type"]);
}

/** The syntax of TypeScript and JavaScript with the place of everything, and small questions about it. */
import type { parse } from "@babel/parser";

type Of<Node, Type extends string> = Extract<Node, { readonly type: Type }>;

export type Program = ReturnType<typeof parse>["program"];
export type Statement = Program["body"][number];
export type Expression = Of<Statement, "ExpressionStatement">["expression"];
export type ObjectLiteral = Of<Expression, "ObjectExpression">;
export type ListLiteral = Of<Expression, "ArrayExpression">;
export type Member = Exclude<ObjectLiteral["properties"][number], { readonly type: "SpreadElement" }>;
export type MemberAccess = Of<Expression, "MemberExpression">;
export type Assignment = Of<Expression, "AssignmentExpression">;
export type Call = Of<Expression, "CallExpression">;
export type Function_ =
  | Of<Statement, "FunctionDeclaration">
  | Of<Expression, "FunctionExpression" | "ArrowFunctionExpression">;
export type Pattern = Function_["params"][number] | Of<Statement, "VariableDeclaration">["declarations"][number]["id"];
/** What a value can have been written as. */
export type Written =
  | Expression
  | Of<Statement, "FunctionDeclaration" | "ClassDeclaration">
  | Of<Member, "ObjectMethod">;

/**
 * A file's program, or null if the parser cannot make sense of it. Mistakes that leave the rest
 * readable are passed over: whether the file is right has been decided by who evaluated it.
 */
export function parseProgram(text: string, file: string): Program | null {
  try {
    return parser().parse(text, {
      sourceType: "module",
      errorRecovery: true,
      attachComment: false,
      plugins: [/\.[cm]?ts$/.test(file) ? "typescript" : "jsx"],
    }).program;
  } catch {
    return null;
  }
}

/** The value of a JSON file, or null. */
export function parseValue(text: string): Expression | null {
  try {
    return parser().parseExpression(text, { attachComment: false });
  } catch {
    return null;
  }
}

/** Loaded by who has something to place, which most runs have not: it takes as long as a small config. */
function parser(): typeof import("@babel/parser") {
  return require("@babel/parser") as typeof import("@babel/parser");
}

/** The text, number, truth value or nothing that an expression is; undefined if it is none of these. */
export function literalValue(node: Written): string | number | boolean | null | undefined {
  switch (node.type) {
    case "StringLiteral":
    case "NumericLiteral":
    case "BooleanLiteral":
      return node.value;
    case "NullLiteral":
      return null;
    case "TemplateLiteral":
      return node.expressions.length === 0 ? (node.quasis[0]?.value.cooked ?? undefined) : undefined;
    case "UnaryExpression": {
      const value = node.operator === "-" ? literalValue(node.argument) : undefined;
      return typeof value === "number" ? -value : undefined;
    }
    default:
      return undefined;
  }
}

const WRITTEN_OUT = new Set<string>([
  "ObjectExpression",
  "ArrayExpression",
  "NewExpression",
  "BigIntLiteral",
  "RegExpLiteral",
  "ArrowFunctionExpression",
  "FunctionExpression",
  "FunctionDeclaration",
  "ClassExpression",
  "ClassDeclaration",
  "ObjectMethod",
] satisfies Written["type"][]);

const NAMES_OF_VALUES = new Set(["undefined", "NaN", "Infinity"]);

/** Does it say what the value is, rather than how to find out? */
export const isWrittenOut = (node: Written): boolean =>
  WRITTEN_OUT.has(node.type) ||
  literalValue(node) !== undefined ||
  (node.type === "Identifier" && NAMES_OF_VALUES.has(node.name));

/** The name of an object's member; null if only the run tells. */
export function memberName({ key, computed }: Member): string | null {
  if (key.type === "Identifier" && computed !== true) return key.name;
  if (key.type === "PrivateName") return null;
  const value = literalValue(key as Expression);
  return value === undefined || (value === null && !computed) ? null : String(value);
}

/** The step that `holder.name`, `holder["name"]` and `holder[0]` take; null if only the run tells. */
export function accessed(node: MemberAccess): string | number | null {
  const { property, computed } = node;
  if (!computed) return property.type === "Identifier" ? property.name : null;
  if (property.type === "PrivateName") return null;
  const value = literalValue(property);
  return typeof value === "string" || typeof value === "number" ? value : null;
}

/** What a function returns, if that is one expression with nothing but constants before it. */
export function resultOf(
  node: Function_,
): { readonly result: Expression; readonly constants: readonly Constant[] } | null {
  if (node.async || node.generator) return null;
  const { body } = node;
  if (body.type !== "BlockStatement") return { result: body, constants: [] };
  const last = body.body.at(-1);
  if (last?.type !== "ReturnStatement" || last.argument == null) return null;
  const constants: Constant[] = [];
  for (const statement of body.body.slice(0, -1)) {
    if (statement.type !== "VariableDeclaration" || statement.kind !== "const") return null;
    for (const { id, init } of statement.declarations) constants.push({ id, init: init ?? null });
  }
  return { result: last.argument, constants };
}

export interface Constant {
  readonly id: Pattern;
  readonly init: Expression | null;
}

/** All nodes of a program that pass, in the order they stand. */
export function nodesOf(program: Program, wanted: (node: Node_) => boolean): Node_[] {
  const found: Node_[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit);
    if (typeof value !== "object" || value === null || typeof (value as Node_).type !== "string") return;
    if (wanted(value as Node_)) found.push(value as Node_);
    for (const [key, child] of Object.entries(value)) if (key !== "loc") visit(child);
  };
  visit(program.body);
  return found;
}

/** Any node, seen from afar. */
export interface Node_ {
  readonly type: string;
  readonly start?: number | null;
  readonly end?: number | null;
  readonly name?: unknown;
  readonly value?: unknown;
  readonly argument?: Node_ | null;
  readonly callee?: Node_;
}

/**
 * Environment variables in string values: `${NAME}`, `${NAME:-default}` for one that is unset or
 * empty, `$${` for a plain `${`. Runs on the tree before the schema, so that any value may hold one.
 */
import { type Diagnostic, diagnose } from "./diagnostic.ts";
import { suggestion } from "./nearest.ts";
import type { ConfigNode, MapEntry, ScalarNode } from "./node.ts";
import type { Span } from "./source.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface EnvProblems {
  readonly diagnostics: Diagnostic[];
  /** Places of values that could not be resolved: what else they lack is not worth saying. */
  readonly unresolved: Set<Span>;
}

/** The tree with variables replaced; parts without any are the same nodes. What cannot be replaced is left and reported. */
export function substitute(node: ConfigNode, env: Environment, problems: EnvProblems): ConfigNode {
  switch (node.kind) {
    case "scalar":
      return scalar(node, env, problems);
    case "list": {
      const items = node.items.map((item) => substitute(item, env, problems));
      return items.every((item, i) => item === node.items[i]) ? node : { ...node, items };
    }
    case "map": {
      let entries: Map<string, MapEntry> | null = null;
      for (const [key, entry] of node.entries) {
        const value = substitute(entry.value, env, problems);
        if (value === entry.value) continue;
        entries ??= new Map(node.entries);
        entries.set(key, { ...entry, value });
      }
      return entries === null ? node : { ...node, entries };
    }
  }
}

/** The same if every variable in it can be replaced, else null. */
export function substituteAll(node: ConfigNode, env: Environment): ConfigNode | null {
  const problems: EnvProblems = { diagnostics: [], unresolved: new Set() };
  const replaced = substitute(node, env, problems);
  return problems.diagnostics.length === 0 ? replaced : null;
}

const REFERENCE = /\$\$\{|\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}|\$\{/g;

function scalar(node: ScalarNode, env: Environment, { diagnostics, unresolved }: EnvProblems): ScalarNode {
  if (typeof node.value !== "string" || !node.value.includes("${")) return node;
  const given = node.value;
  const text = given.replace(REFERENCE, (reference, name: string | undefined, fallback: string | undefined) => {
    if (reference === "$${") return "${";
    const span = within(node.span, reference);
    if (name === undefined) {
      unresolved.add(node.span);
      diagnostics.push(
        diagnose(span, {
          code: "bad-variable",
          message: "this is not an environment variable: write ${NAME} or ${NAME:-default}",
          hint: "write $${ for a plain ${",
        }),
      );
      return reference;
    }
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (value !== undefined && (value !== "" || fallback === undefined)) return value;
    if (fallback !== undefined) return fallback;
    unresolved.add(node.span);
    const near = suggestion(name, Object.keys(env), "variables");
    const hint = near.startsWith("did you mean")
      ? `${near.replace(/ \(variables:.*$/s, "")} Or give a default: `
      : "give a default: ";
    diagnostics.push(
      diagnose(span, {
        code: "unset-variable",
        message: `environment variable ${name} is not set`,
        hint: `${hint}\${${name}:-…}`,
      }),
    );
    return reference;
  });
  return { ...node, value: node.plain ? typed(text) : text };
}

/** Text without quotes has the type it would have had if it stood there. */
function typed(text: string): string | number | boolean {
  if (text === "true" || text === "false") return text === "true";
  return /^-?(?:0|[1-9]\d{0,14})(?:\.\d+)?$/.test(text) ? Number(text) : text;
}

/** The part of a scalar's text that holds the reference; the scalar if escapes hide it. */
function within(span: Span, reference: string): Span {
  const at = span.source.text?.slice(span.start, span.end).indexOf(reference) ?? -1;
  return at < 0 ? span : span.at(span.start + at, span.start + at + reference.length);
}

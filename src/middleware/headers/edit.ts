/** Edits of a field section as a list of functions, made when the route is built. */
import type { Exchange } from "../../http/exchange.ts";
import { fieldId } from "../../http/field-name.ts";
import { type FieldSection, trimOws } from "../../http/field-section.ts";
import type { Template } from "../../http/variable.ts";
import { isEditable } from "../field-value.ts";
import type { Replacement } from "./replacement.ts";

export type Edit = (fields: FieldSection, exchange: Exchange) => void;

/** What may be done to one section; see the options of `headers`. */
export interface Edits {
  readonly remove: readonly string[];
  readonly replace: Readonly<Record<string, readonly PatternEdit[]>>;
  readonly set: Readonly<Record<string, readonly Template[]>>;
  readonly add: Readonly<Record<string, readonly Template[]>>;
  readonly default: Readonly<Record<string, readonly Template[]>>;
}

export interface PatternEdit {
  readonly pattern: RegExp;
  readonly with: Replacement;
}

/** In the order they are done. */
export function compileEdits(edits: Edits, side: Side): Edit[] {
  return [
    ...edits.remove.map((pattern) => removal(pattern, side)),
    ...Object.entries(edits.replace).map(([name, replacements]) => replacing(name, replacements)),
    ...Object.entries(edits.set).map(([name, values]) => setting(name, values, side)),
    ...Object.entries(edits.add).map(([name, values]) => adding(name, values)),
    ...Object.entries(edits.default).map(([name, values]) => defaulting(name, values)),
  ];
}

/** Does any of the edits read what only a response has? */
export function readsResponse({ replace, set, add, default: missing }: Edits): boolean {
  const replacements = Object.values(replace).flat();
  const values = [set, add, missing].flatMap((section) => Object.values(section).flat());
  const templates = [...replacements.map((one) => one.with), ...values];
  return templates.some(({ variables }) => variables.some((name) => name.startsWith("response.")));
}

type Side = "request" | "response";

function removal(pattern: string, side: Side): Edit {
  if (!pattern.endsWith("*")) return deleting(pattern, side);
  const prefix = pattern.slice(0, -1).toLowerCase();
  return (fields) => {
    for (const name of namesWith(fields, prefix, side)) fields.delete(name);
  };
}

function namesWith(fields: FieldSection, prefix: string, side: Side): Set<string> {
  const names = new Set<string>();
  for (const [name] of fields) {
    const read = side === "request" ? name.replaceAll("_", "-") : name;
    if ((name.startsWith(prefix) || read.startsWith(prefix)) && isEditable(name, side)) names.add(name);
  }
  return names;
}

/**
 * In a request `X_User` goes with `X-User`: origin servers of the CGI family read both as the same,
 * and what was removed or set here must not come back under the other spelling.
 */
function deleting(name: string, side: Side): (fields: FieldSection) => void {
  const lower = name.toLowerCase();
  const id = fieldId(lower);
  const remove =
    id === 0
      ? (fields: FieldSection) => void fields.delete(name)
      : (fields: FieldSection) => void fields.deleteKnown(id);
  if (side === "response" || !lower.includes("-")) return remove;
  const alike = [lower];
  return (fields) => {
    remove(fields);
    fields.deleteDisguised(alike);
  };
}

/** The name was checked with the config, the value is made safe by its template. An empty value is no line. */
function appending(name: string): (fields: FieldSection, value: string) => void {
  const id = fieldId(name.toLowerCase());
  return (fields, value) => {
    if (value !== "") fields.appendTrusted(id, name, value);
  };
}

function setting(name: string, values: readonly Template[], side: Side): Edit {
  const remove = deleting(name, side);
  const append = appending(name);
  const [first, second] = values;
  if (first === undefined) return remove;
  // A template may name the very field that it sets: read before it is removed.
  if (second === undefined) {
    return (fields, exchange) => {
      const text = first(exchange);
      remove(fields);
      append(fields, text);
    };
  }
  return (fields, exchange) => {
    const texts = values.map((value) => value(exchange));
    remove(fields);
    for (const text of texts) append(fields, text);
  };
}

function adding(name: string, values: readonly Template[]): Edit {
  const append = appending(name);
  return (fields, exchange) => {
    for (const value of values) append(fields, value(exchange));
  };
}

function defaulting(name: string, values: readonly Template[]): Edit {
  const add = adding(name, values);
  const id = fieldId(name.toLowerCase());
  return (fields, exchange) => {
    if (id === 0 ? !fields.has(name) : !fields.hasKnown(id)) add(fields, exchange);
  };
}

function replacing(name: string, replacements: readonly PatternEdit[]): Edit {
  const append = appending(name);
  return (fields, exchange) => {
    if (!fields.has(name)) return;
    const before = fields.getAll(name);
    const after = before.map((value) => replaceAll(value, replacements, exchange));
    if (after.every((value, i) => value === before[i])) return;
    fields.delete(name);
    for (const value of after) append(fields, trimOws(value));
  };
}

function replaceAll(value: string, replacements: readonly PatternEdit[], exchange: Exchange): string {
  for (const { pattern, with: expand } of replacements)
    value = value.replace(pattern, (...found: unknown[]) => expand(found, exchange));
  return value;
}

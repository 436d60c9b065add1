/**
 * From what zod says to what a person needs: one problem per mistake, in our words. A union's error is
 * that of the one alternative that was meant; where none was, it says what could stand there.
 */
import type { z } from "zod";
import type { Catalog } from "./catalog.ts";
import type { Problem } from "./diagnostic.ts";
import { nearest, suggestion } from "./nearest.ts";
import { formatPath, type Path } from "./path.ts";
import { entryAt, examplesAt, keysAt } from "./shape.ts";

export interface PlacedProblem extends Problem {
  readonly path: Path;
  /** Underline the key rather than its value. */
  readonly at: "key" | "value";
  /** The known key that an unknown one is near to. */
  readonly meant?: string | null;
  /** The key that is not there. */
  readonly missing?: string | number | undefined;
}

type Finding =
  | { readonly kind: "type"; readonly path: Path; readonly expected: readonly string[] }
  | {
      readonly kind: "value";
      readonly path: Path;
      readonly values: readonly unknown[];
      readonly expected: readonly string[];
    }
  | { readonly kind: "key"; readonly path: Path; readonly key: string }
  | {
      readonly kind: "said";
      readonly path: Path;
      readonly code: string;
      readonly message: string;
      readonly hint: string | null;
      readonly at: "key" | "value";
    };

/** Turns the issues of parsing `tree` into problems. */
export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  tree: unknown,
  schema: z.ZodType,
  catalog: Catalog,
): PlacedProblem[] {
  const found = issues
    .flatMap((issue) => findings(issue, [], tree))
    .map((finding) => problem(finding, tree, schema, catalog));
  // A misspelt key that is needed is one mistake, not two.
  const meantKeys = new Set(
    found.flatMap(({ meant, path }) => (meant ? formatPath([...path.slice(0, -1), meant]) : [])),
  );
  return found.filter(({ missing, path }) => missing === undefined || !meantKeys.has(formatPath([...path, missing])));
}

/** What an issue comes down to; `input` is what was parsed at `base`. */
function findings(issue: z.core.$ZodIssue, base: Path, tree: unknown): Finding[] {
  const path = [...base, ...(issue.path as (string | number)[])];
  switch (issue.code) {
    case "invalid_type":
      return [{ kind: "type", path, expected: [issue.expected] }];
    case "invalid_value":
      return [{ kind: "value", path, values: issue.values, expected: [] }];
    case "unrecognized_keys":
      return issue.keys.map((key) => ({ kind: "key", path, key }));
    case "invalid_union":
      return meant(
        issue.errors.map((branch) => branch.flatMap((inner) => findings(inner, path, tree))),
        path,
      );
    case "invalid_key": {
      const said = issue.issues.filter(({ code }) => code === "custom");
      if (said.length > 0)
        return said.flatMap((one) => findings(one, path, tree)).map((one) => ({ ...one, at: "key" }));
      const key = JSON.stringify(issue.path.at(-1));
      const message = `${key} cannot be used as a name here: use letters, digits, "-", "_" and "."`;
      return [{ kind: "said", path, code: "bad-name", message, hint: null, at: "key" }];
    }
    case "too_small":
    case "too_big": {
      const least = issue.code === "too_small";
      const bound = issue.code === "too_small" ? issue.minimum : issue.maximum;
      return [
        {
          kind: "said",
          path,
          code: "out-of-range",
          message: rangeMessage(issue.origin, least, Number(bound), issue.inclusive ?? true, path, valueAt(tree, path)),
          hint: null,
          at: "value",
        },
      ];
    }
    case "custom": {
      const { code, hint, at } = (issue.params ?? {}) as { code?: unknown; hint?: unknown; at?: unknown };
      return [
        {
          kind: "said",
          path,
          code: typeof code === "string" ? code : "bad-value",
          message: issue.message,
          hint: typeof hint === "string" ? hint : null,
          at: at === "key" ? "key" : "value",
        },
      ];
    }
    default:
      return [
        {
          kind: "said",
          path,
          code: "bad-value",
          message: `${label(path)} is not right: ${decapitalise(issue.message)}`,
          hint: null,
          at: "value",
        },
      ];
  }
}

/** The findings of the alternative somebody meant. */
function meant(branches: readonly Finding[][], path: Path): Finding[] {
  const isHere = (finding: Finding) => finding.path.length === path.length;
  const ofType = branches.filter((branch) => !branch.some((finding) => finding.kind === "type" && isHere(finding)));
  const values = ofType.flatMap((branch) =>
    branch.flatMap((finding) => (finding.kind === "value" && isHere(finding) ? finding.values : [])),
  );
  const others = ofType.filter((branch) => !branch.some((finding) => finding.kind === "value" && isHere(finding)));
  if (others.length > 0) {
    const best = others.reduce((least, branch) => (branch.length < least.length ? branch : least));
    return values.length === 0 ? best : best.map((finding) => orValues(finding, path, values));
  }
  const expected = [
    ...new Set(
      branches.flatMap((branch) =>
        branch.flatMap((finding) => ("expected" in finding && isHere(finding) ? finding.expected : [])),
      ),
    ),
  ];
  // Where some texts will do, or digits for a number, "text" would say too much.
  const strict = expected.filter((type) => type !== "string" || (values.length === 0 && !expected.includes("int")));
  return [
    values.length > 0 ? { kind: "value", path, values, expected: strict } : { kind: "type", path, expected: strict },
  ];
}

/** `workers: x` is no number; "auto" would have done as well. */
function orValues(finding: Finding, path: Path, values: readonly unknown[]): Finding {
  if (finding.kind !== "said" || finding.path.length !== path.length || finding.hint !== null) return finding;
  return { ...finding, hint: `or write ${list(values.map(shown), "or")}` };
}

function problem(finding: Finding, tree: unknown, schema: z.ZodType, catalog: Catalog): PlacedProblem {
  const { path } = finding;
  const found = valueAt(tree, path);
  switch (finding.kind) {
    case "said":
      return {
        path,
        at: finding.at,
        code: finding.code,
        message: finding.message,
        hint: finding.hint,
      };
    case "key":
      return unknownKey(finding, tree, schema, catalog);
    case "value": {
      if (found === undefined) return missing(path, tree, catalog);
      const message = `${label(path)} must be ${list([...finding.values.map(shown), ...types(finding.expected)], "or")}, not ${describe(found)}`;
      const texts = finding.values.filter((value) => typeof value === "string");
      const near = typeof found === "string" && texts.length > 0 ? suggestion(found, texts, "values") : null;
      return {
        path,
        at: "value",
        code: "bad-value",
        message,
        hint: near?.startsWith("did") ? near.replace(/ \(values:.*$/s, "") : null,
      };
    }
    case "type": {
      if (found === undefined) return missing(path, tree, catalog);
      const place = entryAt(path, catalog);
      const examples = examplesAt(place?.entry.options ?? schema, place?.below ?? path).slice(0, 4);
      return {
        path,
        at: "value",
        code: "bad-type",
        message: `${label(path)} must be ${list(types(finding.expected), "or")}, not ${describe(found)}`,
        hint: examples.length === 0 ? null : `such as ${list(examples.map(shown), "or")}`,
      };
    }
  }
}

function unknownKey(
  finding: Extract<Finding, { kind: "key" }>,
  tree: unknown,
  schema: z.ZodType,
  catalog: Catalog,
): PlacedProblem {
  const { path, key } = finding;
  const place = entryAt(path, catalog);
  const known = keysAt(place?.entry.options ?? schema, place?.below ?? path);
  const noun = place === null ? "keys" : "options";
  return {
    path: [...path, key],
    at: "key",
    code: place === null ? "unknown-key" : "unknown-option",
    message: `${owner(path, tree, catalog)} has no ${noun.slice(0, -1)} ${JSON.stringify(key)}`,
    hint:
      RENAMED.has(key) && known.includes(RENAMED.get(key)!)
        ? `it is called ${JSON.stringify(RENAMED.get(key))} now`
        : suggestion(key, known, noun),
    meant: nearest(key, known),
  };
}

/** Keys that were called otherwise in earlier versions. */
const RENAMED: ReadonlyMap<string, string> = new Map([["retries", "retry"]]);

function missing(path: Path, tree: unknown, catalog: Catalog): PlacedProblem {
  const key = path.at(-1);
  const holder = path.slice(0, -1);
  return {
    path: holder,
    at: "key",
    code: entryAt(path, catalog) === null ? "missing-key" : "missing-option",
    message: `${owner(holder, tree, catalog)} needs ${typeof key === "string" ? JSON.stringify(key) : "another item"}`,
    missing: key,
  };
}

/** Who holds a key, as a person would say it. */
function owner(path: Path, tree: unknown, catalog: Catalog): string {
  const place = entryAt(path, catalog);
  if (place !== null) {
    const entry = `${place.noun} ${JSON.stringify(place.entry.name)}`;
    return place.below.length === 0 ? entry : `${label(place.below)} of ${entry}`;
  }
  if (path.length === 0) return "the config";
  const last = path.at(-1)!;
  const list = path.at(-2);
  if (typeof last === "number" && typeof list === "string") {
    const item = valueAt(tree, path) as { name?: unknown } | undefined;
    const noun = SINGULAR[list] ?? `item ${last + 1} of ${JSON.stringify(list)}`;
    if (SINGULAR[list] === undefined) return noun;
    return typeof item?.name === "string" ? `${noun} ${JSON.stringify(item.name)}` : `${noun} ${last + 1}`;
  }
  if (list === "upstreams") return `upstream ${JSON.stringify(last)}`;
  return label(path);
}

const SINGULAR: Readonly<Record<string, string>> = {
  listeners: "listener",
  sites: "site",
  routes: "route",
  endpoints: "endpoint",
};

/** A place by its last step: `"workers"`, `item 2 of "hosts"`. */
function label(path: Path): string {
  const last = path.at(-1);
  if (last === undefined) return "the config";
  if (typeof last === "string") return JSON.stringify(last);
  const list = path.at(-2);
  return typeof list === "string" ? `item ${last + 1} of ${JSON.stringify(list)}` : `item ${last + 1}`;
}

const TYPES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a map",
  record: "a map",
  null: "null",
};

const types = (expected: readonly string[]) => [...new Set(expected.map((type) => TYPES[type] ?? type))];

/** A value found in a config, in words. */
export function describe(value: unknown): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  if (typeof value === "string") return `the text ${shown(value)}`;
  if (typeof value === "number") return `the number ${value}`;
  return String(value);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 76)}…"` : text;
}

function rangeMessage(
  origin: string,
  least: boolean,
  bound: number,
  inclusive: boolean,
  path: Path,
  found: unknown,
): string {
  const side = least ? (inclusive ? "at least" : "more than") : inclusive ? "at most" : "less than";
  if (origin === "array" || origin === "set")
    return `${label(path)} needs ${side} ${bound} item${bound === 1 ? "" : "s"}`;
  if (origin === "string") return `${label(path)} needs ${side} ${bound} character${bound === 1 ? "" : "s"}`;
  return `${label(path)} must be ${side} ${bound}, not ${describe(found)}`;
}

function list(words: readonly string[], last: "or" | "and"): string {
  return words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1)}`;
}

const decapitalise = (text: string) => text.slice(0, 1).toLowerCase() + text.slice(1);

/** What stands at a path of plain data; undefined if nothing does. */
export function valueAt(tree: unknown, path: Path): unknown {
  let value = tree;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

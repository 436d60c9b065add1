/**
 * YAML 1.2 (core schema). Duplicate keys are errors, anchors and `<<` work, and what aliases may
 * multiply is bounded, so that a few lines cannot fill the memory.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type ParsedNode,
  parseDocument,
  type Scalar,
} from "yaml";
import type { Adapter, QuickReading, Reading } from "../../adapter.ts";
import { type Diagnostic, diagnose } from "../../diagnostic.ts";
import { type Environment, substituteAll } from "../../env.ts";
import { type ConfigNode, isPlainMap, type MapEntry, toPlain } from "../../node.ts";
import type { Path } from "../../path.ts";
import { Source, Span } from "../../source.ts";
import { ItemMemory, readUsualYaml } from "./usual.ts";

export const yaml: Adapter = { name: "yaml", extensions: [".yaml", ".yml"], variables: true, read: readYaml, quick };

/** Nodes made by aliases, over all of them. */
const MOST_ALIASED = 100_000;
const DEEPEST = 100;

/** Of the file that was read last, which a reload reads again. */
let lastItems: ItemMemory | null = null;

function quick(text: string, file: string, env: Environment | null): QuickReading | null {
  const items = new ItemMemory(lastItems);
  const usual = readUsualYaml(new Source(file, text), items);
  const node = usual === null || env === null ? usual : substituteAll(usual, env);
  const tree = node === null ? null : toPlain(node);
  if (!isPlainMap(tree)) return null;
  lastItems = items;
  return { tree, node: () => readYaml(text, file).node! };
}

export function readYaml(text: string, file: string): Reading {
  const source = new Source(file, text);
  const usual = readUsualYaml(source);
  return usual === null ? readAnyYaml(source) : { node: usual, diagnostics: [] };
}

/** By the `yaml` package: all of YAML, and what is wrong with it. */
export function readAnyYaml(source: Source): Reading {
  const text = source.text!;
  let document: Document.Parsed;
  try {
    document = parseDocument(text, {
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "error",
      stringKeys: false,
      version: "1.2",
    });
  } catch (thrown) {
    // The parser recurses: text nested a thousand deep ends its stack.
    const message =
      thrown instanceof RangeError ? "this file is nested too deep" : `this file cannot be read: ${String(thrown)}`;
    return {
      node: null,
      diagnostics: [diagnose(new Span(source, 0, 0, []), { code: "yaml-syntax", message })],
    };
  }
  if (document.errors.length > 0) {
    const diagnostics = document.errors.map((error) =>
      diagnose(new Span(source, error.pos[0], error.pos[1], []), {
        code: "yaml-syntax",
        message: tidy(error.message),
        hint: hintFor(error.code, text, error.pos[0]),
      }),
    );
    return { node: null, diagnostics };
  }
  const reader = new Reader(source, document);
  return { node: reader.node(document.contents, []), diagnostics: reader.diagnostics };
}

class Reader {
  readonly diagnostics: Diagnostic[] = [];
  readonly #source: Source;
  readonly #document: Document.Parsed;
  readonly #open = new Set<Node>();
  #aliased = 0;
  #tooMany = false;

  constructor(source: Source, document: Document.Parsed) {
    this.#source = source;
    this.#document = document;
  }

  /** @param inAlias  true below an alias: these nodes are copies */
  node(node: unknown, path: Path, inAlias = false): ConfigNode {
    const span = this.#span(node as ParsedNode | null, path);
    const nothing: ConfigNode = { kind: "scalar", value: null, span, plain: true };
    if (inAlias && ++this.#aliased > MOST_ALIASED) {
      if (!this.#tooMany)
        this.#report(span, "yaml-aliases", `aliases make more than ${MOST_ALIASED} values of this file`);
      this.#tooMany = true;
      return nothing;
    }
    if (path.length > DEEPEST) {
      this.#report(span, "yaml-syntax", `this is nested more than ${DEEPEST} deep`);
      return nothing;
    }
    if (isAlias(node)) return this.#alias(node, path, span) ?? nothing;
    if (isScalar(node)) return this.#scalar(node, span);
    if (isSeq(node))
      return { kind: "list", items: node.items.map((item, i) => this.node(item, [...path, i], inAlias)), span };
    if (!isMap(node)) return nothing;
    const entries = new Map<string, MapEntry>();
    const merged: unknown[] = [];
    for (const pair of node.items) {
      const key = this.#key(pair.key, path);
      if (key === null) continue;
      if (key.name === "<<") {
        merged.push(pair.value);
        continue;
      }
      const first = entries.get(key.name);
      if (first !== undefined) {
        const { line } = this.#source.place(first.key.start);
        this.#report(
          key.span,
          "duplicate-key",
          `key ${JSON.stringify(key.name)} stands here a second time; the first is at line ${line}`,
        );
        continue;
      }
      const value = this.node(pair.value, [...path, key.name], inAlias);
      // A key without a value, as in `{ a }`, stands where its key does.
      entries.set(key.name, { key: key.span, value: pair.value === null ? { ...value, span: key.span } : value });
    }
    for (const value of merged) this.#merge(value, entries, path, span);
    return { kind: "map", entries, span };
  }

  #alias(alias: Alias, path: Path, span: Span): ConfigNode | null {
    const target = alias.resolve(this.#document);
    if (target === undefined || this.#open.has(target)) {
      this.#report(
        span,
        "yaml-syntax",
        target === undefined
          ? `there is no anchor "&${alias.source}" before this`
          : `"*${alias.source}" stands inside its own anchor`,
      );
      return null;
    }
    this.#open.add(target);
    const node = this.node(target, path, true);
    this.#open.delete(target);
    // Messages about it point at the alias: that is where it is used.
    return { ...node, span };
  }

  #scalar(node: Scalar, span: Span): ConfigNode {
    const { value } = node;
    const plain = node.type === "PLAIN";
    if (typeof value === "number" && !Number.isFinite(value)) {
      this.#report(span, "bad-value", `${node.source} is not a number a config can hold`);
      return { kind: "scalar", value: null, span, plain };
    }
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
      return { kind: "scalar", value, span, plain };
    return { kind: "scalar", value: value === null ? null : (node.source ?? null), span, plain };
  }

  #key(key: unknown, path: Path): { name: string; span: Span } | null {
    const target = isAlias(key) ? key.resolve(this.#document) : key;
    const span = this.#span(key as ParsedNode | null, path);
    if (
      isScalar(target) &&
      (typeof target.value === "string" || typeof target.value === "number" || typeof target.value === "boolean")
    ) {
      // As written: `08` and `1.0` are names, not numbers.
      const name = typeof target.value === "string" ? target.value : (target.source ?? String(target.value));
      return { name, span: span.for([...path, name]) };
    }
    this.#report(span, "yaml-syntax", "a key is a piece of text");
    return null;
  }

  /** `<<: *defaults` or a list of them: keys that are not there yet. */
  #merge(value: unknown, entries: Map<string, MapEntry>, path: Path, holder: Span): void {
    const sources = isSeq(value) ? value.items : [value];
    for (const source of sources) {
      const node = this.node(source, path, true);
      if (node.kind !== "map") {
        this.#report(node.span ?? holder, "yaml-syntax", '"<<" takes a map, or a list of maps');
        continue;
      }
      for (const [name, entry] of node.entries) if (!entries.has(name)) entries.set(name, entry);
    }
  }

  #span(node: ParsedNode | null | undefined, path: Path): Span {
    const range = node?.range;
    const end = this.#source.text!.length;
    return new Span(this.#source, Math.min(range?.[0] ?? end, end), Math.min(range?.[1] ?? end, end), path);
  }

  #report(span: Span, code: string, message: string): void {
    this.diagnostics.push(diagnose(span, { code, message }));
  }
}

/** The parser's message as a part of a sentence of ours. */
function tidy(message: string): string {
  const text = message.split("\n")[0]!.replace(/[.:]$/, "");
  const quote = /^Missing closing (["'])quote$/.exec(text)?.[1];
  return quote === undefined ? text : `text that begins with ${quote} does not end with one`;
}

function hintFor(code: string, text: string, at: number): string | null {
  if (code === "TAB_AS_INDENT") return "indent with spaces";
  if (code === "BAD_SCALAR_START" || /^[*&!%@`{[]/.test(text.slice(at, at + 1)))
    return "put text with special characters in quotes";
  if (code === "MULTIPLE_DOCS") return 'a config is one document: remove the "---"';
  return null;
}

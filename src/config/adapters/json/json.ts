/**
 * JSON (RFC 8259), read by hand for the sake of places: the runtime's parser tells neither where a
 * value stands nor that a key came twice. No comments, no trailing commas: other programs read this
 * file too.
 */
import type { Adapter, QuickReading, Reading } from "../../adapter.ts";
import { type Diagnostic, diagnose } from "../../diagnostic.ts";
import { type Environment, substituteAll } from "../../env.ts";
import { type ConfigNode, fromPlain, type MapEntry, toPlain } from "../../node.ts";
import type { Path } from "../../path.ts";
import { Source, Span } from "../../source.ts";
import { quickJson } from "./quick.ts";

export const json: Adapter = { name: "json", extensions: [".json"], variables: true, read: readJson, quick };

const DEEPEST = 100;

/** What text between quotes is not as it stands for. */
const UNUSUAL = /[\\\x00-\x1f]/;

function quick(text: string, file: string, env: Environment | null): QuickReading | null {
  const written = quickJson(text);
  const node = written === null || env === null ? null : substituteAll(fromPlain(written, file), env);
  const tree = env === null ? written : node === null ? null : (toPlain(node) as QuickReading["tree"]);
  return tree === null ? null : { tree, node: () => readJson(text, file).node! };
}

export function readJson(text: string, file: string): Reading {
  const reader = new Reader(new Source(file, text));
  try {
    return { node: reader.document(), diagnostics: reader.diagnostics };
  } catch (thrown) {
    if (thrown instanceof SyntaxProblem) return { node: null, diagnostics: [...reader.diagnostics, thrown.diagnostic] };
    throw thrown;
  }
}

/** Ends the reading: what follows a syntax error cannot be trusted. */
class SyntaxProblem extends Error {
  constructor(readonly diagnostic: Diagnostic) {
    super(diagnostic.message);
  }
}

class Reader {
  readonly diagnostics: Diagnostic[] = [];
  readonly #source: Source;
  readonly #text: string;
  #at = 0;

  constructor(source: Source) {
    this.#source = source;
    this.#text = source.text!;
  }

  document(): ConfigNode {
    if (this.#text.startsWith("\uFEFF")) this.#at = 1;
    const node = this.#value([]);
    this.#space();
    if (this.#at < this.#text.length) this.#fail("there is more text after the end of the config");
    return node;
  }

  #value(path: Path): ConfigNode {
    this.#space();
    if (path.length > DEEPEST) this.#fail(`this is nested more than ${DEEPEST} deep`);
    const start = this.#at;
    const next = this.#text[start];
    if (next === "{") return this.#map(path);
    if (next === "[") return this.#list(path);
    if (next === '"') {
      const value = this.#string();
      return { kind: "scalar", value, span: this.#span(start, path), plain: false };
    }
    const word = /[^\s,:[\]{}"]*/y;
    word.lastIndex = start;
    const token = word.exec(this.#text)![0];
    if (token === "true" || token === "false" || token === "null") {
      this.#at += token.length;
      return {
        kind: "scalar",
        value: token === "null" ? null : token === "true",
        span: this.#span(start, path),
        plain: false,
      };
    }
    if (/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(token)) {
      if (!Number.isFinite(Number(token))) this.#fail(`the number ${token} is too large`, null, token.length);
      this.#at += token.length;
      return { kind: "scalar", value: Number(token), span: this.#span(start, path), plain: false };
    }
    if (token === "")
      this.#fail(
        next === undefined
          ? "the file ends where a value should stand"
          : `a value should stand here, not ${JSON.stringify(next)}`,
      );
    if (token.startsWith("'")) this.#fail("text stands in double quotes", null, token.length);
    this.#fail(`${JSON.stringify(token)} is not a value`, "text stands in double quotes", token.length);
  }

  #map(path: Path): ConfigNode {
    const start = this.#at++;
    const entries = new Map<string, MapEntry>();
    for (this.#space(); this.#text[this.#at] !== "}"; ) {
      const keyStart = this.#at;
      if (this.#text[keyStart] !== '"')
        this.#fail(
          keyStart >= this.#text.length ? "the file ends inside a map" : "a key in double quotes should stand here",
        );
      const name = this.#string();
      const below = [...path, name];
      const key = this.#span(keyStart, below);
      this.#space();
      if (this.#text[this.#at] !== ":") this.#fail('a ":" should stand here');
      this.#at++;
      const value = this.#value(below);
      const first = entries.get(name);
      if (first === undefined) entries.set(name, { key, value });
      else {
        const { line } = this.#source.place(first.key.start);
        const message = `key ${JSON.stringify(name)} stands here a second time; the first is at line ${line}`;
        this.diagnostics.push(diagnose(key, { code: "duplicate-key", message }));
      }
      this.#next("}", "map");
    }
    this.#at++;
    return { kind: "map", entries, span: this.#span(start, path) };
  }

  #list(path: Path): ConfigNode {
    const start = this.#at++;
    const items: ConfigNode[] = [];
    for (this.#space(); this.#text[this.#at] !== "]"; ) {
      items.push(this.#value([...path, items.length]));
      this.#next("]", "list");
    }
    this.#at++;
    return { kind: "list", items, span: this.#span(start, path) };
  }

  /** After an item: a comma and another one, or the end. */
  #next(close: string, what: string): void {
    this.#space();
    const comma = this.#at;
    if (this.#text[comma] === close) return;
    if (comma >= this.#text.length) this.#fail(`the file ends inside a ${what}`);
    if (this.#text[comma] !== ",") this.#fail(`a "," or "${close}" should stand here`);
    this.#at++;
    this.#space();
    if (this.#text[this.#at] === close) {
      this.#at = comma;
      this.#fail('there is nothing after this ","', "remove it");
    }
  }

  #string(): string {
    const start = this.#at;
    const close = this.#text.indexOf('"', start + 1);
    const plain = this.#text.slice(start + 1, close);
    if (close > 0 && !UNUSUAL.test(plain)) {
      this.#at = close + 1;
      return plain;
    }
    for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (Number.isNaN(code) || code === 0x0a || code === 0x0d) {
        this.#at = start;
        this.#fail("this text has no closing quote");
      }
      if (code < 0x20) this.#fail("a control character stands in the text", "write it as an escape such as \\t");
      if (code === 0x5c) {
        const wanted = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
        wanted.lastIndex = this.#at;
        const found = wanted.exec(this.#text);
        if (found === null) this.#fail("this is not an escape of JSON", "write \\\\ for a backslash", 2);
        this.#at += found[0].length - 1;
      }
    }
    this.#at++;
    return JSON.parse(this.#text.slice(start, this.#at)) as string;
  }

  #space(): void {
    const text = this.#text;
    let at = this.#at;
    let code = text.charCodeAt(at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = text.charCodeAt(++at);
    this.#at = at;
    const isComment = code === 0x23 || (code === 0x2f && /[/*]/.test(this.#text.charAt(this.#at + 1)));
    if (isComment) this.#fail("JSON has no comments", "use lintel.yaml or lintel.config.ts for a config with comments");
  }

  #span(start: number, path: Path): Span {
    return new Span(this.#source, start, this.#at, path);
  }

  #fail(message: string, hint: string | null = null, length = 1): never {
    const span = new Span(this.#source, this.#at, this.#at + length, []);
    throw new SyntaxProblem(diagnose(span, { code: "json-syntax", message, hint }));
  }
}

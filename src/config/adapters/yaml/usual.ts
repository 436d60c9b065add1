/**
 * YAML as configs are usually written, read in one pass: 10,000 routes in a tenth of the time the
 * `yaml` package takes, to the same nodes at the same places.
 *
 * Usual are: block and flow maps and lists; plain and quoted scalars of one line; literal text (`|`);
 * comments. Whatever else there is (anchors, tags, folded text, a key without a value, a key that
 * comes twice, anything that might be a mistake) is not judged here: the answer is null, and the
 * package decides about the whole file.
 */
import { type ConfigNode, type MapEntry, type ScalarNode, toPlain } from "../../node.ts";
import type { Path } from "../../path.ts";
import { type Source, Span } from "../../source.ts";

/**
 * The file's nodes, or null if it has something unusual.
 * @param items what items of lists were read into before: there are no nodes of those, only their data
 */
export function readUsualYaml(source: Source, items: ItemMemory | null = null): ConfigNode | null {
  try {
    return new UsualReader(source, items).document();
  } catch (thrown) {
    if (thrown instanceof Unusual) return null;
    throw thrown;
  }
}

class Unusual extends Error {}

/**
 * Plain data by the text of a list's item, from one reading of a config to the next: of 10,000 routes a
 * reload reads those whose lines have changed.
 */
export class ItemMemory {
  readonly #before: ReadonlyMap<string, unknown>;
  readonly #now = new Map<string, unknown>();

  constructor(before: ItemMemory | null) {
    this.#before = before === null ? new Map() : before.#now;
  }

  /** undefined: it was not there before. */
  find(text: string): unknown {
    const known = this.#now.get(text) ?? this.#before.get(text);
    if (known !== undefined) this.#now.set(text, known);
    return known;
  }

  add(text: string, node: ConfigNode): ConfigNode {
    const plain = toPlain(node);
    if (typeof plain !== "object" || plain === null) return node;
    this.#now.set(text, plain);
    return knownNode(plain, node.span);
  }
}

/** A node that holds data of any kind: nobody but `toPlain` looks into it. */
const knownNode = (value: unknown, span: Span): ConfigNode => ({
  kind: "scalar",
  value: value as ScalarNode["value"],
  span,
  plain: false,
});

/** Items of lists that are no deeper are remembered: sites and their routes. */
const DEEPEST_REMEMBERED = 3;

const DEEPEST = 100;
/** Of a key; the package's limit is 1024. */
const LONGEST_KEY = 1000;

const NEWLINE = 0x0a;
const SPACE = 0x20;
const HASH = 0x23;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const COMMA = 0x2c;
const DASH = 0x2d;
const COLON = 0x3a;
const LIST = 0x5b;
const LIST_END = 0x5d;
const LITERAL = 0x7c;
const MAP = 0x7b;
const MAP_END = 0x7d;

/** Tabs, carriage returns and what is no character of a text. */
const STRANGE = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/;
/** What a plain scalar cannot begin with, or only sometimes. */
const INDICATORS = new Set("-?:,[]{}#&*!|>'\"%@`".split("").map((one) => one.charCodeAt(0)));
const NUMBER = /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?$/;
/** All that has another type than text in YAML's core schema. */
const TYPED = /^(?:~|null|true|false|[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|\.inf)|\.nan|0x[\da-f]+|0o[0-7]+)$/i;

interface Token {
  readonly value: string;
  readonly plain: boolean;
  readonly start: number;
  readonly end: number;
}

class UsualReader {
  readonly #source: Source;
  readonly #text: string;
  readonly #items: ItemMemory | null;
  #at = 0;
  /** Where the line of `#at` begins. */
  #line = 0;
  /** Where the last thing that was read ends. */
  #lastEnd = 0;

  constructor(source: Source, items: ItemMemory | null) {
    this.#source = source;
    this.#text = source.text!;
    this.#items = items;
  }

  document(): ConfigNode {
    if (STRANGE.test(this.#text)) throw new Unusual();
    this.#toContent();
    if (this.#text.startsWith("---\n", this.#at) && this.#column() === 0) {
      this.#at += 3;
      this.#nextLine();
    }
    if (this.#at >= this.#text.length || /(?:^|\n)(?:---|\.\.\.|%)/.test(this.#text.slice(this.#at)))
      throw new Unusual();
    const node = this.#block([], -1);
    if (this.#at < this.#text.length) throw new Unusual();
    return node;
  }

  /**
   * A node that begins here: the first thing of its line, or of what follows a dash.
   * @param outer  indentation of the collection it is in
   */
  #block(path: Path, outer: number): ConfigNode {
    if (path.length > DEEPEST) throw new Unusual();
    if (this.#isDash()) return this.#list(path);
    const code = this.#code();
    if (code === MAP || code === LIST || code === LITERAL) return this.#value(path, outer);
    const indent = this.#column();
    const token = this.#token(false);
    return this.#isKey() ? this.#map(path, indent, token) : this.#single(token, path);
  }

  #list(path: Path): ConfigNode {
    const indent = this.#column();
    const start = this.#at;
    const items: ConfigNode[] = [];
    const memory = path.length <= DEEPEST_REMEMBERED ? this.#items : null;
    const end = memory === null ? null : new RegExp(`\\n(?= {0,${indent}}[^ \\n#])`, "g");
    do {
      const below = [...path, items.length];
      const item =
        memory === null || end === null ? this.#item(indent, below) : this.#remembered(memory, end, indent, below);
      items.push(item);
    } while (this.#goesOn(indent) && this.#isDash());
    return { kind: "list", items, span: new Span(this.#source, start, this.#lastEnd, path) };
  }

  #item(indent: number, path: Path): ConfigNode {
    this.#at++;
    return this.#after(indent, path, false);
  }

  /** @param end before the line that does not belong to the item any more */
  #remembered(memory: ItemMemory, end: RegExp, indent: number, path: Path): ConfigNode {
    const start = this.#at;
    end.lastIndex = start;
    const stop = (end.exec(this.#text)?.index ?? this.#text.length) + 1;
    // With its indentation, which the lines below the first have, too.
    const text = this.#text.slice(this.#line, stop);
    // What stands on the line of another dash has no text of its own, and variables may have other values now.
    const isOwnLine = text.length - text.trimStart().length === indent;
    if (!isOwnLine || text.includes("${")) return this.#item(indent, path);
    const known = memory.find(text);
    if (known === undefined) return memory.add(text, this.#item(indent, path));
    this.#at = Math.min(stop, this.#text.length);
    this.#line = this.#at;
    this.#lastEnd = this.#at;
    this.#toContent();
    return knownNode(known, new Span(this.#source, start, this.#at, path));
  }

  /** @param first  the first key, which is read already */
  #map(path: Path, indent: number, first: Token): ConfigNode {
    const entries = new Map<string, MapEntry>();
    for (let key = first; ; key = this.#token(false)) {
      if (!this.#isKey()) throw new Unusual();
      this.#at++;
      const below = [...path, this.#name(key, entries)];
      const span = new Span(this.#source, key.start, key.end, below);
      entries.set(key.value, { key: span, value: this.#after(indent, below, true) });
      if (!this.#goesOn(indent)) break;
      if (this.#isDash()) throw new Unusual();
    }
    return { kind: "map", entries, span: new Span(this.#source, first.start, this.#lastEnd, path) };
  }

  /** What stands after a key's colon or a dash. */
  #after(indent: number, path: Path, inMap: boolean): ConfigNode {
    this.#spaces();
    if (this.#isEndOfLine()) {
      this.#nextLine();
      const column = this.#at < this.#text.length ? this.#column() : -1;
      // A list may stand right below its key.
      if (column <= indent && !(inMap && column === indent && this.#isDash())) throw new Unusual();
      return this.#block(path, indent);
    }
    return inMap ? this.#value(path, indent) : this.#block(path, indent);
  }

  /** Is there another entry of a collection at this indentation? */
  #goesOn(indent: number): boolean {
    if (this.#at >= this.#text.length) return false;
    const column = this.#column();
    // Deeper, it would belong to the scalar before.
    if (column > indent) throw new Unusual();
    return column === indent;
  }

  /** Flow, a scalar or literal text, up to the end of its line. */
  #value(path: Path, outer: number): ConfigNode {
    const code = this.#code();
    if (code === LITERAL) return this.#literal(path, outer);
    if (code !== MAP && code !== LIST) return this.#single(this.#token(false), path);
    const node = this.#flow(path, outer);
    this.#endLine();
    return node;
  }

  #single(token: Token, path: Path): ScalarNode {
    this.#endLine();
    return this.#scalar(token, path);
  }

  #scalar({ value, plain, start, end }: Token, path: Path): ScalarNode {
    return {
      kind: "scalar",
      value: plain ? typed(value) : value,
      span: new Span(this.#source, start, end, path),
      plain,
    };
  }

  /** @param outer  its lines are indented deeper than this */
  #flow(path: Path, outer: number): ConfigNode {
    if (path.length > DEEPEST) throw new Unusual();
    const start = this.#at;
    const code = this.#code();
    if (code !== MAP && code !== LIST) return this.#scalar(this.#token(true), path);
    const close = code === MAP ? MAP_END : LIST_END;
    const items: ConfigNode[] = [];
    const entries = new Map<string, MapEntry>();
    this.#at++;
    for (this.#flowSpace(outer); this.#code() !== close; ) {
      if (code === LIST) items.push(this.#flow([...path, items.length], outer));
      else this.#flowEntry(path, outer, entries);
      this.#flowSpace(outer);
      if (this.#code() === COMMA) {
        this.#at++;
        this.#flowSpace(outer);
      } else if (this.#code() !== close) throw new Unusual();
    }
    this.#at++;
    this.#lastEnd = this.#at;
    const span = new Span(this.#source, start, this.#at, path);
    return code === MAP ? { kind: "map", entries, span } : { kind: "list", items, span };
  }

  #flowEntry(path: Path, outer: number, entries: Map<string, MapEntry>): void {
    const key = this.#token(true);
    this.#spaces();
    if (this.#code() !== COLON) throw new Unusual();
    this.#at++;
    this.#flowSpace(outer);
    if (this.#code() === COMMA || this.#code() === MAP_END) throw new Unusual();
    const below = [...path, this.#name(key, entries)];
    const span = new Span(this.#source, key.start, key.end, below);
    entries.set(key.value, { key: span, value: this.#flow(below, outer) });
  }

  #name({ value, plain, start, end }: Token, entries: ReadonlyMap<string, MapEntry>): string {
    const isNothing = plain && /^(?:~|null)$/i.test(value);
    if (isNothing || value === "<<" || entries.has(value) || end - start > LONGEST_KEY) throw new Unusual();
    return value;
  }

  /** A plain or quoted scalar; stops right after it. */
  #token(inFlow: boolean): Token {
    const code = this.#code();
    if (code === QUOTE || code === APOSTROPHE) return this.#quoted(code);
    const text = this.#text;
    const start = this.#at;
    const next = text.charCodeAt(start + 1);
    // `-1` and `:80` are plain; a dash or a colon alone is not.
    const mayBegin = (code === DASH || (code === COLON && !inFlow)) && next > SPACE && !(inFlow && isFlowSign(next));
    if (Number.isNaN(code) || (INDICATORS.has(code) && !mayBegin)) throw new Unusual();
    let end = start;
    let at = start;
    for (; at < text.length; at++) {
      const here = text.charCodeAt(at);
      if (here === SPACE) continue;
      if (here === NEWLINE || (here === HASH && text.charCodeAt(at - 1) === SPACE)) break;
      if (inFlow && isFlowSign(here)) break;
      if (here === COLON && this.#endsKey(at + 1, inFlow)) break;
      end = at + 1;
    }
    this.#at = end;
    this.#lastEnd = end;
    return { value: text.slice(start, end), plain: true, start, end };
  }

  #quoted(quote: number): Token {
    const text = this.#text;
    const start = this.#at;
    let end = start + 1;
    for (; ; end++) {
      const here = text.charCodeAt(end);
      if (Number.isNaN(here) || here === NEWLINE) throw new Unusual();
      if (here === 0x5c && quote === QUOTE) end++;
      else if (here === quote) {
        if (quote === QUOTE || text.charCodeAt(end + 1) !== APOSTROPHE) break;
        end++;
      }
    }
    const inner = text.slice(start + 1, end);
    this.#at = end + 1;
    this.#lastEnd = this.#at;
    return {
      value: quote === QUOTE ? unescaped(inner) : inner.replaceAll("''", "'"),
      plain: false,
      start,
      end: this.#at,
    };
  }

  /** `|` or `|-`: lines as they are. */
  #literal(path: Path, outer: number): ScalarNode {
    const start = this.#at;
    const header = /\|(-?)\n( *)(?=[^ \n])/y;
    header.lastIndex = start;
    const found = header.exec(this.#text);
    if (found === null) throw new Unusual();
    const indent = found[2]!.length;
    if (indent <= outer) throw new Unusual();
    const lines: string[] = [];
    let at = header.lastIndex - indent;
    let end = at;
    while (at < this.#text.length) {
      const stop = this.#text.indexOf("\n", at);
      const line = this.#text.slice(at, stop < 0 ? undefined : stop);
      const isBlank = line.trimStart() === "";
      if (isBlank && line.length > indent) throw new Unusual();
      if (!isBlank && !line.startsWith(" ".repeat(indent))) break;
      lines.push(line.slice(indent));
      // Without a newline at the end of the file the text has none either.
      if (stop < 0) throw new Unusual();
      at = stop + 1;
      end = at;
    }
    this.#at = end - 1;
    this.#nextLine();
    // A comment or a line less deep than the text is another thing.
    if (this.#at < this.#text.length && (this.#line !== end || this.#column() > outer)) throw new Unusual();
    while (lines.at(-1) === "") lines.pop();
    const value = lines.join("\n") + (found[1] === "-" ? "" : "\n");
    this.#lastEnd = end;
    return { kind: "scalar", value, span: new Span(this.#source, start, end, path), plain: false };
  }

  #code(): number {
    return this.#text.charCodeAt(this.#at);
  }

  #column(): number {
    return this.#at - this.#line;
  }

  /** A dash that begins an item. */
  #isDash(): boolean {
    if (this.#code() !== DASH) return false;
    const next = this.#text.charCodeAt(this.#at + 1);
    return next === SPACE || next === NEWLINE || Number.isNaN(next);
  }

  /** After a scalar: is it a key? Stops at the colon. */
  #isKey(): boolean {
    this.#spaces();
    return this.#code() === COLON && this.#endsKey(this.#at + 1, false);
  }

  /** Does the colon before this place end a key? */
  #endsKey(at: number, inFlow: boolean): boolean {
    const next = this.#text.charCodeAt(at);
    return next === SPACE || next === NEWLINE || Number.isNaN(next) || (inFlow && isFlowSign(next));
  }

  #spaces(): void {
    while (this.#code() === SPACE) this.#at++;
  }

  #isEndOfLine(): boolean {
    const code = this.#code();
    return code === NEWLINE || Number.isNaN(code) || (code === HASH && this.#text.charCodeAt(this.#at - 1) === SPACE);
  }

  /** The rest of the line holds at most a comment. Goes to what comes next. */
  #endLine(): void {
    this.#spaces();
    if (!this.#isEndOfLine()) throw new Unusual();
    this.#nextLine();
  }

  /** To the first thing of a line below this one. */
  #nextLine(): void {
    const newline = this.#text.indexOf("\n", this.#at);
    this.#at = newline < 0 ? this.#text.length : newline + 1;
    this.#line = this.#at;
    this.#toContent();
  }

  /** From the beginning of a line to the first thing in it or below. */
  #toContent(): void {
    for (;;) {
      this.#spaces();
      const code = this.#code();
      if (code === HASH) {
        const newline = this.#text.indexOf("\n", this.#at);
        this.#at = newline < 0 ? this.#text.length : newline;
      } else if (code !== NEWLINE) return;
      if (this.#at >= this.#text.length) return;
      this.#line = ++this.#at;
    }
  }

  /** Spaces, newlines and comments within flow. */
  #flowSpace(outer: number): void {
    const line = this.#line;
    this.#spaces();
    if (!this.#isEndOfLine()) return;
    this.#nextLine();
    if (this.#at >= this.#text.length || (this.#line !== line && this.#column() <= outer)) throw new Unusual();
  }
}

const isFlowSign = (code: number) =>
  code === COMMA || code === LIST || code === LIST_END || code === MAP || code === MAP_END;

/** A plain scalar's value. */
function typed(text: string): string | number | boolean | null {
  if (text === "true" || text === "false") return text === "true";
  if (!TYPED.test(text)) return text;
  if (!NUMBER.test(text) || text === "-0") throw new Unusual();
  return Number(text);
}

/** What stands between double quotes. */
function unescaped(inner: string): string {
  if (!inner.includes("\\")) return inner;
  if (!/^(?:[^\\]|\\["\\/nt])*$/.test(inner)) throw new Unusual();
  return JSON.parse(`"${inner}"`) as string;
}

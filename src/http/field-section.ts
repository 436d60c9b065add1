/**
 * A field section (RFC 9110 §5, §6.5): header or trailer fields in the order they came.
 *
 * It is a text, `name: value CRLF` for each field line, plus a table that says where each name and
 * value stands. The text is canonical at all times: what the HTTP/1 encoder would write is what is
 * there, so writing a section is copying runs of it, and adding a field is appending. A removed
 * line keeps its text and is left out by the table. Names keep the sender's case on the wire and
 * are compared without case.
 *
 * The text has two parts, what was decoded and what was added, with offsets that run on from the
 * first to the second: cutting runs out of the one does not make the runtime join both first.
 */
import { fieldId, knownName } from "./field-name.ts";
import { isFieldValue, isToken, tokenLower } from "./grammar.ts";

/** Entries of the table per line: known-name number (-1 = removed), start of name, start of value, end of value. */
const STRIDE = 4;
const REMOVED = -1;

const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;

/** Where a section is written to. */
export interface TextSink {
  writeText(text: string): void;
}

/** Who goes through a section line by line. */
export interface LineTaker {
  /** @param id number of a known name, else 0 @param name in lower case */
  onLine(id: number, name: string, value: string): void;
}

export class FieldSection {
  readonly #decoded: string;
  #added: string;
  readonly #lines: number[];
  /** Lines left out by the table. */
  #removed = 0;

  /** For decoders: a canonical text and its table. Everybody else starts empty and appends. */
  constructor(text = "", lines: number[] = [], added = "") {
    this.#decoded = text;
    this.#added = added;
    this.#lines = lines;
  }

  static of(fields: Readonly<Record<string, string | readonly string[]>>): FieldSection {
    const section = new FieldSection();
    for (const [name, value] of Object.entries(fields)) {
      if (typeof value === "string") section.append(name, value);
      else for (const one of value) section.append(name, one);
    }
    return section;
  }

  clone(): FieldSection {
    const clone = new FieldSection(this.#decoded, this.#lines.slice(), this.#added);
    clone.#removed = this.#removed;
    return clone;
  }

  /** The combined value: field lines of the same name joined by ", " (RFC 9110 §5.2). */
  get(name: string): string | undefined {
    return this.#combined(fieldId(name.toLowerCase()), name);
  }

  /** As `get`, for a name of field-name.ts. */
  getKnown(id: number): string | undefined {
    return this.#combined(id, "");
  }

  /** The value of every field line of that name; what `Set-Cookie` needs (RFC 9110 §5.3). */
  getAll(name: string): string[] {
    const values: string[] = [];
    const id = fieldId(name.toLowerCase());
    for (let at = this.#find(id, name, 0); at >= 0; at = this.#find(id, name, at + STRIDE))
      values.push(this.#value(at));
    return values;
  }

  has(name: string): boolean {
    return this.#find(fieldId(name.toLowerCase()), name, 0) >= 0;
  }

  hasKnown(id: number): boolean {
    return this.#find(id, "", 0) >= 0;
  }

  /**
   * Adds a field line at the end.
   * @throws {TypeError} if the name is not a token or the value holds CR, LF, NUL or another control octet
   */
  append(name: string, value: string): void {
    const content = checked(name, value);
    this.appendTrusted(fieldId(name.toLowerCase()), name, content);
  }

  /** As `append`, without the checks: for names and values this program made or a decoder validated. */
  appendTrusted(id: number, name: string, value: string): void {
    const nameStart = this.#decoded.length + this.#added.length;
    const valueStart = nameStart + name.length + 2;
    this.#added += `${name}: ${value}\r\n`;
    this.#lines.push(id, nameStart, valueStart, valueStart + value.length);
  }

  /** Removes all lines whose known name is in a set (see `fieldSet`). */
  deleteSet(names: Uint8Array): void {
    const lines = this.#lines;
    for (let at = 0; at < lines.length; at += STRIDE) {
      const id = lines[at]!;
      if (id > 0 && names[id] === 1) {
        lines[at] = REMOVED;
        this.#removed++;
      }
    }
  }

  /** Removes lines whose name becomes one of these (in lower case, with "-") when "_" is read as "-". */
  deleteDisguised(names: readonly string[]): void {
    const lines = this.#lines;
    for (let at = 0; at < lines.length; at += STRIDE) {
      if (lines[at] !== 0) continue;
      const length = lines[at + 2]! - lines[at + 1]! - 2;
      for (let i = 0; i < names.length; i++) {
        if (names[i]!.length !== length || !this.#isDisguise(at, names[i]!)) continue;
        lines[at] = REMOVED;
        this.#removed++;
        break;
      }
    }
  }

  /**
   * Replaces all lines of that name by one.
   * @throws {TypeError} as `append`; the section is as before then
   */
  set(name: string, value: string): void {
    const content = checked(name, value);
    const id = fieldId(name.toLowerCase());
    this.#remove(id, name);
    this.appendTrusted(id, name, content);
  }

  /** @returns how many lines were removed */
  delete(name: string): number {
    return this.#remove(fieldId(name.toLowerCase()), name);
  }

  deleteKnown(id: number): number {
    return this.#remove(id, "");
  }

  /** Number of field lines. */
  get size(): number {
    return this.#lines.length / STRIDE - this.#removed;
  }

  /** Each line in order; names in lower case. */
  *entries(): Generator<[name: string, value: string]> {
    const lines = this.#lines;
    for (let at = 0; at < lines.length; at += STRIDE) {
      if (lines[at]! === REMOVED) continue;
      yield [this.#name(at).toLowerCase(), this.#value(at)];
    }
  }

  [Symbol.iterator](): Generator<[name: string, value: string]> {
    return this.entries();
  }

  /** The section as HTTP/1 field lines, each ended by CRLF, without the empty line after it. */
  toString(): string {
    return this.serialize(null);
  }

  /**
   * As `toString`, leaving out the known names of a set (see `fieldSet`). Lines that stand next to
   * each other are copied as one run: a head of 12 fields is usually two or three slices.
   */
  serialize(except: Uint8Array | null): string {
    let text = "";
    this.writeTo({ writeText: (run) => (text += run) }, except);
    return text;
  }

  /** Writes what `serialize` gives, run by run: no text is joined for it. */
  writeTo(out: TextSink, except: Uint8Array | null): void {
    const lines = this.#lines;
    const boundary = this.#decoded.length;
    let runStart = -1;
    let runEnd = -1;
    for (let at = 0; at < lines.length; at += STRIDE) {
      const id = lines[at]!;
      if (id === REMOVED || (except !== null && except[id] === 1)) continue;
      const start = lines[at + 1]!;
      if (start !== runEnd || start === boundary) {
        if (runStart >= 0) out.writeText(this.#slice(runStart, runEnd));
        runStart = start;
      }
      runEnd = lines[at + 3]! + 2;
    }
    if (runStart >= 0) out.writeText(this.#slice(runStart, runEnd));
  }

  /** Hands on each line, leaving out the known names of a set (see `fieldSet`). */
  eachLine(taker: LineTaker, except: Uint8Array | null): void {
    const lines = this.#lines;
    for (let at = 0; at < lines.length; at += STRIDE) {
      const id = lines[at]!;
      if (id === REMOVED || (except !== null && except[id] === 1)) continue;
      taker.onLine(id, id > 0 ? knownName(id) : this.#name(at).toLowerCase(), this.#value(at));
    }
  }

  /** Makes one flat text of what was added. For a section that is written many times. */
  seal(): this {
    this.#added = Buffer.from(this.#added, "latin1").toString("latin1");
    return this;
  }

  #combined(id: number, name: string): string | undefined {
    let at = this.#find(id, name, 0);
    if (at < 0) return undefined;
    let value = this.#value(at);
    for (at = this.#find(id, name, at + STRIDE); at >= 0; at = this.#find(id, name, at + STRIDE)) {
      value += `, ${this.#value(at)}`;
    }
    return value;
  }

  #remove(id: number, name: string): number {
    let removed = 0;
    for (let at = this.#find(id, name, 0); at >= 0; at = this.#find(id, name, at + STRIDE)) {
      this.#lines[at] = REMOVED;
      removed++;
    }
    this.#removed += removed;
    return removed;
  }

  /** Index of the next line of that name at or after `from`; -1 if there is none. */
  #find(id: number, name: string, from: number): number {
    const lines = this.#lines;
    for (let at = from; at < lines.length; at += STRIDE) {
      if (lines[at] === id && (id !== 0 || this.#isNamed(at, name))) return at;
    }
    return -1;
  }

  #isNamed(at: number, name: string): boolean {
    const start = this.#lines[at + 1]!;
    if (this.#lines[at + 2]! - start - 2 !== name.length) return false;
    const boundary = this.#decoded.length;
    const text = start < boundary ? this.#decoded : this.#added;
    const offset = start < boundary ? start : start - boundary;
    for (let i = 0; i < name.length; i++) {
      if (tokenLower[text.charCodeAt(offset + i)] !== tokenLower[name.charCodeAt(i)]) return false;
    }
    return true;
  }

  /** True if the line's name is this one, of the same length and in lower case, once its "_" are read as "-". */
  #isDisguise(at: number, name: string): boolean {
    const start = this.#lines[at + 1]!;
    const boundary = this.#decoded.length;
    const text = start < boundary ? this.#decoded : this.#added;
    const offset = start < boundary ? start : start - boundary;
    for (let i = 0; i < name.length; i++) {
      const code = text.charCodeAt(offset + i);
      if ((code === UNDERSCORE ? HYPHEN : tokenLower[code]) !== name.charCodeAt(i)) return false;
    }
    return true;
  }

  #name(at: number): string {
    return this.#slice(this.#lines[at + 1]!, this.#lines[at + 2]! - 2);
  }

  #value(at: number): string {
    return this.#slice(this.#lines[at + 2]!, this.#lines[at + 3]!);
  }

  /** A piece of one part. An empty value at the end of the first part ends where the second begins. */
  #slice(start: number, end: number): string {
    const boundary = this.#decoded.length;
    if (end <= boundary) return this.#decoded.slice(start, end);
    return this.#added.slice(start - boundary, end - boundary);
  }
}

/** The value without outer whitespace, once both may stand in a field line. */
function checked(name: string, value: string): string {
  if (!isToken(name)) throw new TypeError(`${JSON.stringify(name)} is not a field name`);
  const content = trimOws(value);
  if (isFieldValue(content)) return content;
  throw new TypeError(`the value of ${name} holds an octet that no field may: ${JSON.stringify(content)}`);
}

/** Removes SP and HTAB around a value; `String.trim` would also remove U+00A0, which is content. */
export function trimOws(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isOws(value.charCodeAt(start))) start++;
  while (end > start && isOws(value.charCodeAt(end - 1))) end--;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}

const isOws = (code: number): boolean => code === 0x20 || code === 0x09;

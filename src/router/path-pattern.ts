/**
 * Path patterns, compared with `exchange.path`, the normal form of the path (http/target.ts):
 *
 *     /exact             this path only; "/a" and "/a/" are two paths
 *     /users/:id/posts   `:id` is any one segment that is not empty
 *     /prefix/*          /prefix, /prefix/ and everything below; `*` is what follows "/prefix/"
 *     /users/:id/*       both
 *     ~^/v\d+/           a regex, anchored only where it says so; its named groups are params
 *
 * A target that is not a path (`*` of OPTIONS, the authority of CONNECT) fits no pattern.
 */
import { compileRegex, isRegex, readPathPattern } from "../config/pattern.ts";

export type PathKind = "exact" | "pattern" | "prefix" | "regex";

export class PathPattern {
  readonly text: string;
  readonly kind: PathKind;
  /** Segments before `*`; a param begins with ":". Empty for a regex. */
  readonly segments: readonly string[];
  /** Octets before the first `:name` or `*`: the longer, the more specific. */
  readonly literalLength: number;
  readonly #regex: RegExp | null;
  readonly #hasParams: boolean;

  /** @throws {TypeError} if the text is not a path pattern */
  constructor(text: string) {
    const reading = readPathPattern(text);
    if ("problem" in reading) throw new TypeError(reading.problem);
    this.text = reading.text;
    if (isRegex(this.text)) {
      this.kind = "regex";
      this.segments = [];
      this.literalLength = 0;
      this.#regex = compileRegex(this.text);
      this.#hasParams = this.text.includes("(?<");
      return;
    }
    this.#regex = null;
    const isPrefix = this.text.endsWith("/*");
    this.segments = isPrefix ? this.text.split("/").slice(1, -1) : this.text.split("/").slice(1);
    const names = this.segments.filter(isParam);
    this.kind = isPrefix ? "prefix" : names.length > 0 ? "pattern" : "exact";
    this.#hasParams = this.kind !== "exact";
    const variable = this.segments.findIndex(isParam);
    const literals = variable < 0 ? this.segments : this.segments.slice(0, variable);
    const closed = isPrefix || variable >= 0;
    this.literalLength = literals.reduce((sum, literal) => sum + 1 + literal.length, closed ? 1 : 0);
  }

  /** True for a prefix without further params: `*` is what follows the literal text. */
  get hasOnlyRest(): boolean {
    return this.kind === "prefix" && this.literalLength === this.text.length - 1;
  }

  matches(path: string): boolean {
    if (path.charCodeAt(0) !== SLASH) return false;
    if (this.kind === "exact") return path === this.text;
    if (this.#regex !== null) return this.#regex.test(path);
    let at = 0;
    for (const segment of this.segments) {
      if (path.charCodeAt(at) !== SLASH) return false; // Too few segments: NaN at the end.
      const start = at + 1;
      at = segmentEnd(path, start);
      if (isParam(segment) ? at === start : !isSlice(path, start, at, segment)) return false;
    }
    return at === path.length || this.kind === "prefix";
  }

  /** What the variable parts stand for in a path that matches; null if there are none. */
  params(path: string): Record<string, string> | null {
    if (!this.#hasParams) return null;
    if (this.#regex !== null) return groups(this.#regex, path);
    if (this.hasOnlyRest) return { "*": path.slice(this.literalLength) };
    const params: Record<string, string> = {};
    let at = 0;
    for (const segment of this.segments) {
      const end = segmentEnd(path, at + 1);
      if (isParam(segment)) params[segment.slice(1)] = path.slice(at + 1, end);
      at = end;
    }
    if (this.kind === "prefix") params["*"] = path.slice(at + 1);
    return params;
  }

  /** True if every path that `other` matches matches this too, as far as the texts can tell. */
  covers(other: PathPattern): boolean {
    if (this.kind === "regex" || other.kind === "regex") return this.text === other.text;
    const { segments } = this;
    if (segments.length > other.segments.length) return false;
    if (segments.length < other.segments.length && this.kind !== "prefix") return false;
    if (other.kind === "prefix" && this.kind !== "prefix") return false;
    return segments.every((segment, i) => {
      const theirs = other.segments[i]!;
      return isParam(segment) ? theirs !== "" : segment === theirs;
    });
  }
}

export const isParam = (segment: string): boolean => segment.charCodeAt(0) === 0x3a; // ":"

const SLASH = 0x2f;

function segmentEnd(path: string, start: number): number {
  const slash = path.indexOf("/", start);
  return slash < 0 ? path.length : slash;
}

function isSlice(path: string, start: number, end: number, text: string): boolean {
  return end - start === text.length && path.startsWith(text, start);
}

function groups(regex: RegExp, path: string): Record<string, string> | null {
  const found = regex.exec(path)?.groups;
  if (found === undefined) return null;
  const params: Record<string, string> = {};
  for (const name in found) if (found[name] !== undefined) params[name] = found[name];
  return params;
}

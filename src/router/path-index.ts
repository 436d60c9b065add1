/**
 * All routes of all sites by path: for each site a radix tree over the characters of its patterns, in
 * which a param is a branch that takes one segment. A look-up walks the path once. Among all candidates
 * whose pattern fits, the one with the lowest order whose conditions hold is the answer, so the same
 * tree serves both orders of matching.
 *
 * The trees are written one after another into one array of numbers, with all places relative, and
 * sites of equal shape share one. As objects, the trees of 10,000 hosts lay scattered over more memory
 * than the processor caches, and a look-up took four times as long.
 *
 *     site:   its root, number of candidates without a tree, each of them (see `entry`);
 *             then for each candidate where the value of its `*` begins (see `#restOf`)
 *     node:   least order here and below, its param node (0: none), number of ends, rests, branches;
 *             the ends and rests (see `entry`); then first character and branch, sorted by character
 *     branch: length of its label, the label's characters, its node
 */
import type { Steps } from "../base/steps.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Candidate } from "./candidate.ts";
import { isParam, type PathPattern } from "./path-pattern.ts";
import { TreeNode } from "./path-tree.ts";

const SLASH = 0x2f;
/** Higher than any order. */
const NONE = 0x3fffffff;

/** In place of where `*` begins: a candidate without params, and this less the number of a pattern that has to be asked. */
const NO_PARAMS = -1;
const ASK_PATTERN = -2;

const PARAM = 1;
const ENDS = 2;
const RESTS = 3;
const BRANCHES = 4;
const HEAD = 5;

/** Numbers per site that say where its parts are. */
const PER_SITE = 3;

/** Candidates that are put into their tree between two pauses. */
const CANDIDATES_AT_ONCE = 16;

export class PathIndex<T> {
  readonly #code: Int32Array;
  /** For each site where its part of the code begins, and its first places among the candidates and the patterns. */
  readonly #sites: Int32Array;
  readonly #candidates: readonly Candidate<T>[];
  /** What `find` gives of each candidate. Lists, since an object per route was one more place in memory to wait for. */
  readonly #names: readonly string[];
  readonly #targets: readonly T[];
  /** Those with params other than `*`, for each site one for each text. */
  readonly #patterns: readonly PathPattern[];

  /**
   * @param codes of each site
   * @param sites candidates of each site, in order of matching
   */
  constructor(codes: readonly SiteCode[], sites: readonly (readonly Candidate<T>[])[]) {
    const { code, places } = joined(codes);
    this.#code = code;
    this.#sites = new Int32Array(codes.length * PER_SITE);
    let candidates = 0;
    let patterns = 0;
    for (const [site, place] of places.entries()) {
      this.#sites.set([place, candidates, patterns], site * PER_SITE);
      candidates += sites[site]!.length;
      patterns += codes[site]!.patterns.length;
    }
    this.#patterns = codes.flatMap((one) => one.patterns);
    this.#candidates = sites.flat();
    this.#names = this.#candidates.map(({ route }) => route.name);
    this.#targets = this.#candidates.map(({ route }) => route.target);
  }

  get size(): number {
    return this.#names.length;
  }

  /**
   * The target of the route that answers, or null. Sets the exchange's `route`, `routeNumber` and `params`.
   * @param site index of the site
   */
  find(site: number, exchange: Exchange): T | null {
    const code = this.#code;
    const { path } = exchange;
    const start = this.#sites[site * PER_SITE]!;
    const base = this.#sites[site * PER_SITE + 1]!;
    let best = path.charCodeAt(0) === SLASH ? this.#search(start + code[start]!, path, 0, exchange, base, NONE) : NONE;
    const loose = start + 2;
    const rests = loose + code[start + 1]!;
    for (let at = loose; at < rests; at++) {
      const order = code[at]! >> 1;
      if (order > best) break;
      if ((code[at]! & 1) === 0 || fits(this.#candidates[base + order]!, exchange)) best = order;
    }
    if (best === NONE) return null;
    const rest = code[rests + best]!;
    if (rest >= 0) exchange.params = { "*": path.slice(rest) };
    else if (rest <= ASK_PATTERN) {
      const first = this.#sites[site * PER_SITE + 2]!;
      exchange.params = this.#patterns[first + ASK_PATTERN - rest]!.params(path);
    }
    exchange.route = this.#names[base + best]!;
    exchange.routeNumber = base + best;
    return this.#targets[base + best]!;
  }

  /** The lowest order at or below a node that beats `best`, else `best`. `at`: how much of the path led here. */
  #search(node: number, path: string, at: number, exchange: Exchange, base: number, best: number): number {
    const code = this.#code;
    const ends = node + HEAD;
    const rests = ends + code[node + ENDS]!;
    const branches = rests + code[node + RESTS]!;
    if (at === path.length) best = this.#first(ends, rests, exchange, base, best);
    else {
      const branch = findBranch(code, branches, code[node + BRANCHES]!, path.charCodeAt(at));
      if (branch !== 0) {
        const next = branch + 1 + code[branch]!;
        if (code[next]! < best && follows(code, branch, path, at)) {
          best = this.#search(next, path, at + code[branch]!, exchange, base, best);
        }
      }
      const param = node + code[node + PARAM]!;
      if (param !== node && code[param]! < best && path.charCodeAt(at) !== SLASH) {
        const slash = path.indexOf("/", at);
        best = this.#search(param, path, slash < 0 ? path.length : slash, exchange, base, best);
      }
    }
    return this.#first(rests, branches, exchange, base, best);
  }

  /** Of the entries from `at` to `end` the first that holds, if it beats `best`. */
  #first(at: number, end: number, exchange: Exchange, base: number, best: number): number {
    const code = this.#code;
    for (; at < end; at++) {
      const order = code[at]! >> 1;
      if (order > best) return best;
      if ((code[at]! & 1) === 0 || this.#candidates[base + order]!.holds(exchange)) return order;
    }
    return best;
  }
}

function fits<T>(candidate: Candidate<T>, exchange: Exchange): boolean {
  return (candidate.path === null || candidate.path.matches(exchange.path)) && candidate.holds(exchange);
}

/** Where the branch that begins with a character is; 0 if there is none. */
function findBranch(code: Int32Array, branches: number, count: number, char: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    const first = code[branches + middle * 2]!;
    if (first === char) return branches + middle * 2 + 1 + code[branches + middle * 2 + 1]!;
    if (first < char) low = middle + 1;
    else high = middle;
  }
  return 0;
}

/** Does the path go on with the branch's label? Its first character is known to. */
function follows(code: Int32Array, branch: number, path: string, at: number): boolean {
  const length = code[branch]!;
  if (at + length > path.length) return false;
  const label = branch + 1;
  for (let i = 1; i < length; i++) if (path.charCodeAt(at + i) !== code[label + i]) return false;
  return true;
}

/** What is written for one site. It says nothing of what its routes do, so the next config's index can have it again. */
export interface SiteCode {
  readonly numbers: Int32Array;
  readonly patterns: readonly PathPattern[];
  /** The numbers as text, if they are few: sites of the same numbers share them. */
  readonly shape: string | null;
}

/** Larger sites are hardly the same as others. */
const MOST_SHARED = 1000;

/** The code of all sites one after another; one of equal shape is there once. */
function joined(codes: readonly SiteCode[]): { code: Int32Array; places: number[] } {
  const known = new Map<string, number>();
  const parts: Int32Array[] = [];
  let length = 0;
  const places = codes.map(({ numbers, shape }) => {
    const before = shape === null ? undefined : known.get(shape);
    if (before !== undefined) return before;
    const place = length;
    if (shape !== null) known.set(shape, place);
    parts.push(numbers);
    length += numbers.length;
    return place;
  });
  const code = new Int32Array(length);
  let at = 0;
  for (const part of parts) {
    code.set(part, at);
    at += part.length;
  }
  return { code, places };
}

/** @param candidates of a site, in order of matching */
export function* siteCode<T>(candidates: readonly Candidate<T>[]): Steps<SiteCode> {
  const tree = new TreeNode("");
  const loose: number[] = [];
  for (const [order, candidate] of candidates.entries()) {
    if (order % CANDIDATES_AT_ONCE === 0) yield;
    const { path } = candidate;
    if (path === null || path.kind === "regex") loose.push(entry(order, candidate));
    else insert(tree, entry(order, candidate), path);
  }
  const code = [0, loose.length, ...loose];
  const asked: AskedPatterns = { patterns: [], numbers: new Map() };
  for (const { path } of candidates) code.push(restOf(path, asked));
  yield* writeTree(code, tree);
  return {
    numbers: Int32Array.from(code),
    patterns: asked.patterns,
    shape: code.length > MOST_SHARED ? null : code.join(),
  };
}

/** Patterns that have to be asked for their params, one for each text. */
interface AskedPatterns {
  readonly patterns: PathPattern[];
  /** By text: place in the list. */
  readonly numbers: Map<string, number>;
}

/** Where the value of `*` begins if that is the only param. */
function restOf(path: PathPattern | null, { patterns, numbers }: AskedPatterns): number {
  if (path === null || path.kind === "exact") return NO_PARAMS;
  if (path.hasOnlyRest) return path.literalLength;
  const before = numbers.get(path.text);
  if (before !== undefined) return ASK_PATTERN - before;
  numbers.set(path.text, patterns.length);
  patterns.push(path);
  return ASK_PATTERN - (patterns.length - 1);
}

/** Order and, in the lowest bit, whether there is something to check once the tree has led there. */
function entry<T>(order: number, { path, conditions }: Candidate<T>): number {
  return order * 2 + (conditions.length > 0 || path?.kind === "regex" ? 1 : 0);
}

function insert(root: TreeNode, entered: number, { segments, kind }: PathPattern): void {
  let node = root;
  let literal = "";
  for (const segment of segments) {
    if (!isParam(segment)) {
      literal += `/${segment}`;
      continue;
    }
    node = node.descend(`${literal}/`).descendParam();
    literal = "";
  }
  node = node.descend(literal);
  if (kind !== "prefix") node.ends.push(entered);
  else {
    // "/prefix/*" takes "/prefix" as well, which has no slash at its end. "/*" has no such second end.
    if (segments.length > 0) node.ends.push(entered);
    node.descend("/").rests.push(entered);
  }
}

/** A node to be written, and the place that is to say where: relative to `base`. */
interface Pending {
  readonly node: TreeNode;
  readonly place: number;
  readonly base: number;
}

/** Nodes that are written between two pauses. */
const NODES_AT_ONCE = 64;

/** Writes a tree to the end of the code, a node before what is below it. Its place goes to `code[0]`. */
function* writeTree(code: number[], root: TreeNode): Steps<void> {
  const pending: Pending[] = [{ node: root, place: 0, base: 0 }];
  for (let written = 0; pending.length > 0; written++) {
    if (written % NODES_AT_ONCE === 0) yield;
    const { node, place, base } = pending.pop()!;
    const { label, ends, rests, children, param } = node;
    code[place] = code.length - base;
    if (label !== "") {
      code.push(label.length);
      for (let c = 0; c < label.length; c++) code.push(label.charCodeAt(c));
    }
    const start = code.length;
    code.push(node.least() >> 1, 0, ends.length, rests.length, children.length);
    for (const entered of ends) code.push(entered);
    for (const entered of rests) code.push(entered);
    const branches = code.length;
    if (children.length > 1) children.sort((a, b) => a.label.charCodeAt(0) - b.label.charCodeAt(0));
    for (const child of children) code.push(child.label.charCodeAt(0), 0);
    if (param !== null) pending.push({ node: param, place: start + PARAM, base: start });
    for (let i = children.length - 1; i >= 0; i--) {
      const slot = branches + i * 2 + 1;
      pending.push({ node: children[i]!, place: slot, base: slot });
    }
  }
}

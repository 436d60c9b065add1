/**
 * All routes of a site by path: a radix tree over the characters of the patterns, in which a param is
 * a branch that takes one segment. A look-up walks the path once and compares no string twice; it
 * allocates nothing. Among all candidates whose pattern fits, the one with the lowest order whose
 * conditions hold is the answer, so the same tree serves both orders of matching.
 */
import type { Exchange } from "../http/exchange.ts";
import type { Candidate } from "./candidate.ts";
import { isParam, type PathPattern } from "./path-pattern.ts";

/** A node with more literal branches than this finds them by table. */
const WIDE = 6;
const SLASH = 0x2f;

class Node<T> {
  /** Text of the branch that leads here; "" at the root and after a param. */
  label: string;
  readonly children: Node<T>[] = [];
  /** For wide nodes: index + 1 of the child whose label begins with that ASCII character. */
  table: Uint8Array | null = null;
  /** Takes a segment that is not empty. */
  param: Node<T> | null = null;
  /** Of those whose pattern ends here, in order. */
  readonly ends: Candidate<T>[] = [];
  /** Of those that take whatever follows, in order. */
  readonly rests: Candidate<T>[] = [];
  /** The lowest order here and below. */
  least = Infinity;

  constructor(label: string) {
    this.label = label;
  }
}

export class PathIndex<T> {
  readonly #root = new Node<T>("");
  /** Without a path or with a regex, in order. */
  readonly #anywhere: Candidate<T>[] = [];

  /** @param candidates in order of matching */
  constructor(candidates: readonly Candidate<T>[]) {
    for (const candidate of candidates) {
      const { path } = candidate;
      if (path === null || path.kind === "regex") this.#anywhere.push(candidate);
      else this.#insert(candidate, path);
    }
    finish(this.#root);
  }

  find(exchange: Exchange): Candidate<T> | null {
    const { path } = exchange;
    let best = path.charCodeAt(0) === SLASH ? search(this.#root, path, 0, exchange, null) : null;
    for (const candidate of this.#anywhere) {
      if (best !== null && candidate.order > best.order) break;
      if ((candidate.path === null || candidate.path.matches(path)) && candidate.holds(exchange)) best = candidate;
    }
    return best;
  }

  #insert(candidate: Candidate<T>, { segments, kind }: PathPattern): void {
    let node = this.#root;
    let literal = "";
    for (const segment of segments) {
      if (!isParam(segment)) {
        literal += `/${segment}`;
        continue;
      }
      node = descend(node, `${literal}/`);
      node.param ??= new Node("");
      node = node.param;
      literal = "";
    }
    node = descend(node, literal);
    if (kind !== "prefix") node.ends.push(candidate);
    else {
      // "/prefix/*" takes "/prefix" as well, which has no slash at its end. "/*" has no such second end.
      if (segments.length > 0) node.ends.push(candidate);
      descend(node, "/").rests.push(candidate);
    }
  }
}

/** The node below `node` that the text leads to; makes and splits branches as needed. */
function descend<T>(node: Node<T>, text: string): Node<T> {
  if (text === "") return node;
  const at = node.children.findIndex((child) => child.label[0] === text[0]);
  const child = node.children[at];
  if (child === undefined) {
    const leaf = new Node<T>(text);
    node.children.push(leaf);
    return leaf;
  }
  let common = 1;
  while (common < child.label.length && common < text.length && child.label[common] === text[common]) common++;
  if (common === child.label.length) return descend(child, text.slice(common));
  const middle = new Node<T>(child.label.slice(0, common));
  node.children[at] = middle;
  child.label = child.label.slice(common);
  middle.children.push(child);
  return descend(middle, text.slice(common));
}

/** Once all are in: what the look-up reads of a node besides its branches. */
function finish<T>(node: Node<T>): number {
  let least = Math.min(node.ends[0]?.order ?? Infinity, node.rests[0]?.order ?? Infinity);
  for (const child of node.children) least = Math.min(least, finish(child));
  if (node.param !== null) least = Math.min(least, finish(node.param));
  if (node.children.length > WIDE && node.children.length < 256) {
    node.table = new Uint8Array(128);
    for (const [i, child] of node.children.entries()) {
      const code = child.label.charCodeAt(0);
      if (code < 128) node.table[code] = i + 1;
    }
  }
  node.least = least;
  return least;
}

/** The best candidate at or below a node that beats `best`, else `best`. `at`: how much of the path led here. */
function search<T>(
  node: Node<T>,
  path: string,
  at: number,
  exchange: Exchange,
  best: Candidate<T> | null,
): Candidate<T> | null {
  if (at === path.length) best = first(node.ends, exchange, best);
  else {
    const child = branch(node, path, at);
    if (child !== null && (best === null || child.least < best.order)) {
      best = search(child, path, at + child.label.length, exchange, best);
    }
    const { param } = node;
    if (param !== null && (best === null || param.least < best.order) && path.charCodeAt(at) !== SLASH) {
      const slash = path.indexOf("/", at);
      best = search(param, path, slash < 0 ? path.length : slash, exchange, best);
    }
  }
  return first(node.rests, exchange, best);
}

/** The literal branch that the path goes on with. */
function branch<T>(node: Node<T>, path: string, at: number): Node<T> | null {
  const { children, table } = node;
  const code = path.charCodeAt(at);
  if (table !== null && code < 128) {
    const index = table[code]!;
    return index !== 0 && follows(path, at, children[index - 1]!.label) ? children[index - 1]! : null;
  }
  for (const child of children) {
    if (child.label.charCodeAt(0) === code) return follows(path, at, child.label) ? child : null;
  }
  return null;
}

/** As `path.startsWith(label, at)`, whose call costs more than these few comparisons. */
function follows(path: string, at: number, label: string): boolean {
  if (at + label.length > path.length) return false;
  for (let i = 1; i < label.length; i++) if (path.charCodeAt(at + i) !== label.charCodeAt(i)) return false;
  return true;
}

function first<T>(
  candidates: readonly Candidate<T>[],
  exchange: Exchange,
  best: Candidate<T> | null,
): Candidate<T> | null {
  for (const candidate of candidates) {
    if (best !== null && candidate.order > best.order) return best;
    if (candidate.holds(exchange)) return candidate;
  }
  return best;
}

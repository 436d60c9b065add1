/**
 * Candidates by the segments of their paths, to find those whose path takes everything another one's
 * takes: instead of asking each of 10,000 earlier ones, a walk along the path.
 */
import type { Candidate } from "./candidate.ts";
import { isParam, type PathPattern } from "./path-pattern.ts";

class Node<T> {
  readonly literals = new Map<string, Node<T>>();
  param: Node<T> | null = null;
  /** Their pattern ends here. */
  readonly ends: Candidate<T>[] = [];
  /** They take whatever follows. */
  readonly prefixes: Candidate<T>[] = [];
}

export class CoverTree<T> {
  readonly #root = new Node<T>();
  /** Without a path they take every one. */
  readonly #anyPath: Candidate<T>[] = [];
  /** By text: a regex is known to cover only its like. */
  readonly #regexes = new Map<string, Candidate<T>[]>();

  add(candidate: Candidate<T>): void {
    const { path } = candidate;
    if (path === null) this.#anyPath.push(candidate);
    else if (path.kind === "regex") {
      const same = this.#regexes.get(path.text);
      if (same === undefined) this.#regexes.set(path.text, [candidate]);
      else same.push(candidate);
    } else {
      let node = this.#root;
      for (const segment of path.segments) node = isParam(segment) ? below(node) : belowLiteral(node, segment);
      (path.kind === "prefix" ? node.prefixes : node.ends).push(candidate);
    }
  }

  /** Those added whose path may cover this one: all that do, and perhaps some that do not. */
  coversOf(path: PathPattern | null): Candidate<T>[] {
    const found = [...this.#anyPath];
    if (path?.kind === "regex") found.push(...(this.#regexes.get(path.text) ?? []));
    else if (path !== null) collect(this.#root, path, 0, found);
    return found;
  }
}

function below<T>(node: Node<T>): Node<T> {
  node.param ??= new Node();
  return node.param;
}

function belowLiteral<T>(node: Node<T>, segment: string): Node<T> {
  let next = node.literals.get(segment);
  if (next === undefined) {
    next = new Node();
    node.literals.set(segment, next);
  }
  return next;
}

function collect<T>(node: Node<T>, path: PathPattern, at: number, found: Candidate<T>[]): void {
  found.push(...node.prefixes);
  const segment = path.segments[at];
  if (segment === undefined) {
    found.push(...node.ends);
    return;
  }
  const literal = node.literals.get(segment);
  if (literal !== undefined) collect(literal, path, at + 1, found);
  if (node.param !== null) collect(node.param, path, at + 1, found);
}

/**
 * Things with a path, such as candidates, by its segments, to find those whose path takes everything
 * another one's takes: instead of asking each of 10,000 earlier ones, a walk along the path.
 */
import { isParam, type PathPattern } from "./path-pattern.ts";

interface WithPath {
  /** null: any. */
  readonly path: PathPattern | null;
}

class Node<T> {
  readonly literals = new Map<string, Node<T>>();
  param: Node<T> | null = null;
  /** Their pattern ends here. */
  readonly ends: T[] = [];
  /** They take whatever follows. */
  readonly prefixes: T[] = [];
}

export class CoverTree<T extends WithPath> {
  readonly #root = new Node<T>();
  /** Without a path they take every one. */
  readonly #anyPath: T[] = [];
  /** By text: a regex is known to cover only its like. */
  readonly #regexes = new Map<string, T[]>();

  add(one: T): void {
    const { path } = one;
    if (path === null) this.#anyPath.push(one);
    else if (path.kind === "regex") {
      const same = this.#regexes.get(path.text);
      if (same === undefined) this.#regexes.set(path.text, [one]);
      else same.push(one);
    } else {
      let node = this.#root;
      for (const segment of path.segments) node = isParam(segment) ? below(node) : belowLiteral(node, segment);
      (path.kind === "prefix" ? node.prefixes : node.ends).push(one);
    }
  }

  /** Those added whose path may cover this one: all that do, and perhaps some that do not. */
  coversOf(path: PathPattern | null): T[] {
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

function collect<T>(node: Node<T>, path: PathPattern, at: number, found: T[]): void {
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

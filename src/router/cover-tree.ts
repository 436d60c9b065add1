/**
 * Things that belong to paths, such as candidates, in a bucket for each pattern, by its segments, to find those whose
 * path takes everything another one's takes: instead of asking each of 10,000 earlier ones, a walk along the path.
 */
import { isParam, type PathPattern } from "./path-pattern.ts";

class Node<Bucket> {
  readonly literals = new Map<string, Node<Bucket>>();
  param: Node<Bucket> | null = null;
  /** Of patterns that end here. */
  end: Bucket | null = null;
  /** Of those that take whatever follows. */
  prefix: Bucket | null = null;
}

export class CoverTree<Bucket extends object> {
  readonly #make: () => Bucket;
  readonly #root = new Node<Bucket>();
  /** Without a path they take every one. */
  #anyPath: Bucket | null = null;
  /** By text: a regex is known to cover only its like. */
  readonly #regexes = new Map<string, Bucket>();

  constructor(make: () => Bucket) {
    this.#make = make;
  }

  /** The bucket of this path, null being any; patterns that differ in the names of their params share it. */
  at(path: PathPattern | null): Bucket {
    if (path === null) {
      this.#anyPath ??= this.#make();
      return this.#anyPath;
    }
    if (path.kind === "regex") {
      const bucket = this.#regexes.get(path.text) ?? this.#make();
      this.#regexes.set(path.text, bucket);
      return bucket;
    }
    let node = this.#root;
    for (const segment of path.segments) node = isParam(segment) ? below(node) : belowLiteral(node, segment);
    if (path.kind === "prefix") {
      node.prefix ??= this.#make();
      return node.prefix;
    }
    node.end ??= this.#make();
    return node.end;
  }

  /** Buckets of paths that may cover this one: all that do, and perhaps some that do not. */
  coversOf(path: PathPattern | null): Bucket[] {
    const found = this.#anyPath === null ? [] : [this.#anyPath];
    if (path?.kind === "regex") {
      const same = this.#regexes.get(path.text);
      if (same !== undefined) found.push(same);
    } else if (path !== null) collect(this.#root, path, 0, found);
    return found;
  }
}

function below<Bucket>(node: Node<Bucket>): Node<Bucket> {
  node.param ??= new Node();
  return node.param;
}

function belowLiteral<Bucket>(node: Node<Bucket>, segment: string): Node<Bucket> {
  let next = node.literals.get(segment);
  if (next === undefined) {
    next = new Node();
    node.literals.set(segment, next);
  }
  return next;
}

function collect<Bucket>(node: Node<Bucket>, path: PathPattern, at: number, found: Bucket[]): void {
  if (node.prefix !== null) found.push(node.prefix);
  const segment = path.segments[at];
  if (segment === undefined) {
    if (node.end !== null) found.push(node.end);
    return;
  }
  const literal = node.literals.get(segment);
  if (literal !== undefined) collect(literal, path, at + 1, found);
  if (node.param !== null) collect(node.param, path, at + 1, found);
}

/**
 * What every config language is read into: a tree of maps, lists and scalars that remembers where
 * each piece stands. Adapters build it; the schema only ever sees the plain data in it, and problems
 * are placed by walking the tree along their path.
 */
import type { Path } from "./path.ts";
import { Source, Span } from "./source.ts";

export type ConfigNode = ScalarNode | ListNode | MapNode;

export interface ScalarNode {
  readonly kind: "scalar";
  readonly value: string | number | boolean | null;
  readonly span: Span;
  /** Written without quotes, so that its type follows from its text (YAML's plain style). */
  readonly plain: boolean;
}

export interface ListNode {
  readonly kind: "list";
  readonly items: readonly ConfigNode[];
  readonly span: Span;
}

export interface MapNode {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, MapEntry>;
  readonly span: Span;
}

export interface MapEntry {
  readonly key: Span;
  readonly value: ConfigNode;
}

/** Plain data that is a map? */
export const isPlainMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The tree as plain data. */
export function toPlain(node: ConfigNode): unknown {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(toPlain);
  const plain: Record<string, unknown> = {};
  for (const [key, entry] of node.entries) {
    const value = toPlain(entry.value);
    // Assigning "__proto__" would set the prototype; as an own key the schema refuses it.
    if (key === "__proto__")
      Object.defineProperty(plain, key, { value, enumerable: true, configurable: true, writable: true });
    else plain[key] = value;
  }
  return plain;
}

/** Nodes for plain data that came from no text: their place is their path. */
export function fromPlain(value: unknown, file: string): ConfigNode {
  const source = new Source(file, null);
  return nodeOf(value, [], (path) => new Span(source, 0, 0, path));
}

/**
 * Nodes for plain data, at `path` and below.
 * @param keySpan  where a key stands, given the path of its value; by default where the value does
 */
export function nodeOf(
  value: unknown,
  path: Path,
  span: (path: Path) => Span,
  keySpan: ((path: Path) => Span) | null = null,
): ConfigNode {
  const here = span(path);
  if (Array.isArray(value)) {
    return { kind: "list", items: value.map((item, i) => nodeOf(item, [...path, i], span, keySpan)), span: here };
  }
  if (typeof value === "object" && value !== null) {
    const entries = new Map<string, MapEntry>();
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue;
      const below = [...path, key];
      const child = nodeOf(item, below, span, keySpan);
      entries.set(key, { key: keySpan?.(below) ?? child.span, value: child });
    }
    return { kind: "map", entries, span: here };
  }
  const scalar = typeof value === "string" || typeof value === "boolean" || typeof value === "number" ? value : null;
  return { kind: "scalar", value: scalar, span: here, plain: false };
}

/**
 * Where a path stands. A path that leads nowhere stands at its last step that exists: for a missing
 * key that is the key of the map it is missing from.
 *
 * @param at  "key": the key itself rather than its value
 */
export function locate(root: ConfigNode, path: Path, at: "key" | "value" = "value"): Span {
  let node = root;
  let key: Span | null = null;
  for (const step of path) {
    const entry = node.kind === "map" && typeof step === "string" ? node.entries.get(step) : undefined;
    const item = node.kind === "list" && typeof step === "number" ? node.items[step] : undefined;
    const next = entry?.value ?? item;
    if (next === undefined) return key ?? node.span;
    key = entry?.key ?? null;
    node = next;
  }
  return at === "key" && key !== null ? key : node.span;
}

/** The nodes of a TypeScript config. Where they stand is found in its text when somebody asks. */
import { type ConfigNode, isPlainMap, type MapEntry, nodeOf, toPlain } from "../../node.ts";
import { formatPath, type Path, parsePath } from "../../path.ts";
import { Source, Span, type Stretch } from "../../source.ts";
import type { Flat } from "./flatten.ts";
import { Modules } from "./module.ts";
import { Tracer } from "./tracer.ts";

/** What a config file gave, with places in its text. */
export class SoughtNodes {
  readonly #source: Source;
  readonly #text: string;
  readonly #flat: Flat;
  /** Where upstream objects stood that are entries of `upstreams` now. */
  readonly #origins: readonly { readonly name: string; readonly path: Path }[];
  /** Paths of what is no data. */
  readonly #refused: ReadonlySet<string>;
  #tracer: Tracer | null = null;

  /** @param file  as shown in messages */
  constructor(file: string, text: string, flat: Flat) {
    this.#source = new Source(file, null);
    this.#text = text;
    this.#flat = flat;
    this.#refused = new Set(flat.problems.map(({ path }) => path));
    this.#origins = Object.entries(flat.origins).map(([name, path]) => ({ name, path: parsePath(path) }));
  }

  /** The whole tree, and what of it was refused. Upstreams taken out of a `to` keep the place they were written at. */
  root(): { readonly node: ConfigNode; readonly refused: readonly Span[] } {
    const refused: Span[] = [];
    const node = this.#nodes(this.#flat.tree, [], refused);
    const upstreams = node.kind === "map" ? node.entries.get("upstreams") : undefined;
    if (node.kind !== "map" || upstreams?.value.kind !== "map") return { node, refused };
    const entries = new Map<string, MapEntry>(upstreams.value.entries);
    for (const { name, path } of this.#origins) {
      const entry = entries.get(name);
      if (entry === undefined) continue;
      const value = this.#nodes(toPlain(entry.value), path, refused);
      entries.set(name, { key: value.span, value });
    }
    const value: ConfigNode = { ...upstreams.value, entries };
    return { node: { ...node, entries: new Map(node.entries).set("upstreams", { ...upstreams, value }) }, refused };
  }

  span(path: Path, at: "key" | "value" = "value"): Span {
    return new SoughtSpan(this.#source, path, at, (steps, part) => this.#find(steps, part));
  }

  #nodes(value: unknown, path: Path, refused: Span[]): ConfigNode {
    const valueSpan = (steps: Path) => {
      const span = this.span(steps);
      if (this.#refused.size > 0 && this.#refused.has(formatPath(steps))) refused.push(span);
      return span;
    };
    return nodeOf(value, path, valueSpan, (steps) => this.span(steps, "key"));
  }

  #find(path: Path, at: "key" | "value"): Stretch | null {
    this.#tracer ??= new Tracer(new Modules(this.#source.file, this.#text), (steps) => this.#valueAt(steps));
    return this.#tracer.find(path, at);
  }

  /** What the config gave at a path of what it exported; undefined if nothing or nobody knows. */
  #valueAt(path: Path): unknown {
    const origin = this.#origins.find((one) => one.path.every((step, i) => step === path[i]));
    // The upstream itself has become its name.
    if (origin?.path.length === path.length) return origin.name;
    const steps = origin === undefined ? path : ["upstreams", origin.name, ...path.slice(origin.path.length)];
    let value = this.#flat.tree;
    for (const step of steps) {
      if (Array.isArray(value)) value = value[Number(step)];
      else if (isPlainMap(value) && Object.hasOwn(value, step)) value = value[step];
      else return undefined;
    }
    return value;
  }
}

class SoughtSpan extends Span {
  readonly #path: Path;
  readonly #at: "key" | "value";
  readonly #find: (path: Path, at: "key" | "value") => Stretch | null;
  #placed: Stretch | null = null;

  constructor(
    source: Source,
    path: Path,
    at: "key" | "value",
    find: (path: Path, at: "key" | "value") => Stretch | null,
  ) {
    super(source, 0, 0, path);
    this.#path = path;
    this.#at = at;
    this.#find = find;
  }

  /** Itself, which has no text, if it cannot be found: then the path is the place. */
  override placed(): Stretch {
    this.#placed ??= this.#find(this.#path, this.#at) ?? this;
    return this.#placed;
  }
}

/**
 * `include`: further files by patterns relative to the file that names them. Lists are joined in the
 * order of the files, maps are merged, and what is said twice is reported. A file reached twice counts
 * once; one that includes itself is a mistake.
 */
import { readFile, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import type { QuickReading } from "./adapter.ts";
import { adapterFor, adapters } from "./adapters/index.ts";
import { type Diagnostic, diagnose } from "./diagnostic.ts";
import { type Environment, substitute } from "./env.ts";
import type { ConfigNode, MapEntry, MapNode } from "./node.ts";
import { formatPath, type Path } from "./path.ts";
import { Source, Span } from "./source.ts";

export class FileReader {
  readonly diagnostics: Diagnostic[] = [];
  /** In the order read, as shown in messages. */
  readonly files: string[] = [];
  /** Values that could not be read, or whose variables could not be resolved. */
  readonly unresolved = new Set<Span>();
  readonly #env: Environment;
  readonly #read = new Set<string>();

  constructor(env: Environment) {
    this.#env = env;
  }

  /** A file with all it includes, or null if it could not be read. */
  async read(file: string): Promise<ConfigNode | null> {
    return this.#file(file, [], new Span(new Source(file, null), 0, 0, []));
  }

  /** A file that stands for itself, without includes; null if `read` has to look at it. */
  async quick(file: string): Promise<QuickReading | null> {
    const adapter = adapterFor(file);
    if (adapter?.quick === undefined) return null;
    const text = await readFile(file, "utf8").catch(() => null);
    if (text === null) return null;
    const reading = adapter.quick(text, file, adapter.variables && text.includes("${") ? this.#env : null);
    if (reading === null || "include" in reading.tree) return null;
    this.files.push(file);
    return reading;
  }

  /**
   * @param chain  files that are being read, outermost first
   * @param named  where the file was asked for
   */
  async #file(file: string, chain: readonly string[], named: Span): Promise<ConfigNode | null> {
    const adapter = adapterFor(file);
    if (adapter === null) {
      const endings = adapters.flatMap((one) => one.extensions).join(", ");
      return this.#refuse(
        named,
        "unknown-language",
        `${file} is in no language a config can be written in`,
        `file name endings: ${endings}`,
      );
    }
    let text: string;
    let real: string;
    try {
      [text, real] = await Promise.all([readFile(file, "utf8"), realpath(file)]);
    } catch (thrown) {
      return this.#refuse(named, "unreadable-file", `${file} cannot be read: ${reason(thrown)}`);
    }
    if (chain.includes(real))
      return this.#refuse(
        named,
        "include-cycle",
        `${file} includes itself${chain.length > 1 ? " by way of other files" : ""}`,
      );
    if (this.#read.has(real)) return null;
    this.#read.add(real);
    this.files.push(file);
    const reading = await adapter.read(text, file);
    this.diagnostics.push(...reading.diagnostics);
    for (const span of reading.refused ?? []) this.unresolved.add(span);
    if (reading.node === null) return null;
    const mayHold = adapter.variables && text.includes("${");
    const root = mayHold ? substitute(reading.node, this.#env, this) : reading.node;
    return root.kind === "map" ? await this.#included(root, file, [...chain, real]) : root;
  }

  async #included(root: MapNode, file: string, chain: readonly string[]): Promise<MapNode> {
    const include = root.entries.get("include")?.value;
    if (include === undefined) return root;
    const patterns = include.kind === "list" ? include.items : [include];
    // What is no text stays for the schema to refuse.
    if (!patterns.every((pattern) => pattern.kind === "scalar" && typeof pattern.value === "string")) return root;
    const entries = new Map(root.entries);
    entries.delete("include");
    let whole: MapNode = { ...root, entries };
    for (const pattern of patterns) {
      for (const found of await this.#expand(String((pattern as { value: unknown }).value), file, pattern.span)) {
        const node = await this.#file(found, chain, pattern.span);
        if (node === null) continue;
        if (node.kind === "map") whole = merge(whole, node, [], this.diagnostics);
        else if (node.kind === "list" || node.value !== null)
          this.#refuse(node.span, "bad-type", "an included file must be a map");
      }
    }
    return whole;
  }

  /** Files a pattern names, sorted. */
  async #expand(pattern: string, file: string, span: Span): Promise<string[]> {
    const full = isAbsolute(pattern) ? pattern : join(dirname(file), pattern);
    const segments = normalize(full).split("/");
    const first = segments.findIndex((segment) => /[*?[{]/.test(segment));
    if (first < 0) return [normalize(full)];
    const base = segments.slice(0, first).join("/") || (isAbsolute(full) ? "/" : ".");
    try {
      const found = await Array.fromAsync(
        new Bun.Glob(segments.slice(first).join("/")).scan({ cwd: base, onlyFiles: true }),
      );
      return found.map((name) => join(base, name)).sort();
    } catch (thrown) {
      // No folder, no files: nothing that the pattern promises is missing.
      if ((thrown as { code?: unknown }).code === "ENOENT") return [];
      this.#refuse(span, "unreadable-file", `${JSON.stringify(pattern)} cannot be looked up: ${reason(thrown)}`);
      return [];
    }
  }

  #refuse(span: Span, code: string, message: string, hint: string | null = null): null {
    this.diagnostics.push(diagnose(span, { code, message, hint }));
    return null;
  }
}

/** Things with names: one of each, so they are not merged further. */
const NAMED = new Set(["upstreams"]);

function merge(first: MapNode, second: MapNode, path: Path, diagnostics: Diagnostic[]): MapNode {
  const entries = new Map<string, MapEntry>(first.entries);
  for (const [key, entry] of second.entries) {
    const known = entries.get(key);
    const here = [...path, key];
    if (known === undefined) entries.set(key, entry);
    else if (known.value.kind === "list" && entry.value.kind === "list") {
      entries.set(key, { ...known, value: { ...known.value, items: [...known.value.items, ...entry.value.items] } });
    } else if (known.value.kind === "map" && entry.value.kind === "map" && !NAMED.has(String(path.at(-1)))) {
      entries.set(key, { ...known, value: merge(known.value, entry.value, here, diagnostics) });
    } else {
      const { source, start } = known.key.placed();
      const line = source.text === null ? "" : `:${source.place(start).line}`;
      const code = NAMED.has(String(path.at(-1)))
        ? `duplicate-${String(path.at(-1)).replace(/s$/, "")}`
        : "duplicate-key";
      diagnostics.push(
        diagnose(entry.key, {
          code,
          message: `${JSON.stringify(formatPath(here))} is set already at ${source.file}${line}`,
        }),
      );
    }
  }
  return { ...first, entries };
}

/** Why the system refused, in words. */
export function reason(thrown: unknown): string {
  const { code, message } = thrown as { code?: string; message?: string };
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES" || code === "EPERM") return "permission denied";
  if (code === "EISDIR") return "it is a directory";
  return String(message ?? thrown);
}

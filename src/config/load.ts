/** Reads a config from a file or from a plain tree, and finds all that is wrong with it in one go. */
import type { Catalog } from "./catalog.ts";
import { check } from "./check.ts";
import { type Diagnostic, diagnose, hasErrors, type Problem, sortDiagnostics } from "./diagnostic.ts";
import type { Environment } from "./env.ts";
import type { GatewayConfig } from "./gateway-config.ts";
import { FileReader } from "./include.ts";
import { problemsOf } from "./issue.ts";
import { type ConfigNode, fromPlain, locate, toPlain } from "./node.ts";
import { parsePath } from "./path.ts";
import { withProtoKeys } from "./proto-key.ts";
import { keepSame } from "./same.ts";
import { gatewaySchema } from "./schema.ts";

/**
 * Where a config comes from: a file, or a plain tree (made from flags, or resolved by another process)
 * with the name of its origin for messages.
 */
export type ConfigOrigin = { readonly file: string } | { readonly tree: unknown; readonly origin: string };

export interface LoadedConfig {
  /** null if there is an error. */
  readonly config: GatewayConfig | null;
  /** Plain data with variables and includes resolved: another process can load it again as it is. */
  readonly tree: unknown;
  /** Sorted by place. */
  readonly diagnostics: readonly Diagnostic[];
  /** Files that were read. */
  readonly files: readonly string[];
  /** A further problem at a path of the tree, such as that of a route (`RouteConfig.path`). */
  diagnose(path: string, problem: Problem): Diagnostic;
}

/**
 * Loads a config. Never throws for what is in it.
 * @param before tree of the config before: what is written the same need not be read again (same.ts)
 *
 * @example
 * const { config, diagnostics } = await loadConfig({ file: "lintel.yaml" }, catalog, process.env);
 */
export async function loadConfig(
  origin: ConfigOrigin,
  catalog: Catalog,
  env: Environment,
  before: unknown = null,
): Promise<LoadedConfig> {
  const reader = new FileReader(env);
  const judge = (config: Written) => judgeTree({ ...config, tree: keepSame(config.tree, before) }, catalog, reader);
  if ("tree" in origin) return judge(written(fromPlain(origin.tree, origin.origin)));
  const quick = await reader.quick(origin.file);
  if (quick !== null) return judge({ tree: quick.tree, root: once(quick.node) });
  const root = await reader.read(origin.file);
  if (root !== null) return judge(written(root));
  // Its syntax is broken, or it cannot be read.
  return finish(null, { tree: {}, root: () => fromPlain({}, origin.file) }, reader.diagnostics, reader.files);
}

/** What stands in a config, and its nodes for those who must know where. */
interface Written {
  readonly tree: unknown;
  root(): ConfigNode;
}

const written = (root: ConfigNode): Written => ({ tree: toPlain(root), root: () => root });

function once<T extends object>(make: () => T): () => T {
  let made: T | null = null;
  return () => {
    made ??= make();
    return made;
  };
}

function judgeTree(config: Written, catalog: Catalog, { diagnostics, unresolved, files }: FileReader): LoadedConfig {
  const { tree, root } = config;
  if (tree === null) {
    const hint = "the smallest config sends everything to one address: `sites: [{ to: localhost:3000 }]`";
    const empty = diagnose(root().span, { code: "empty-config", message: "the config is empty", hint });
    return finish(null, config, [...diagnostics, empty], files);
  }
  const schema = gatewaySchema(catalog);
  const result = schema.safeParse(tree);
  const problems = withProtoKeys(tree, [
    ...(result.success ? [] : problemsOf(result.error.issues, tree, schema, catalog)),
    ...check(tree, catalog),
  ]);
  const all = [...diagnostics];
  for (const problem of problems) {
    const span = locate(root(), problem.path, problem.at);
    if (!unresolved.has(span)) all.push(diagnose(span, problem));
  }
  return finish(result.success && !hasErrors(all) ? result.data : null, config, all, files);
}

function finish(
  config: GatewayConfig | null,
  { tree, root }: Written,
  diagnostics: readonly Diagnostic[],
  files: readonly string[],
): LoadedConfig {
  return {
    config,
    tree,
    diagnostics: sortDiagnostics(diagnostics, files),
    files,
    diagnose: (path, problem) => diagnose(locate(root(), parsePath(path), "key"), problem),
  };
}

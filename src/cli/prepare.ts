/** Finds, loads and checks the config a command works on. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Diagnostic, hasErrors, renderAll, sortDiagnostics } from "../config/diagnostic.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { type ConfigOrigin, type LoadedConfig, loadConfig } from "../config/load.ts";
import { homelessRoutes, shadowedRoutes } from "../router/unreachable.ts";
import type { FlagSpec, Flags } from "./arguments.ts";
import { catalog } from "./catalog.ts";
import { UsageError } from "./command.ts";
import { relayRoutes } from "./explain-relay.ts";
import { type Destination, sitesOf } from "./route-table.ts";
import type { Terminal } from "./terminal.ts";
import { tryMiddlewares } from "./trial.ts";

export const CONFIG: FlagSpec = {
  name: "config",
  short: "c",
  value: "FILE",
  summary: "The config. Default: lintel.config.ts, lintel.yaml, lintel.yml or lintel.json here.",
};

/** Looked for in the working folder. */
export const DEFAULT_CONFIGS = ["lintel.config.ts", "lintel.yaml", "lintel.yml", "lintel.json"];

export interface Prepared extends LoadedConfig {
  /** What the config is called in messages. */
  readonly origin: string;
  /** Where relative paths in it start. */
  readonly directory: string;
}

/** The file `--config` names, or the one that is here. */
export function configFile(flags: Flags): string {
  const given = flags.get("config");
  if (given !== null) return given;
  const found = DEFAULT_CONFIGS.find((name) => existsSync(name));
  if (found !== undefined) return found;
  throw new UsageError(
    `there is no config here: none of ${DEFAULT_CONFIGS.join(", ")}`,
    "name one with --config FILE, or try `lintel run --to localhost:3000`",
  );
}

/** A config that can be served or not, before all that is odd about it is known. */
export interface Loaded extends Prepared {
  /** Warnings that take a while to find and keep nothing from being served. */
  warnings(): readonly Diagnostic[];
}

/**
 * Loads a config and adds what shows only later: middlewares that cannot be created.
 * @param directory where relative paths start, for a tree; by default here
 * @param before tree of the config in force
 */
export async function load(origin: ConfigOrigin, directory = process.cwd(), before?: unknown): Promise<Loaded> {
  const loaded = await loadConfig(origin, catalog, process.env, before);
  const start = "file" in origin ? dirname(resolve(origin.file)) : directory;
  const { config } = loaded;
  const failed = config === null ? [] : tryMiddlewares(config, start);
  const diagnostics = [...loaded.diagnostics, ...failed.map(({ path, problem }) => loaded.diagnose(path, problem))];
  return {
    ...loaded,
    config: hasErrors(diagnostics) ? null : config,
    diagnostics: sortDiagnostics(diagnostics, loaded.files),
    origin: "file" in origin ? origin.file : origin.origin,
    directory: start,
    warnings: () =>
      config === null ? [] : [...unreachableRoutes(loaded, config), ...unreachableRelays(loaded, config)],
  };
}

/** The same with everything that is odd about it: routes that can never match. */
export async function prepare(origin: ConfigOrigin, directory?: string): Promise<Prepared> {
  const { warnings, ...loaded } = await load(origin, directory);
  return { ...loaded, diagnostics: sortDiagnostics([...loaded.diagnostics, ...warnings()], loaded.files) };
}

function unreachableRoutes(loaded: LoadedConfig, config: GatewayConfig): Diagnostic[] {
  const table = { sites: sitesOf(config) };
  const homeless = homelessRoutes(table);
  const elsewhere = new Set(homeless.map(({ route }) => route));
  return [
    ...homeless.map(({ route: { target }, wanted, hosts }) => {
      const message = `${title(target)} can never match: site ${JSON.stringify(target.site.name)} does not take ${wanted.length === 1 ? "its host" : "any of its hosts"}, ${wanted.map((one) => JSON.stringify(one)).join(", ")}`;
      const hint = `hosts of the site: ${hosts.join(", ")}`;
      return loaded.diagnose(`${target.route.path}.match.host`, { code: "unreachable-route", message, hint });
    }),
    ...shadowedRoutes(table).flatMap(({ route, by }) => {
      if (elsewhere.has(route)) return [];
      const before = by.map(({ target }) => `${title(target)} at ${place(loaded, target.route.path)}`);
      const who =
        before.length === 1 ? `${before[0]} takes` : `${before.slice(0, -1).join(", ")} and ${before.at(-1)} take`;
      const message = `${title(route.target)} can never match: ${who} every request first`;
      return [loaded.diagnose(route.target.route.path, { code: "unreachable-route", message })];
    }),
  ];
}

function unreachableRelays(loaded: LoadedConfig, { tcp, udp }: GatewayConfig): Diagnostic[] {
  return [...tcp, ...udp].flatMap((entry) =>
    relayRoutes(entry)
      .unreachable()
      .map(({ spec, by }) => {
        const message = `route ${JSON.stringify(spec.name)} can never match: route ${JSON.stringify(by.name)} at ${place(loaded, by.target.path)} takes every client first`;
        return loaded.diagnose(spec.target.path, { code: "unreachable-route", message });
      }),
  );
}

function title({ site, route }: Destination): string {
  return route.path === site.path
    ? `the "to" of site ${JSON.stringify(site.name)}`
    : `route ${JSON.stringify(route.name)}`;
}

function place(loaded: LoadedConfig, path: string): string {
  const { file, line, path: shown } = loaded.diagnose(path, { code: "", message: "" });
  if (line === null) return shown;
  return loaded.files.length > 1 || file !== loaded.files[0] ? `${file}:${line}` : `line ${line}`;
}

/** For commands that need a config that works: its problems go to standard error; null if it does not. */
export async function usable(
  origin: ConfigOrigin,
  terminal: Terminal,
  directory?: string,
): Promise<(Prepared & { readonly config: GatewayConfig }) | null> {
  const prepared = await prepare(origin, directory);
  if (prepared.diagnostics.length > 0) terminal.error(renderAll(prepared.diagnostics, terminal.errorPaint));
  const { config } = prepared;
  return config === null ? null : { ...prepared, config };
}

/**
 * A config on its way to a worker. The supervisor has read and checked it, so a worker need not do that
 * again, which would hold up its traffic for as long as it takes: it gets the result, sites in pieces
 * of text, and reads only the options of middlewares and balancers, which may have become more than data.
 *
 * Of sites and routes that the worker serves already it is only told which ones stay: it goes on with
 * the same objects, and with all that was made of them. (`path` in them may be that of before.)
 */
import type { z } from "zod";
import type { GatewayConfig, NamedOptions, RouteConfig, SiteConfig } from "../config/gateway-config.ts";
import { middlewares } from "../middleware/index.ts";
import type { Slices } from "../net/slices.ts";
import { balancers } from "../upstream/balancers/index.ts";
import { isSameRoute, isSameSite } from "./config-changes.ts";

/** What a message between processes can carry. */
export interface PackedConfig {
  /** All but the sites, with options as they were written, and without what only the supervisor does. */
  readonly common: GatewayConfig;
  /** The sites in order: JSON of what is new (`NewPiece`), in pieces that are short to read, and what stays. */
  readonly pieces: readonly (string | KeptSites | KeptRoutes)[];
}

interface NewPiece {
  /** null: its routes belong to the site of the piece before. */
  readonly site: SiteConfig | null;
  readonly routes: readonly RouteConfig[];
}

/** So many sites of the config before, from one of them on, as they are. */
interface KeptSites {
  readonly firstSite: number;
  readonly sites: number;
}

/** Routes of a site of the config before; they belong to the site of the piece before. */
interface KeptRoutes {
  readonly site: number;
  readonly firstRoute: number;
  readonly routes: number;
}

const ROUTES_PER_PIECE = 100;

/** @param before the config that the worker serves; null: none */
export function packConfig(config: GatewayConfig, before: GatewayConfig | null = null): PackedConfig {
  const upstreams = config.upstreams.map((upstream) => ({
    ...upstream,
    endpoints: [],
    balance: bare(upstream.balance),
    discover: [],
    health: { ...upstream.health, check: null },
  }));
  const pieces: (string | KeptSites | KeptRoutes)[] = [];
  const known = new Map(before?.sites.map((site, i) => [site.name, i]));
  let run: { firstSite: number; sites: number } | null = null;
  for (const site of config.sites) {
    const at = known.get(site.name);
    const parts = at === undefined ? packSite(site, null, 0) : packSite(site, before!.sites[at]!, at);
    if (parts !== null) {
      run = null;
      pieces.push(...parts);
    } else if (run !== null && run.firstSite + run.sites === at) run.sites++;
    else {
      run = { firstSite: at!, sites: 1 };
      pieces.push(run);
    }
  }
  return { common: { ...config, upstreams, sites: [] }, pieces };
}

/** @returns null if the site stays as it is */
function packSite(site: SiteConfig, before: SiteConfig | null, at: number): PackedConfig["pieces"] | null {
  const runs = keptRuns(site.routes, before?.routes ?? []);
  const [all] = runs;
  const length = site.routes.length;
  const areAllKept = all?.from === 0 && all.to === length && before?.routes.length === length;
  if (before !== null && areAllKept && isSameSite(before, site)) return null;
  const head: NewPiece = { site: { ...site, use: site.use.map(bare), routes: [] }, routes: [] };
  const pieces: (string | KeptRoutes)[] = [JSON.stringify(head)];
  let next = 0;
  const addNew = (end: number) => {
    for (; next < end; next += ROUTES_PER_PIECE) {
      const routes = site.routes.slice(next, Math.min(end, next + ROUTES_PER_PIECE)).map(bareRoute);
      pieces.push(JSON.stringify({ site: null, routes } satisfies NewPiece));
    }
    next = end;
  };
  for (const { from, to, first } of runs) {
    addNew(from);
    pieces.push({ site: at, firstRoute: first, routes: to - from });
    next = to;
  }
  addNew(length);
  return pieces;
}

/** Routes `from` to `to` (exclusive) are those that begin at `first` in the list before. */
interface Run {
  readonly from: number;
  to: number;
  readonly first: number;
}

function keptRuns(routes: readonly RouteConfig[], before: readonly RouteConfig[]): Run[] {
  const runs: Run[] = [];
  let places: Map<string, number> | null = null;
  /** Where the next one is, if the routes stand in the order of before. */
  let expected = 0;
  for (const [i, route] of routes.entries()) {
    let old = before[expected];
    if (old?.name !== route.name) {
      places ??= new Map(before.map(({ name }, place) => [name, place]));
      expected = places.get(route.name) ?? expected;
      old = before[expected];
    }
    if (old?.name !== route.name) continue;
    const last = runs.at(-1);
    if (isSameRoute(old, route)) {
      if (last?.to === i && last.first + (i - last.from) === expected) last.to++;
      else runs.push({ from: i, to: i + 1, first: expected });
    }
    expected++;
  }
  return runs;
}

/** A worker's way to read what is sent to it, over all its configs. */
export class ConfigUnpacker {
  readonly #readMiddleware = new OptionsReader(middlewares);
  readonly #readBalancer = new OptionsReader(balancers);

  /** @param before the config that it was packed against */
  async unpack({ common, pieces }: PackedConfig, before: GatewayConfig | null, slices: Slices): Promise<GatewayConfig> {
    const sites: SiteConfig[] = [];
    const old = before?.sites ?? [];
    this.#readBalancer.forget(before?.upstreams.map(({ balance }) => balance) ?? []);
    this.#readMiddleware.forget(old.flatMap(({ use, routes }) => [use, ...routes.map((route) => route.use)]).flat());
    let routes: RouteConfig[] = [];
    for (const piece of pieces) {
      if (slices.isOver) await slices.next();
      if (typeof piece !== "string") {
        if ("firstSite" in piece) sites.push(...old.slice(piece.firstSite, piece.firstSite + piece.sites));
        else routes.push(...old[piece.site]!.routes.slice(piece.firstRoute, piece.firstRoute + piece.routes));
        continue;
      }
      const read = JSON.parse(piece) as NewPiece;
      if (read.site !== null) {
        routes = [];
        sites.push({ ...read.site, use: read.site.use.map(this.#readMiddleware.read), routes });
      }
      for (const route of read.routes) {
        if (slices.isOver) await slices.next();
        routes.push(route.use.length === 0 ? route : { ...route, use: route.use.map(this.#readMiddleware.read) });
      }
    }
    const upstreams = common.upstreams.map((upstream) => ({
      ...upstream,
      balance: this.#readBalancer.read(upstream.balance),
    }));
    return { ...common, upstreams, sites };
  }
}

/** Without what reading made of it. */
const bare = <Named extends NamedOptions>(named: Named): Named => ({ ...named, options: null });

const bareRoute = (route: RouteConfig): RouteConfig => ({ ...route, use: route.use.map(bare) });

/** Reads options as the config's schema did. What is written the same is read once, also over reloads: it has the same options. */
class OptionsReader {
  readonly #schemas: ReadonlyMap<string, z.ZodType>;
  readonly #known = new Map<string, unknown>();

  constructor(definitions: readonly { readonly name: string; readonly options: z.ZodType }[]) {
    this.#schemas = new Map(definitions.map(({ name, options }) => [name, options]));
  }

  readonly read = <Named extends NamedOptions>(named: Named): Named => {
    const text = `${named.name} ${JSON.stringify(named.written ?? {})}`;
    let options = this.#known.get(text);
    if (options === undefined) {
      options = this.#schemas.get(named.name)!.parse(named.written ?? {});
      this.#known.set(text, options);
    }
    return { ...named, options };
  };

  /** All but what is in use. */
  forget(used: readonly NamedOptions[]): void {
    const kept = new Set(used.map(({ options }) => options));
    for (const [text, options] of this.#known) if (!kept.has(options)) this.#known.delete(text);
  }
}

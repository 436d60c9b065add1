/**
 * A config on its way to a worker. The supervisor has read and checked it, so a worker need not do that
 * again, which would hold up its traffic for as long as it takes: it gets the result, sites in pieces
 * of text, and reads only the options of middlewares and balancers, which may have become more than data.
 */
import type { z } from "zod";
import type { GatewayConfig, NamedOptions, RouteConfig, SiteConfig } from "../config/gateway-config.ts";
import { middlewares } from "../middleware/index.ts";
import type { Slices } from "../net/slices.ts";
import { balancers } from "../upstream/balancers/index.ts";

/** What a message between processes can carry. */
export interface PackedConfig {
  /** All but the sites, with options as they were written, and without what only the supervisor does. */
  readonly common: GatewayConfig;
  /** JSON of sites, each with some of its routes: pieces that are short to read. */
  readonly pieces: readonly string[];
}

interface Piece {
  /** null: its routes belong to the site of the piece before. */
  readonly site: SiteConfig | null;
  readonly routes: readonly RouteConfig[];
}

const ROUTES_PER_PIECE = 100;

export function packConfig(config: GatewayConfig): PackedConfig {
  const upstreams = config.upstreams.map((upstream) => ({
    ...upstream,
    balance: bare(upstream.balance),
    discover: [],
    health: { ...upstream.health, check: null },
  }));
  const pieces = config.sites.flatMap((site) => {
    const routes = site.routes.map((route) => ({ ...route, use: route.use.map(bare) }));
    const parts: string[] = [];
    for (let at = 0; at === 0 || at < routes.length; at += ROUTES_PER_PIECE) {
      const head = at === 0 ? { ...site, use: site.use.map(bare), routes: [] } : null;
      parts.push(JSON.stringify({ site: head, routes: routes.slice(at, at + ROUTES_PER_PIECE) } satisfies Piece));
    }
    return parts;
  });
  return { common: { ...config, upstreams, sites: [] }, pieces };
}

export async function unpackConfig({ common, pieces }: PackedConfig, slices: Slices): Promise<GatewayConfig> {
  const readMiddleware = reader(middlewares);
  const readBalancer = reader(balancers);
  const sites: { -readonly [Key in keyof SiteConfig]: SiteConfig[Key] }[] = [];
  for (const text of pieces) {
    if (slices.isOver) await slices.next();
    const { site, routes } = JSON.parse(text) as Piece;
    if (site !== null) sites.push({ ...site, use: site.use.map(readMiddleware) });
    const full: RouteConfig[] = [];
    for (const route of routes) {
      if (slices.isOver) await slices.next();
      full.push(route.use.length === 0 ? route : { ...route, use: route.use.map(readMiddleware) });
    }
    const last = sites.at(-1)!;
    last.routes = last.routes.concat(full);
  }
  const upstreams = common.upstreams.map((upstream) => ({ ...upstream, balance: readBalancer(upstream.balance) }));
  return { ...common, upstreams, sites };
}

/** Without what reading made of it. */
const bare = <Named extends NamedOptions>(named: Named): Named => ({ ...named, options: null });

/** Reads options as the config's schema did. What is written the same is read once. */
function reader(definitions: readonly { readonly name: string; readonly options: z.ZodType }[]) {
  const schemas = new Map(definitions.map(({ name, options }) => [name, options]));
  const known = new Map<string, unknown>();
  return <Named extends NamedOptions>(named: Named): Named => {
    const text = `${named.name} ${JSON.stringify(named.written ?? {})}`;
    let options = known.get(text);
    if (options === undefined) {
      options = schemas.get(named.name)!.parse(named.written ?? {});
      known.set(text, options);
    }
    return { ...named, options };
  };
}

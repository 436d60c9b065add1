/** What is different between two configs: for people, and for what cannot change while the program runs. */
import type {
  GatewayConfig,
  ListenerConfig,
  NamedOptions,
  RouteConfig,
  SiteConfig,
  UpstreamConfig,
} from "../config/gateway-config.ts";

/** Settings that hold for the life of the program, by their name in the config. */
const FIXED = ["workers", "user", "admin", "zone", "state"] as const;

/**
 * The config as far as it can be put in force now.
 * @returns with names of the settings that stay as they are
 */
export function keepFixed(
  next: GatewayConfig,
  current: GatewayConfig,
): { readonly config: GatewayConfig; readonly kept: readonly string[] } {
  const kept: string[] = FIXED.filter((name) => !Bun.deepEquals(next[name], current[name]));
  if (!Bun.deepEquals(next.telemetry.log, current.telemetry.log)) kept.push("telemetry.log");
  if (kept.length === 0) return { config: next, kept };
  const { workers, user, admin, zone, state } = current;
  const telemetry = { ...next.telemetry, log: current.telemetry.log };
  return { config: { ...next, workers, user, admin, zone, state, telemetry }, kept };
}

/** More would not be read. */
const MOST_LINES = 100;

/** One line for each thing that is different, such as `route "shop" of site "main" is new`. */
export function describeChanges(from: GatewayConfig, to: GatewayConfig): string[] {
  const lines = [
    ...compare(from.listeners, to.listeners, listenerTitle, (one) => one),
    ...compare(from.upstreams, to.upstreams, upstreamTitle, upstreamFacts),
    ...compare(from.sites, to.sites, siteTitle, siteFacts),
    ...routesOf(from, to),
    ...settings(from, to),
  ];
  if (lines.length <= MOST_LINES) return lines;
  return [...lines.slice(0, MOST_LINES), `and ${lines.length - MOST_LINES} more changes`];
}

const quoted = (name: string): string => JSON.stringify(name);
const listenerTitle = ({ name }: ListenerConfig): string => `listener ${quoted(name)}`;
const upstreamTitle = ({ name }: UpstreamConfig): string => `upstream ${quoted(name)}`;
const siteTitle = ({ name }: SiteConfig): string => `site ${quoted(name)}`;

function compare<One>(
  from: readonly One[],
  to: readonly One[],
  title: (one: One) => string,
  facts: (one: One) => unknown,
): string[] {
  const before = new Map(from.map((one) => [title(one), one]));
  const after = new Set(to.map(title));
  const lines: string[] = [];
  for (const one of to) {
    const old = before.get(title(one));
    if (old === undefined) lines.push(`${title(one)} is new`);
    else if (JSON.stringify(facts(old)) !== JSON.stringify(facts(one))) lines.push(`${title(one)} is changed`);
  }
  for (const name of before.keys()) if (!after.has(name)) lines.push(`${name} is gone`);
  return lines;
}

/** Routes of sites that are in both. */
function routesOf(from: GatewayConfig, to: GatewayConfig): string[] {
  const before = new Map(from.sites.map((site) => [site.name, site]));
  return to.sites.flatMap((site) => {
    const old = before.get(site.name);
    if (old === undefined) return [];
    const title = ({ name }: RouteConfig) => `route ${quoted(name)} of ${siteTitle(site)}`;
    const lines = compare(old.routes, site.routes, title, routeFacts);
    const order = (routes: readonly RouteConfig[]) => routes.map(({ name }) => name).join("\n");
    if (lines.length === 0 && order(old.routes) !== order(site.routes)) {
      lines.push(`routes of ${siteTitle(site)} stand in another order`);
    }
    return lines;
  });
}

// Where something stands in the file is no change of it, and options are compared as they are written:
// what was made of them may be more than data.
const namedFacts = ({ name, options, written }: NamedOptions): unknown => ({ name, written: written ?? options });

const siteFacts = ({ hosts, listeners, order, use }: SiteConfig): unknown => ({
  hosts,
  listeners,
  order,
  use: use.map(namedFacts),
});

const routeFacts = ({ match, use, to }: RouteConfig): unknown => ({ match, use: use.map(namedFacts), to });

function upstreamFacts({ balance, discover, health, ...more }: UpstreamConfig): unknown {
  const { check } = health;
  return {
    ...more,
    balance: namedFacts(balance),
    discover: discover.map(namedFacts),
    health: { ...health, check: check === null ? null : { ...check, kind: namedFacts(check.kind) } },
  };
}

const NAMED_ABOVE = new Set<string>(["listeners", "upstreams", "sites", ...FIXED]);

function settings(from: GatewayConfig, to: GatewayConfig): string[] {
  return (Object.keys(to) as (keyof GatewayConfig)[])
    .filter((name) => !NAMED_ABOVE.has(name) && !Bun.deepEquals(from[name], to[name]))
    .map((name) => `${name} is changed`);
}

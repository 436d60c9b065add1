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
  if (!Bun.deepEquals(next.limits.http3, current.limits.http3)) kept.push("limits.http3");
  if (kept.length === 0) return { config: next, kept };
  const { workers, user, admin, zone, state } = current;
  const telemetry = { ...next.telemetry, log: current.telemetry.log };
  const limits = { ...next.limits, http3: current.limits.http3 };
  return { config: { ...next, workers, user, admin, zone, state, telemetry, limits }, kept };
}

/** More would not be read. */
const MOST_LINES = 100;

/** One line for each thing that is different, such as `route "shop" of site "main" is new`. */
export function describeChanges(from: GatewayConfig, to: GatewayConfig): string[] {
  const lines = [
    ...compare(from.listeners, to.listeners, (name) => `listener ${quoted(name)}`, isSameListener),
    ...compare(from.tcp, to.tcp, (name) => `tcp ${quoted(name)}`, Bun.deepEquals),
    ...compare(from.udp, to.udp, (name) => `udp ${quoted(name)}`, Bun.deepEquals),
    ...compare(from.upstreams, to.upstreams, (name) => `upstream ${quoted(name)}`, isSameUpstream),
    ...compare(from.sites, to.sites, (name) => `site ${quoted(name)}`, isSameSite),
    ...routesOf(from, to),
    ...settings(from, to),
  ];
  if (lines.length <= MOST_LINES) return lines;
  return [...lines.slice(0, MOST_LINES), `and ${lines.length - MOST_LINES} more changes`];
}

interface Named {
  readonly name: string;
}

const quoted = (name: string): string => JSON.stringify(name);

/** @param title of a thing, without its name */
function compare<One extends Named>(
  from: readonly One[],
  to: readonly One[],
  title: (name: string) => string,
  isSame: (a: One, b: One) => boolean,
): string[] {
  const before = new Map(from.map((one) => [one.name, one]));
  const lines: string[] = [];
  for (const one of to) {
    const old = before.get(one.name);
    if (old === undefined) lines.push(`${title(one.name)} is new`);
    else if (!isSame(old, one)) lines.push(`${title(one.name)} is changed`);
    before.delete(one.name);
  }
  for (const name of before.keys()) lines.push(`${title(name)} is gone`);
  return lines;
}

/** Routes of sites that are in both. */
function routesOf(from: GatewayConfig, to: GatewayConfig): string[] {
  const before = new Map(from.sites.map((site) => [site.name, site]));
  return to.sites.flatMap(({ name, routes }) => {
    const old = before.get(name)?.routes;
    if (old === undefined) return [];
    const lines = compare(old, routes, (route) => `route ${quoted(route)} of site ${quoted(name)}`, isSameRoute);
    const isMoved = routes.length === old.length && routes.some((route, i) => route.name !== old[i]!.name);
    if (lines.length === 0 && isMoved) lines.push(`routes of site ${quoted(name)} stand in another order`);
    return lines;
  });
}

// Where something stands in the file is no change of it, and options are compared as they are written:
// what was made of them may be more than data.
const isSameNamed = (a: NamedOptions, b: NamedOptions): boolean =>
  a.name === b.name && (a.options === b.options || Bun.deepEquals(a.written ?? a.options, b.written ?? b.options));

const isSameList = (a: readonly NamedOptions[], b: readonly NamedOptions[]): boolean =>
  a.length === b.length && a.every((one, i) => isSameNamed(one, b[i]!));

const isSameListener = (a: ListenerConfig, b: ListenerConfig): boolean => Bun.deepEquals(a, b);

/** Whether two say the same, whatever they are called. */
export const isSameRoute = (a: RouteConfig, b: RouteConfig): boolean =>
  isSameList(a.use, b.use) && isSameBut(a, b, ["name", "use", "path"]);

/** The same, but for their routes. */
export const isSameSite = (a: SiteConfig, b: SiteConfig): boolean =>
  isSameList(a.use, b.use) && isSameBut(a, b, ["name", "use", "path", "routes"]);

/** All other members, also those that come to be: a worker keeps what is the same here (packed-config.ts). */
function isSameBut<T extends object>(a: T, b: T, except: readonly (keyof T)[]): boolean {
  for (const key of Object.keys(a) as (keyof T)[]) {
    if (a[key] !== b[key] && !except.includes(key) && !Bun.deepEquals(a[key], b[key])) return false;
  }
  return true;
}

function isSameUpstream(a: UpstreamConfig, b: UpstreamConfig): boolean {
  if (!isSameNamed(a.balance, b.balance) || !isSameList(a.discover, b.discover)) return false;
  const [checkA, checkB] = [a.health.check, b.health.check];
  if (checkA !== null && checkB !== null && !isSameNamed(checkA.kind, checkB.kind)) return false;
  return Bun.deepEquals(withoutOptions(a), withoutOptions(b));
}

function withoutOptions({ balance: _, discover: __, health, ...more }: UpstreamConfig): unknown {
  const { check } = health;
  return { ...more, health: { ...health, check: check === null ? null : { ...check, kind: null } } };
}

const NAMED_ABOVE = new Set<string>(["listeners", "upstreams", "sites", "tcp", "udp", ...FIXED]);

function settings(from: GatewayConfig, to: GatewayConfig): string[] {
  return (Object.keys(to) as (keyof GatewayConfig)[])
    .filter((name) => !NAMED_ABOVE.has(name) && !Bun.deepEquals(from[name], to[name]))
    .map((name) => `${name} is changed`);
}

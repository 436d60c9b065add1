/** From what the schema read to a `GatewayConfig`: shorthands written out, names given, addresses in `to` made upstreams. */
import type { GatewayConfig, MiddlewareConfig, RouteConfig, SiteConfig, UpstreamConfig } from "./gateway-config.ts";
import type { RelayRouteConfig, TcpConfig, UdpConfig } from "./relay-config.ts";
import type { ParsedEntry } from "./schema/entry.ts";
import { defaultListeners } from "./schema/listener.ts";
import type { ParsedTcp, ParsedUdp } from "./schema/relay.ts";
import type { ParsedSite } from "./schema/site.ts";
import type { ParsedEndpoint, ParsedUpstream, UpstreamOf } from "./schema/upstream.ts";
import type { ParsedConfig } from "./schema.ts";

export function normalise(parsed: ParsedConfig, ofEndpoints: UpstreamOf): GatewayConfig {
  const { timeouts } = parsed;
  const upstreams = new Map<string, UpstreamConfig>();
  const add = (name: string, upstream: ParsedUpstream) => {
    const {
      connect = timeouts.connect,
      firstOctet = timeouts.firstOctet,
      idle = timeouts.upstreamIdle,
    } = upstream.timeouts;
    upstreams.set(name, { name, ...upstream, timeouts: { connect, firstOctet, idle } });
  };
  for (const [name, upstream] of Object.entries(parsed.upstreams)) add(name, upstream);

  /** The upstream's name. The same addresses written twice are the same upstream, with one pool. */
  const resolve = (to: string | readonly ParsedEndpoint[] | undefined): string | null => {
    if (to === undefined) return null;
    if (typeof to === "string") return to;
    const name = to.map(endpointName).join(",");
    if (!upstreams.has(name)) add(name, ofEndpoints(to));
    return name;
  };

  const listeners = parsed.listeners ?? (parsed.sites.length === 0 ? [] : defaultListeners());
  const listenerNames = listeners.map((listener) => listener.name);
  const names = siteNames(parsed.sites);
  const sites = parsed.sites.map((site, i): SiteConfig => {
    const path = `sites[${i}]`;
    const name = names[i]!;
    const routes = site.routes.map((route, j): RouteConfig => {
      const at = `${path}.routes[${j}]`;
      return {
        name: route.name ?? `${name}/${j + 1}`,
        match: route.match,
        use: chain(route.use, at),
        to: resolve(route.to),
        path: at,
      };
    });
    // What no route takes goes to the site's own `to`; a site without routes is one route for everything.
    if (site.to !== undefined || routes.length === 0) {
      routes.push({ name: `${name}/${routes.length + 1}`, match: {}, use: [], to: resolve(site.to), path });
    }
    return {
      name,
      hosts: site.hosts === undefined || site.hosts.includes("*") ? [] : [...new Set(site.hosts)],
      listeners: site.listeners ?? listenerNames,
      tls: site.tls ?? null,
      use: chain(site.use, path),
      order: site.order,
      routes,
      path,
    };
  });

  const relayRoutes = (entry: ParsedTcp | ParsedUdp, name: string, path: string): RelayRouteConfig[] => {
    const routes = entry.routes.map((route, j): RelayRouteConfig => {
      const to = resolve(route.to)!;
      return { name: route.name ?? `${name}/${j + 1}`, match: route.match, to, path: `${path}.routes[${j}]` };
    });
    if (entry.to === undefined) return routes;
    return [...routes, { name: `${name}/${routes.length + 1}`, match: {}, to: resolve(entry.to)!, path }];
  };
  const tcp = parsed.tcp.map((entry, i): TcpConfig => {
    const { name = entry.listen[0]!, to: _, ...rest } = entry;
    return { ...rest, name, routes: relayRoutes(entry, name, `tcp[${i}]`), path: `tcp[${i}]` };
  });
  const udp = parsed.udp.map((entry, i): UdpConfig => {
    const { name = `${entry.listen[0]}/udp`, to: _, ...rest } = entry;
    return { ...rest, name, routes: relayRoutes(entry, name, `udp[${i}]`), path: `udp[${i}]` };
  });

  return {
    workers: parsed.workers,
    user: parsed.user ?? null,
    listeners,
    trustedProxies: parsed.trustedProxies,
    tls: parsed.tls,
    limits: parsed.limits,
    timeouts,
    upstreams: [...upstreams.values()],
    sites,
    tcp,
    udp,
    admin: parsed.admin,
    telemetry: parsed.telemetry,
    locality: parsed.locality ?? null,
    state: parsed.state ?? null,
    reload: parsed.reload,
    zone: parsed.zone,
  };
}

/** All that is said of an endpoint, as short as can be: usually only its address. */
function endpointName({ address, weight, backup, priority, locality, maxInFlight }: ParsedEndpoint): string {
  return (
    address +
    (weight === 1 ? "" : `*${weight}`) +
    (backup ? "~backup" : "") +
    (priority === 0 ? "" : `~${priority}`) +
    (locality === undefined ? "" : `@${locality}`) +
    (maxInFlight === undefined ? "" : `<=${maxInFlight}`)
  );
}

function chain(use: readonly ParsedEntry[], path: string): MiddlewareConfig[] {
  return use.map(({ name, options, written }, i) => ({ name, options, written, path: `${path}.use[${i}]` }));
}

/** Given names as they are; the others after their first host, with a number where that is taken. */
export function siteNames(sites: readonly Pick<ParsedSite, "name" | "hosts">[]): string[] {
  const taken = new Set(sites.flatMap((site) => site.name ?? []));
  return sites.map((site, i) => {
    if (site.name !== undefined) return site.name;
    const wanted = site.hosts?.[0] ?? `site-${i + 1}`;
    let name = wanted;
    for (let n = 2; taken.has(name); n++) name = `${wanted}-${n}`;
    taken.add(name);
    return name;
  });
}

/** The route table of a config, for looking at: what a route hands back is its own config. */
import type { GatewayConfig, RouteConfig, SiteConfig } from "../config/gateway-config.ts";
import { RouteTable } from "../router/table.ts";

/** What a route of the table leads to. */
export interface Destination {
  readonly site: SiteConfig;
  readonly route: RouteConfig;
}

export function routeTable(config: GatewayConfig): RouteTable<Destination> {
  return RouteTable.of(
    config.sites.map((site) => ({
      name: site.name,
      hosts: site.hosts,
      listeners: site.listeners,
      order: site.order,
      routes: site.routes.map((route) => ({ name: route.name, match: route.match, target: { site, route } })),
    })),
  );
}

/** Names of the middlewares an exchange passes, in order. */
export function chain({ site, route }: Destination): string[] {
  return [...site.use, ...route.use].map((middleware) => middleware.name);
}

/** The route table of a config, for looking at: what a route hands back is its own config. */
import { runSteps } from "../base/steps.ts";
import type { GatewayConfig, RouteConfig, SiteConfig } from "../config/gateway-config.ts";
import { RouteTable, Site, type SiteSpec } from "../router/table.ts";

/** What a route of the table leads to. */
export interface Destination {
  readonly site: SiteConfig;
  readonly route: RouteConfig;
}

export function routeTable(config: GatewayConfig): RouteTable<Destination> {
  return RouteTable.of(config.sites.map(specOf));
}

/** The sites with their routes in order of matching, which is all there is to compare: the table's index takes twice as long. */
export function sitesOf(config: GatewayConfig): Site<Destination>[] {
  return config.sites.map((site) => runSteps(Site.build(specOf(site))));
}

function specOf(site: SiteConfig): SiteSpec<Destination> {
  const { name, hosts, listeners, order } = site;
  const routes = site.routes.map((route) => ({ name: route.name, match: route.match, target: { site, route } }));
  return { name, hosts, listeners, order, routes };
}

/** Names of the middlewares an exchange passes, in order. */
export function chain({ site, route }: Destination): string[] {
  return [...site.use, ...route.use].map((middleware) => middleware.name);
}

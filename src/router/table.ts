/**
 * The route table: from an exchange to the route that answers it.
 *
 * First the site, by host: the exact name, then `*.x`, then the longest `.x`, then regexes in the
 * order of the file, then the first site without hosts. Only sites of the exchange's listener count.
 * Then, within that site alone, the route. The most specific one that matches wins:
 *  1. an exact path; then a pattern with params, the one with more literal text before its first
 *     param first, then the one with more segments; then a prefix, likewise; then a regex; then a
 *     route without a path;
 *  2. of equals, the one with more conditions besides the path;
 *  3. of equals, the one that comes first in the file.
 * A route with several paths stands at the place of each. With `order: file` only the file counts.
 *
 * Everything that can be is decided when the table is built; it knows nothing of what a route does.
 */
import type { MatchConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";
import { byPosition, bySpecificity, Candidate } from "./candidate.ts";
import { type HostEntry, HostMap } from "./host-map.ts";
import { conditionsOf } from "./match.ts";
import { PathIndex } from "./path-index.ts";
import { PathPattern } from "./path-pattern.ts";

export interface RouteSpec<T> {
  readonly name: string;
  /** `{}` takes everything. */
  readonly match: MatchConfig;
  /** What the table hands back: a handler, say. */
  readonly target: T;
}

export interface SiteSpec<T> {
  readonly name: string;
  /** Empty: every host. */
  readonly hosts: readonly string[];
  /** Names; empty or absent: every listener. */
  readonly listeners?: readonly string[];
  readonly order: "specific" | "file";
  readonly routes: readonly RouteSpec<T>[];
}

export interface Route<T> {
  readonly site: string;
  readonly name: string;
  readonly target: T;
}

/** A site with its routes in order of matching. */
export class Site<T> {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly candidates: readonly Candidate<T>[];
  readonly #index: PathIndex<T>;

  /** @throws {TypeError} if a pattern in it cannot be compiled */
  constructor(spec: SiteSpec<T>) {
    this.name = spec.name;
    this.hosts = spec.hosts;
    const candidates = spec.routes.flatMap((route, position) => candidatesOf(spec.name, route, position));
    candidates.sort(spec.order === "file" ? byPosition : bySpecificity);
    for (const [order, candidate] of candidates.entries()) candidate.order = order;
    this.candidates = candidates;
    this.#index = new PathIndex(candidates);
  }

  find(exchange: Exchange): Candidate<T> | null {
    return this.#index.find(exchange);
  }
}

function candidatesOf<T>(site: string, { name, match, target }: RouteSpec<T>, position: number): Candidate<T>[] {
  const { path: paths, ...others } = match;
  const route: Route<T> = { site, name, target };
  const conditions = conditionsOf(others);
  if (paths === undefined) return [new Candidate(route, null, conditions, position)];
  return paths.map((path) => new Candidate(route, new PathPattern(path), conditions, position));
}

export class RouteTable<T> {
  /** In the order of the config. */
  readonly sites: readonly Site<T>[];
  /** For listeners that some site names. */
  readonly #byListener = new Map<string, HostMap<Site<T>>>();
  /** For all other listeners: the sites that name none. */
  readonly #elsewhere: HostMap<Site<T>>;

  /** @throws {TypeError} if a pattern cannot be compiled */
  constructor(specs: readonly SiteSpec<T>[]) {
    const sites = specs.map((spec) => ({ site: new Site(spec), listeners: spec.listeners ?? [] }));
    this.sites = sites.map(({ site }) => site);
    for (const listener of new Set(sites.flatMap(({ listeners }) => listeners))) {
      const here = sites.filter(({ listeners }) => listeners.length === 0 || listeners.includes(listener));
      this.#byListener.set(listener, hostMap(here.map(({ site }) => site)));
    }
    const everywhere = sites.filter(({ listeners }) => listeners.length === 0);
    this.#elsewhere = hostMap(everywhere.map(({ site }) => site));
  }

  /**
   * The route that answers, or null. Sets the exchange's `site`, `route` and `params`; if there is a
   * site but no route for it, `site` is set and `route` null.
   */
  find(exchange: Exchange): Route<T> | null {
    const entry = this.siteFor(exchange);
    if (entry === null) return null;
    const site = entry.value;
    exchange.site = site.name;
    const candidate = site.find(exchange);
    if (candidate === null) return null;
    const { route, path } = candidate;
    exchange.route = route.name;
    exchange.params = path === null ? null : path.params(exchange.path);
    return route;
  }

  /** The site for the exchange's listener and host, with the pattern that decided. */
  siteFor(exchange: Exchange): HostEntry<Site<T>> | null {
    const hosts = this.#byListener.get(exchange.client.listener) ?? this.#elsewhere;
    return hosts.find(exchange.host);
  }
}

function hostMap<T>(sites: readonly Site<T>[]): HostMap<Site<T>> {
  const map = new HostMap<Site<T>>();
  for (const site of sites) {
    if (site.hosts.length === 0) map.add("*", site);
    for (const host of site.hosts) map.add(host, site);
  }
  return map;
}

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
import { runSteps, type Steps } from "../base/steps.ts";
import type { MatchConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";
import { byPosition, bySpecificity, Candidate } from "./candidate.ts";
import { HostMap } from "./host-map.ts";
import { conditionsOf } from "./match.ts";
import type { Matcher } from "./matcher.ts";
import { PathIndex, type SiteCode, siteCode } from "./path-index.ts";
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

/** Routes that are read between two pauses. */
const ROUTES_AT_ONCE = 16;

/** A site with its routes in order of matching. */
export class Site<T> {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly candidates: readonly Candidate<T>[];
  readonly #order: SiteSpec<T>["order"];
  readonly #matches: readonly MatchConfig[];

  private constructor({ name, hosts, order, routes }: SiteSpec<T>, candidates: readonly Candidate<T>[]) {
    this.name = name;
    this.hosts = hosts;
    this.candidates = candidates;
    this.#order = order;
    this.#matches = routes.map(({ match }) => match);
  }

  /** @throws {TypeError} if a pattern in it cannot be compiled */
  static *build<T>(spec: SiteSpec<T>): Steps<Site<T>> {
    const candidates: Candidate<T>[] = [];
    for (const [position, route] of spec.routes.entries()) {
      if (position % ROUTES_AT_ONCE === 0) yield;
      candidates.push(...candidatesOf(spec.name, route, position));
    }
    candidates.sort(spec.order === "file" ? byPosition : bySpecificity);
    return new Site(spec, candidates);
  }

  /** The site of another config whose routes match what these do, in the same order; null if they do not. */
  renewed(spec: SiteSpec<T>): Site<T> | null {
    const { name, order, routes } = spec;
    const matches = this.#matches;
    const isLike = order === this.#order && routes.length === matches.length;
    if (!isLike || !routes.every(({ match }, i) => match === matches[i] || Bun.deepEquals(match, matches[i])))
      return null;
    const renewed = routes.map((route): Route<T> => ({ site: name, name: route.name, target: route.target }));
    return new Site(
      spec,
      this.candidates.map((candidate) => candidate.of(renewed[candidate.position]!)),
    );
  }
}

/** What a route's `match` is made into: a path, or none, and the conditions beside it. */
type Way = readonly [path: PathPattern | null, conditions: readonly Matcher[]];

/** A config that changes some routes has the `match` of the others from the one before (config/same.ts). */
const waysKnown = new WeakMap<MatchConfig, readonly Way[]>();

function waysOf(match: MatchConfig): readonly Way[] {
  let ways = waysKnown.get(match);
  if (ways === undefined) {
    const { path: paths, ...others } = match;
    const conditions = conditionsOf(others);
    ways = paths === undefined ? [[null, conditions]] : paths.map((path): Way => [new PathPattern(path), conditions]);
    waysKnown.set(match, ways);
  }
  return ways;
}

function candidatesOf<T>(site: string, { name, match, target }: RouteSpec<T>, position: number): Candidate<T>[] {
  const route: Route<T> = { site, name, target };
  return waysOf(match).map(([path, conditions]) => new Candidate(route, path, conditions, position));
}

export class RouteTable<T> {
  /** In the order of the config. */
  readonly sites: readonly Site<T>[];
  /** For listeners that some site names: index of the site by host. */
  readonly #byListener = new Map<string, HostMap>();
  /** For all other listeners: the sites that name none. */
  readonly #elsewhere: HostMap;
  readonly #index: PathIndex<T>;
  readonly #names: readonly string[];
  /** For the table of the next config. */
  readonly #codes: readonly SiteCode[];

  private constructor(specs: readonly SiteSpec<T>[], sites: readonly Site<T>[], codes: readonly SiteCode[]) {
    this.sites = sites;
    this.#codes = codes;
    for (const listener of new Set(specs.flatMap(({ listeners }) => listeners ?? []))) {
      this.#byListener.set(
        listener,
        hostMap(specs, (names) => names.length === 0 || names.includes(listener)),
      );
    }
    this.#elsewhere = hostMap(specs, (names) => names.length === 0);
    this.#names = specs.map(({ name }) => name);
    this.#index = new PathIndex(
      codes,
      sites.map(({ candidates }) => candidates),
    );
  }

  /** @throws {TypeError} if a pattern cannot be compiled */
  static of<T>(specs: readonly SiteSpec<T>[]): RouteTable<T> {
    return runSteps(RouteTable.build(specs));
  }

  /**
   * The same, step by step.
   * @param before the table of the config before: a site whose routes match what they did is not worked out again
   */
  static *build<T>(specs: readonly SiteSpec<T>[], before: RouteTable<T> | null = null): Steps<RouteTable<T>> {
    const known = new Map(before?.sites.map((site, i) => [site.name, i]));
    const sites: Site<T>[] = [];
    const codes: SiteCode[] = [];
    for (const spec of specs) {
      const at = known.get(spec.name) ?? -1;
      const renewed = before?.sites[at]?.renewed(spec) ?? null;
      const site = renewed ?? (yield* Site.build(spec));
      sites.push(site);
      codes.push(renewed === null ? yield* siteCode(site.candidates) : before!.#codes[at]!);
      yield;
    }
    return new RouteTable(specs, sites, codes);
  }

  /**
   * The target of the route that answers, or null. Sets the exchange's `site`, `route` and `params`; if
   * there is a site but no route for it, `site` is set and `route` null.
   */
  find(exchange: Exchange): T | null {
    const site = this.#hosts(exchange).find(exchange.host);
    if (site < 0) return null;
    exchange.site = this.#names[site]!;
    return this.#index.find(site, exchange);
  }

  /** `routeNumber` of an exchange is below this. */
  get size(): number {
    return this.#index.size;
  }

  /** The site for the exchange's listener and host, with the pattern that decided. */
  siteFor(exchange: Exchange): { readonly site: Site<T>; readonly pattern: string } | null {
    const hosts = this.#hosts(exchange);
    const site = hosts.find(exchange.host);
    return site < 0 ? null : { site: this.sites[site]!, pattern: hosts.patternFor(exchange.host)! };
  }

  #hosts(exchange: Exchange): HostMap {
    return this.#byListener.get(exchange.client.listener) ?? this.#elsewhere;
  }
}

/** Index of the site by host, of the sites whose listeners are accepted. */
function hostMap<T>(specs: readonly SiteSpec<T>[], accepts: (listeners: readonly string[]) => boolean): HostMap {
  const map = new HostMap();
  for (const [site, { hosts, listeners = [] }] of specs.entries()) {
    if (!accepts(listeners)) continue;
    if (hosts.length === 0) map.add("*", site);
    for (const host of hosts) map.add(host, site);
  }
  return map;
}

/** The table in words: what `lintel routes` and `lintel explain` show. */
import type { Exchange } from "../http/exchange.ts";
import type { Candidate } from "./candidate.ts";
import type { Route, RouteTable } from "./table.ts";

/** A line of the table in order of matching; a route with several paths has one for each. */
export interface ListedRoute<T> {
  readonly site: string;
  readonly hosts: readonly string[];
  readonly route: Route<T>;
  /** Pattern, or null if any path will do. */
  readonly path: string | null;
  /** "method GET", "client 10.0.0.0/8" … */
  readonly conditions: readonly string[];
}

/** All sites in the order of the config, each with its routes in order of matching. */
export function listRoutes<T>(table: RouteTable<T>): ListedRoute<T>[] {
  return table.sites.flatMap((site) =>
    site.candidates.map(({ route, path, conditions }) => ({
      site: site.name,
      hosts: site.hosts,
      route,
      path: path?.text ?? null,
      conditions: conditions.map((condition) => condition.describe()),
    })),
  );
}

export interface Explanation<T> {
  readonly site: string | null;
  /** Why that site, or why none. */
  readonly because: string;
  /** Those tried, in order; the last one matched if `chosen` is not null. */
  readonly tried: readonly TriedRoute[];
  readonly chosen: Route<T> | null;
  readonly params: Readonly<Record<string, string>> | null;
}

export interface TriedRoute {
  readonly name: string;
  readonly path: string | null;
  readonly matched: boolean;
  /** "path /api/* and method GET hold", "needs method GET, found DELETE". */
  readonly because: string;
}

/** What `RouteTable.find` does with an exchange, told step by step; changes nothing. */
export function explainRoute<T>(table: RouteTable<T>, exchange: Exchange): Explanation<T> {
  const found = table.siteFor(exchange);
  const tried: TriedRoute[] = [];
  const because = siteReason(found?.pattern ?? null, exchange);
  if (found === null) return { site: null, because, tried, chosen: null, params: null };
  const site = found.site.name;
  for (const candidate of found.site.candidates) {
    const { route, path } = candidate;
    const failed = firstFailure(candidate, exchange);
    const told = { name: route.name, path: path?.text ?? null };
    tried.push({ ...told, matched: failed === null, because: failed ?? success(candidate) });
    if (failed === null) return { site, because, tried, chosen: route, params: path?.params(exchange.path) ?? null };
  }
  return { site, because, tried, chosen: null, params: null };
}

function siteReason(pattern: string | null, { host, client: { listener } }: Exchange): string {
  const shown = JSON.stringify(host);
  if (pattern === null) return `no site on listener ${JSON.stringify(listener)} takes host ${shown}`;
  if (pattern === "*") return `it takes every host, and no other site takes ${shown}`;
  if (pattern === host) return `it names host ${shown}`;
  return `its pattern ${pattern} fits host ${shown}`;
}

function firstFailure<T>({ path, conditions }: Candidate<T>, exchange: Exchange): string | null {
  if (path !== null && !path.matches(exchange.path))
    return `needs path ${path.text}, found ${JSON.stringify(exchange.path)}`;
  const failed = conditions.find((condition) => !condition.matches(exchange));
  return failed === undefined ? null : `needs ${failed.describe()}, found ${failed.found(exchange)}`;
}

function success<T>({ path, conditions }: Candidate<T>): string {
  const held = [
    ...(path === null ? [] : [`path ${path.text}`]),
    ...conditions.map((condition) => condition.describe()),
  ];
  return held.length === 0 ? "it takes everything" : `${held.join(" and ")} ${held.length === 1 ? "holds" : "hold"}`;
}

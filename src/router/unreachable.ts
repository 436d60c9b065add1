/**
 * Routes that can never match, for `lintel check`. Only sure cases are found: what regexes match is not compared, nor
 * what nested conditions hold for.
 */
import type { Candidate } from "./candidate.ts";
import { CoverTree } from "./cover-tree.ts";
import { mayMeet } from "./host-overlap.ts";
import type { PathPattern } from "./path-pattern.ts";
import type { Route, RouteTable, Site } from "./table.ts";

export interface ShadowedRoute<T> {
  /** Never matches. */
  readonly route: Route<T>;
  /** Take every request first, each by itself or all of them together; in order of matching. */
  readonly by: readonly Route<T>[];
}

/**
 * Routes that can never match, since earlier ones take all they could: the path of each covers the later one's,
 * each of its conditions is met by what the later one's conditions let through, and of one condition that is a list
 * (methods, say) all values are taken by one or the other of them. A route with several paths is named only if all
 * of them are covered.
 */
export function shadowedRoutes<T>({ sites }: Pick<RouteTable<T>, "sites">): ShadowedRoute<T>[] {
  return sites.flatMap(shadowedIn);
}

function shadowedIn<T>(site: Site<T>): ShadowedRoute<T>[] {
  const reachable = new Set<Route<T>>();
  const shadowed = new Map<Route<T>, Set<Route<T>>>();
  const earlier = new CoverTree<Demands<T>>();
  for (const [place, candidate] of site.candidates.entries()) {
    const later = new Demands(candidate, place);
    const covering = coveringOf(earlier.coversOf(later.path), later);
    earlier.add(later);
    if (covering.length === 0) {
      reachable.add(later.route);
      continue;
    }
    const by = shadowed.get(later.route) ?? new Set();
    shadowed.set(later.route, by);
    for (const { route } of covering) by.add(route);
  }
  return [...shadowed].filter(([route]) => !reachable.has(route)).map(([route, by]) => ({ route, by: [...by] }));
}

/** The first one that takes all of it, or those that do so together; empty: something is left. */
function coveringOf<T>(before: readonly Demands<T>[], later: Demands<T>): readonly Demands<T>[] {
  let alone: Demands<T> | null = null;
  /** Those that take some of it, by the choice of which they take some values. */
  const some = new Map<string, Demands<T>[]>();
  for (const one of before) {
    const unmet = later.unmetOf(one);
    if (unmet === null || one.route === later.route) continue;
    if (one.path !== null && (later.path === null || !one.path.covers(later.path))) continue;
    if (unmet === "") alone = alone === null || one.place < alone.place ? one : alone;
    else if (some.has(unmet)) some.get(unmet)!.push(one);
    else some.set(unmet, [one]);
  }
  if (alone !== null) return [alone];
  for (const [of, candidates] of some) {
    const left = new Set(later.valuesOf(of));
    const together = candidates
      .sort((a, b) => a.place - b.place)
      .filter((one) => {
        const size = left.size;
        for (const value of one.valuesOf(of)) left.delete(value);
        return left.size < size;
      });
    if (left.size === 0) return together;
  }
  return [];
}

/** What a candidate's path and conditions ask for, in a form that can be compared. */
class Demands<T> {
  readonly route: Route<T>;
  readonly path: PathPattern | null;
  /** Lists, as all pairs of 10,000 routes may be compared. */
  readonly #choices: { readonly of: string; readonly values: readonly string[]; readonly set: ReadonlySet<string> }[] =
    [];
  /** All other conditions in words: equal texts are equal conditions. */
  readonly #texts: string[] = [];

  /** @param place in the order of matching */
  constructor(
    { route, path, conditions }: Candidate<T>,
    readonly place: number,
  ) {
    this.route = route;
    this.path = path;
    for (const condition of conditions) {
      const { choice } = condition;
      if (choice === undefined) this.#texts.push(condition.describe());
      else this.#choices.push({ ...choice, set: new Set(choice.values) });
    }
  }

  /** @param of "method": what is chosen from; there must be such a condition */
  valuesOf(of: string): readonly string[] {
    return this.#choices.find((choice) => choice.of === of)!.values;
  }

  /**
   * What an earlier candidate leaves of everything that these demands let through: "" is nothing; else a choice, of
   * whose values it takes only some; null if none of that can be said.
   */
  unmetOf(earlier: Demands<T>): string | null {
    for (const text of earlier.#texts) if (!this.#texts.includes(text)) return null;
    let unmet = "";
    for (const { of, set } of earlier.#choices) {
      const own = this.#choices.find((choice) => choice.of === of);
      if (own === undefined) return null;
      const taken = sharedBy(own.values, set);
      if (taken === own.values.length) continue;
      if (taken === 0 || unmet !== "") return null;
      unmet = of;
    }
    return unmet;
  }
}

/** How many of the values are in the set. */
function sharedBy(own: readonly string[], values: ReadonlySet<string>): number {
  let shared = 0;
  for (const value of own) if (values.has(value)) shared++;
  return shared;
}

export interface Homeless<T> {
  /** Its `host` can be met by no host of its site. */
  readonly route: Route<T>;
  /** Patterns of the route. */
  readonly wanted: readonly string[];
  /** Patterns of the site. */
  readonly hosts: readonly string[];
}

/** Routes whose `host` is none of their site's hosts. */
export function homelessRoutes<T>({ sites }: Pick<RouteTable<T>, "sites">): Homeless<T>[] {
  return sites.flatMap(({ hosts, candidates }) => {
    if (hosts.length === 0) return [];
    const found = new Map<Route<T>, Homeless<T>>();
    for (const { route, conditions } of candidates) {
      const wanted = conditions.find(({ choice }) => choice?.of === "host")?.choice?.values;
      if (wanted === undefined || wanted.some((one) => hosts.some((host) => mayMeet(one, host)))) continue;
      found.set(route, { route, wanted, hosts });
    }
    return [...found.values()];
  });
}

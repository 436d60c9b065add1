/**
 * Routes that can never match, for `lintel check`. Only sure cases are found: what regexes match is not compared, nor
 * what nested conditions hold for.
 */
import type { Candidate } from "./candidate.ts";
import { CoverTree } from "./cover-tree.ts";
import { HostPatterns } from "./host-overlap.ts";
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
 *
 * @param mostCompared earlier ones that share a condition with it or a value, as often as they do so, that a route is
 *                     compared with; what else may take its requests is not looked for
 */
export function shadowedRoutes<T>(
  { sites }: Pick<RouteTable<T>, "sites">,
  mostCompared = MOST_COMPARED,
): ShadowedRoute<T>[] {
  return sites.flatMap((site) => shadowedIn(site, mostCompared));
}

/** Of thousands of routes that all take some of each other's methods, say, each pair would have to be looked at. */
const MOST_COMPARED = 1000;

function shadowedIn<T>(site: Site<T>, mostCompared: number): ShadowedRoute<T>[] {
  const reachable = new Set<Route<T>>();
  const shadowed = new Map<Route<T>, Set<Route<T>>>();
  const all = site.candidates.map((candidate, place) => new Demands(candidate, place));
  const frequency = new Map<string, number>();
  for (const { keys } of all) for (const key of keys.flat()) frequency.set(key, (frequency.get(key) ?? 0) + 1);
  const earlier = new CoverTree(() => new Earlier<T>(frequency));
  for (const later of all) {
    const covering = coveringOf(earlier.coversOf(later.path), later, mostCompared);
    earlier.at(later.path).add(later);
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
function coveringOf<T>(before: readonly Earlier<T>[], later: Demands<T>, mostCompared: number): readonly Demands<T>[] {
  let alone: Demands<T> | null = null;
  /** Those that take some of it, by the choice of which they take some values. */
  const some = new Map<string, Demands<T>[]>();
  const seen = new Set<Demands<T>>();
  let looksLeft = mostCompared;
  // Short lists first: what takes all values of a choice is in the list of each of them.
  const lists = before.flatMap((earlier) => earlier.listsFor(later)).sort((a, b) => a.length - b.length);
  for (const list of lists) {
    for (const one of list) {
      if (looksLeft === 0 || (alone !== null && one.place > alone.place)) break;
      looksLeft--;
      if (seen.has(one) || one.route === later.route) continue;
      seen.add(one);
      if (one.path !== null && (later.path === null || !one.path.covers(later.path))) continue;
      const unmet = later.unmetOf(one);
      if (unmet === "") alone = one;
      else if (unmet !== null && some.has(unmet)) some.get(unmet)!.push(one);
      else if (unmet !== null) some.set(unmet, [one]);
    }
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

/**
 * Those with one path, to find the few that may take what another one demands: each of their conditions has to be
 * one of its own, or to share a value with it. So each lies where its rarest condition is.
 */
class Earlier<T> {
  readonly #frequency: ReadonlyMap<string, number>;
  readonly #unconditional: Demands<T>[] = [];
  readonly #byKey = new Map<string, Demands<T>[]>();

  /** @param frequency how many candidates have a key */
  constructor(frequency: ReadonlyMap<string, number>) {
    this.#frequency = frequency;
  }

  add(one: Demands<T>): void {
    const count = (keys: readonly string[]) => keys.reduce((most, key) => Math.max(most, this.#frequency.get(key)!), 0);
    let rarest: readonly string[] | null = null;
    for (const keys of one.keys) if (rarest === null || count(keys) < count(rarest)) rarest = keys;
    if (rarest === null) this.#unconditional.push(one);
    else for (const key of rarest) this.#listOf(key).push(one);
  }

  #listOf(key: string): Demands<T>[] {
    const list = this.#byKey.get(key) ?? [];
    this.#byKey.set(key, list);
    return list;
  }

  /** Lists of those that may take some of it, each in the order of matching. */
  listsFor({ keys }: Demands<T>): (readonly Demands<T>[])[] {
    const found = this.#unconditional.length > 0 ? [this.#unconditional] : [];
    if (this.#byKey.size === 0) return found;
    return [...found, ...keys.flat().flatMap((key) => [this.#byKey.get(key) ?? []])];
  }
}

/** What a candidate's path and conditions ask for, in a form that can be compared. */
class Demands<T> {
  readonly route: Route<T>;
  readonly path: PathPattern | null;
  /** Of each condition what must be found in another one's for both to hold at once: a text, or one of some values. */
  readonly keys: readonly (readonly string[])[];
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
    this.keys = [
      ...this.#texts.map((text) => [text]),
      ...this.#choices.map(({ of, set }) => [...set].map((value) => `${of}\0${value}`)),
    ];
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
      const taken = takenOf(own.values, set);
      if (taken === "all") continue;
      if (taken === "none" || unmet !== "") return null;
      unmet = of;
    }
    return unmet;
  }
}

/** How many of the values are in the set. */
function takenOf(own: readonly string[], values: ReadonlySet<string>): "all" | "some" | "none" {
  const first = values.has(own[0]!);
  for (const value of own) if (values.has(value) !== first) return "some";
  return first ? "all" : "none";
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
    const patterns = new HostPatterns(hosts);
    const found = new Map<Route<T>, Homeless<T>>();
    for (const { route, conditions } of candidates) {
      const wanted = conditions.find(({ choice }) => choice?.of === "host")?.choice?.values;
      if (wanted === undefined || wanted.some((one) => patterns.mayMeet(one))) continue;
      found.set(route, { route, wanted, hosts });
    }
    return [...found.values()];
  });
}

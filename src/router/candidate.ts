/** One way into a route: one of its paths, or none, and the conditions that must hold besides. */
import type { Exchange } from "../http/exchange.ts";
import type { Matcher } from "./matcher.ts";
import type { PathPattern } from "./path-pattern.ts";
import type { Route } from "./table.ts";

export class Candidate<T> {
  /** What its conditions weigh against those of a route with the same path. */
  readonly specificity: number;

  constructor(
    readonly route: Route<T>,
    readonly path: PathPattern | null,
    /** All of them must hold; cheap ones first. */
    readonly conditions: readonly Matcher[],
    /** Place of the route in the config. */
    readonly position: number,
  ) {
    this.specificity = conditions.reduce((sum, condition) => sum + condition.specificity, 0);
  }

  /** The same way into another route. */
  of(route: Route<T>): Candidate<T> {
    return new Candidate(route, this.path, this.conditions, this.position);
  }

  holds(exchange: Exchange): boolean {
    for (const condition of this.conditions) if (!condition.matches(exchange)) return false;
    return true;
  }
}

const RANKS = { exact: 0, pattern: 1, prefix: 2, regex: 3 } as const;
const NO_PATH = 4;

/** Sorts the most specific first: see table.ts. */
export function bySpecificity<T>(a: Candidate<T>, b: Candidate<T>): number {
  return comparePaths(a.path, b.path) || b.specificity - a.specificity || a.position - b.position;
}

/** Sorts as in the file; the paths of one route among themselves by specificity, for the sake of the params. */
export function byPosition<T>(a: Candidate<T>, b: Candidate<T>): number {
  return a.position - b.position || comparePaths(a.path, b.path);
}

function comparePaths(a: PathPattern | null, b: PathPattern | null): number {
  const rank = (a === null ? NO_PATH : RANKS[a.kind]) - (b === null ? NO_PATH : RANKS[b.kind]);
  if (rank !== 0 || a === null || b === null || a.kind === "regex") return rank;
  return b.literalLength - a.literalLength || b.segments.length - a.segments.length;
}

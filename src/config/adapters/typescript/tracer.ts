/**
 * From a place in the tree that a TypeScript config gave, back to the expression it was written as.
 *
 * Steps are followed through literals, constants of the file's top level, relative imports, spreads,
 * `as` and the like, `upstream()`, functions that only return something, and `map`. What is found is
 * compared with the value the config gave; where the way is not certain, the expression that computes
 * the rest is the place, and counts as not exact.
 */
import type { Path } from "../../path.ts";
import type { Stretch } from "../../source.ts";
import { Effort } from "./effort.ts";
import { Expressions } from "./expressions.ts";
import type { Modules } from "./module.ts";
import type { Place } from "./place.ts";
import { isWrittenOut, literalValue, type Node_ } from "./syntax.ts";

export class Tracer {
  readonly #modules: Modules;
  readonly #valueAt: (path: Path) => unknown;
  readonly #effort: Effort;

  /** @param valueAt  what the config gave at a path; undefined if that is not known */
  constructor(modules: Modules, valueAt: (path: Path) => unknown, effort = new Effort()) {
    this.#modules = modules;
    this.#valueAt = valueAt;
    this.#effort = effort;
  }

  /** Where a path was written; null if nothing is known of it, or after too many searches. */
  find(path: Path, at: "key" | "value"): Stretch | null {
    if (!this.#effort.begin()) return null;
    const { main } = this.#modules;
    const expressions = new Expressions(this.#modules, this.#effort);
    const root = main === null ? null : expressions.exported(main, "default");
    if (root === null) return null;
    let place = root;
    let key: Node_ | null = null;
    for (const [i, step] of path.entries()) {
      const holder = this.#valueAt(path.slice(0, i));
      const finding = expressions.member(place, step, holder);
      if (finding.kind === "inside") return stretch(expressions.origin(finding.value), false);
      // What is not there although the literal says all came later: the name that was given out is the nearest.
      if (finding.kind === "absent") return stretch(place, false);
      if (finding.kind === "unknown") return stretch(expressions.origin(place), false);
      place = finding.value;
      key = finding.key;
      if (at === "key" && i === path.length - 1 && key !== null)
        return stretch({ module: place.module, node: key }, !place.shared);
    }
    return leaf(expressions, place, path.at(-1), this.#valueAt(path));
  }
}

/** The place of the whole value that an expression gives to a member. */
function leaf(expressions: Expressions, place: Place, member: string | number | undefined, value: unknown): Stretch {
  const deepest = chosen(expressions, place, value);
  if (isWhole(expressions, deepest)) {
    const written = literalValue(deepest.node);
    const isChanged = written !== undefined && value !== undefined && written !== value;
    if (!isChanged) return stretch(deepest, !deepest.shared);
    // Somebody gave it another value later: if one line says just that, this is the place.
    const given = deepest.module.assigned(String(member)).filter((node) => literalValue(node) === value);
    return stretch(given.length === 1 ? { module: deepest.module, node: given[0]! } : place, false);
  }
  const origin = expressions.origin(place);
  return stretch(origin, !origin.shared && isWhole(expressions, origin));
}

/** Is there nothing behind it: a value that is written out, or an upstream? */
const isWhole = (expressions: Expressions, place: Place): boolean =>
  isWrittenOut(place.node) || expressions.ours(place) !== null;

/** Of a condition, the branch that says what came out, if the others say something else. */
function chosen(expressions: Expressions, place: Place, value: unknown): Place {
  const branches = expressions.branches(place);
  if (branches.length === 1) return branches[0]!;
  if (value === undefined || isObject(value)) return place;
  const fitting = branches.filter((branch) => {
    // An upstream has become its name.
    const name = expressions.ours(branch) === "upstream" ? expressions.argument(branch, 0) : branch;
    const written = name === null ? undefined : literalValue(expressions.resolve(name).node);
    return written === undefined || written === value;
  });
  return fitting.length === 1 ? fitting[0]! : place;
}

const isObject = (value: unknown): value is Readonly<Record<string | number, unknown>> =>
  typeof value === "object" && value !== null;

function stretch({ module, node }: Pick<Place, "module"> & { readonly node: Node_ }, exact: boolean): Stretch {
  return { source: module.source, start: node.start ?? 0, end: node.end ?? 0, exact };
}

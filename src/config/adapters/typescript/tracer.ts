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
import type { Module, Modules } from "./module.ts";
import {
  accessed,
  type Call,
  type Function_,
  isWrittenOut,
  type ListLiteral,
  literalValue,
  memberName,
  type Node_,
  type ObjectLiteral,
  type Pattern,
  resultOf,
  type Written,
} from "./syntax.ts";

/** An expression with what its names stand for. */
interface Place {
  readonly module: Module;
  readonly node: Written;
  /** Names of the functions it stands in: what they were called with, null if that is not known. */
  readonly scope: Scope;
  /** In a function, so that it may stand for several values. */
  readonly shared: boolean;
}

type Scope = ReadonlyMap<string, Place | null>;

type Finding =
  /** `key` is null for an item of a list. */
  | { readonly kind: "found"; readonly key: Node_ | null; readonly value: Place }
  /** It comes out of `value`, nobody knows from where in it. */
  | { readonly kind: "inside"; readonly value: Place }
  | { readonly kind: "absent" }
  | { readonly kind: "unknown" };

const NO_NAMES: Scope = new Map();
const ABSENT: Finding = { kind: "absent" };
const UNKNOWN: Finding = { kind: "unknown" };

/** Steps from one expression to another for one place; functions that call themselves end there. */
const MOST_STEPS = 2000;

export class Tracer {
  readonly #modules: Modules;
  readonly #valueAt: (path: Path) => unknown;
  #steps = 0;

  /** @param valueAt  what the config gave at a path; undefined if that is not known */
  constructor(modules: Modules, valueAt: (path: Path) => unknown) {
    this.#modules = modules;
    this.#valueAt = valueAt;
  }

  /** Where a path was written; null if nothing is known of it. */
  find(path: Path, at: "key" | "value"): Stretch | null {
    this.#steps = 0;
    const { main } = this.#modules;
    const root = main === null ? null : this.#exported(main, "default");
    if (root === null) return null;
    let place = root;
    let key: Node_ | null = null;
    for (const [i, step] of path.entries()) {
      const holder = this.#valueAt(path.slice(0, i));
      const finding = this.#member(place, step, holder);
      if (finding.kind === "inside") return stretch(this.#origin(finding.value), false);
      // What is not there although the literal says all came later: the name that was given out is the nearest.
      if (finding.kind === "absent") return stretch(place, false);
      if (finding.kind === "unknown") return stretch(this.#origin(place), false);
      place = finding.value;
      key = finding.key === null ? null : finding.key;
      if (at === "key" && i === path.length - 1 && key !== null)
        return stretch({ ...place, node: key as Written }, !place.shared);
    }
    return this.#leaf(place, this.#valueAt(path));
  }

  #leaf(place: Place, value: unknown): Stretch {
    const deepest = this.#chosen(this.#resolve(place, true), value);
    if (this.#isWhole(deepest)) {
      const written = literalValue(deepest.node);
      const isChanged = written !== undefined && value !== undefined && written !== value;
      return isChanged ? stretch(place, false) : stretch(deepest, !deepest.shared);
    }
    const origin = this.#origin(place);
    return stretch(origin, !origin.shared && this.#isWhole(origin));
  }

  /** Is there nothing behind it: a value that is written out, or an upstream? */
  #isWhole(place: Place): boolean {
    return isWrittenOut(place.node) || this.#ours(place) !== null;
  }

  /** Of a condition, the branch that says what came out, if the others say something else. */
  #chosen(place: Place, value: unknown): Place {
    if (value === undefined || isObject(value)) return place;
    const fitting = this.#branches(place).filter((branch) => {
      const said = this.#ours(branch) === "upstream" ? this.#argument(branch, branch.node as Call, 0) : branch;
      const written = said === null ? undefined : literalValue(this.#resolve(said, true).node);
      return written === undefined || written === value;
    });
    return fitting.length === 1 ? fitting[0]! : place;
  }

  /** What an expression with conditions may come out as; itself if there are none. */
  #branches(place: Place): Place[] {
    const found = this.#resolve(place, true);
    const { node } = found;
    if (node.type === "ConditionalExpression") {
      return [node.consequent, node.alternate].flatMap((branch) => this.#branches({ ...found, node: branch }));
    }
    if (node.type !== "LogicalExpression") return [found];
    // What `&&` gives when it stops at its left side is nothing that a config holds.
    return (node.operator === "&&" ? [node.right] : [node.left, node.right]).flatMap((branch) =>
      this.#branches({ ...found, node: branch }),
    );
  }

  /** What a place is without looking into functions: of a call, the call. */
  #origin(place: Place): Place {
    return this.#resolve(place, false);
  }

  /** The expression that a place's value comes from. */
  #resolve(place: Place, functions: boolean): Place {
    for (;;) {
      if (++this.#steps > MOST_STEPS) return place;
      const next = this.#next(place, functions);
      if (next === null) return place;
      place = next;
    }
  }

  #next(place: Place, functions: boolean): Place | null {
    const { node } = place;
    switch (node.type) {
      case "TSAsExpression":
      case "TSSatisfiesExpression":
      case "TSNonNullExpression":
      case "TSTypeAssertion":
      case "ParenthesizedExpression":
        return { ...place, node: node.expression };
      case "AwaitExpression":
        return { ...place, node: node.argument };
      case "Identifier":
        return this.#named(node.name, place);
      case "MemberExpression": {
        const step = accessed(node);
        if (step === null || node.object.type === "Super") return null;
        const all = node.object.type === "Identifier" ? this.#importedAs(node.object.name, "*", place) : null;
        if (all !== null) return this.#exported(all, String(step));
        const finding = this.#member({ ...place, node: node.object }, step, undefined);
        return finding.kind === "found" ? { ...finding.value, shared: place.shared || finding.value.shared } : null;
      }
      case "CallExpression": {
        if (this.#ours(place) === "defineConfig") return this.#argument(place, node, 0);
        return functions ? this.#result(place, node) : null;
      }
      default:
        return null;
    }
  }

  #named(name: string, { module, scope, shared }: Place): Place | null {
    const given = scope.get(name);
    // What a function was given stands where it was called; which key it became there, the path says.
    if (given !== undefined) return given === null ? null : { ...given, shared };
    const node = module.constant(name);
    if (node !== null) return { module, node, scope: NO_NAMES, shared };
    const imported = module.imported(name);
    const other = imported === null || imported.name === "*" ? null : this.#modules.find(imported.from, module);
    const found = other === null ? null : this.#exported(other, imported!.name);
    return found === null ? null : { ...found, shared };
  }

  #exported(module: Module, name: string): Place | null {
    if (++this.#steps > MOST_STEPS) return null;
    const { node, from } = module.exported(name);
    if (node !== null) return { module, node, scope: NO_NAMES, shared: false };
    for (const next of from) {
      const other = next.name === "*" ? null : this.#modules.find(next.from, module);
      const found = other === null ? null : this.#exported(other, next.name);
      if (found !== null) return found;
    }
    return null;
  }

  /** The file that a name of a place imports from, if it imports `wanted` of it. */
  #importedAs(name: string, wanted: string, { module, scope }: Place): Module | null {
    const imported = scope.has(name) ? null : module.imported(name);
    return imported?.name === wanted ? this.#modules.find(imported.from, module) : null;
  }

  /** Which function of Lintel's a call is of. */
  #ours({ node, module, scope }: Place): string | null {
    if (node.type !== "CallExpression") return null;
    const { callee } = node;
    if (callee.type === "Identifier" && !scope.has(callee.name)) {
      const imported = module.imported(callee.name);
      return imported?.from === "lintel" ? imported.name : null;
    }
    if (callee.type !== "MemberExpression" || callee.object.type !== "Identifier") return null;
    const all = scope.has(callee.object.name) ? null : module.imported(callee.object.name);
    return all?.from === "lintel" && all.name === "*" ? String(accessed(callee)) : null;
  }

  #argument(place: Place, call: Call, index: number): Place | null {
    if (call.arguments.slice(0, index).some((one) => one.type === "SpreadElement")) return null;
    const node = call.arguments[index];
    return node === undefined || node.type === "SpreadElement" || node.type === "ArgumentPlaceholder"
      ? null
      : { ...place, node };
  }

  /** What a call of a function of the config's own returns. */
  #result(place: Place, call: Call): Place | null {
    if (call.callee.type === "Super" || call.callee.type === "V8IntrinsicIdentifier") return null;
    const callee = this.#origin({ ...place, node: call.callee });
    return this.#returned(callee, (i) => this.#argument(place, call, i));
  }

  #returned(callee: Place, argument: (index: number) => Place | null): Place | null {
    if (!isFunction(callee.node)) return null;
    const returned = resultOf(callee.node);
    if (returned === null) return null;
    const scope = new Map(callee.scope);
    const within = (node: Written): Place => ({ module: callee.module, node, scope, shared: true });
    for (const [i, parameter] of callee.node.params.entries()) this.#bind(parameter, argument(i), scope, within);
    for (const { id, init } of returned.constants) this.#bind(id, init === null ? null : within(init), scope, within);
    return within(returned.result);
  }

  /** Gives the names of a pattern what they stand for. */
  #bind(
    pattern: Pattern,
    place: Place | null,
    scope: Map<string, Place | null>,
    within: (node: Written) => Place,
  ): void {
    const part = (step: string | number | null): Place | null => {
      const finding = place === null || step === null ? ABSENT : this.#member(place, step, undefined);
      return finding.kind === "found" ? finding.value : null;
    };
    switch (pattern.type) {
      case "Identifier":
        scope.set(pattern.name, place);
        return;
      case "AssignmentPattern":
        // The default stands for what is not given; a value that may be undefined is not known.
        return this.#bind(pattern.left as Pattern, place ?? within(pattern.right), scope, within);
      case "ArrayPattern":
        for (const [i, element] of pattern.elements.entries())
          if (element !== null) this.#bind(element as Pattern, part(i), scope, within);
        return;
      case "ObjectPattern":
        for (const property of pattern.properties) {
          if (property.type === "RestElement") this.#bind(property, null, scope, within);
          else this.#bind(property.value as Pattern, part(memberName(property)), scope, within);
        }
        return;
      case "RestElement":
        return this.#bind(pattern.argument as Pattern, null, scope, within);
    }
  }

  /** @param actual  the value the config gave there; undefined if that is not known */
  #member(place: Place, step: string | number, actual: unknown): Finding {
    const holder = this.#resolve(place, true);
    const { node } = holder;
    switch (node.type) {
      case "ObjectExpression":
        return this.#property(holder, node, step, actual);
      case "ArrayExpression":
        return typeof step === "number" ? this.#item(holder, node, step, actual) : UNKNOWN;
      case "CallExpression": {
        const options = this.#ours(holder) === "upstream" ? this.#argument(holder, node, 1) : null;
        if (options !== null) return this.#member(options, step, actual);
        return typeof step === "number" ? this.#mapped(holder, node, step) : UNKNOWN;
      }
      case "ConditionalExpression":
      case "LogicalExpression":
        return this.#ofBranches(holder, step, actual);
      default:
        return isNothing(node) ? ABSENT : UNKNOWN;
    }
  }

  #property(holder: Place, node: ObjectLiteral, step: string | number, actual: unknown): Finding {
    const name = String(step);
    const perhaps: Finding[] = [];
    let certain: Finding | null = null;
    // The last one that has the key wins.
    for (const property of node.properties.toReversed()) {
      if (property.type === "SpreadElement") {
        const { finding, always } = this.#spread({ ...holder, node: property.argument }, step, actual);
        if (finding.kind === "absent") continue;
        if (finding.kind === "found" && always) certain = finding;
        else perhaps.push(finding);
      } else {
        const known = memberName(property);
        const value = { ...holder, node: property.type === "ObjectMethod" ? property : (property.value as Written) };
        if (known === name) certain = { kind: "found", key: property.key, value };
        else if (known === null) perhaps.push({ kind: "inside", value });
      }
      if (certain !== null) break;
    }
    const all = certain === null ? perhaps : [...perhaps, certain];
    if (all.length > 1) return this.#whichever(all, isObject(actual) ? actual[name] : undefined);
    return all[0] ?? ABSENT;
  }

  /** Of members that may all be the one, the one that says what came out. */
  #whichever(all: readonly Finding[], actual: unknown): Finding {
    if (actual === undefined || typeof actual === "object") return UNKNOWN;
    const fitting = all.filter((one) => {
      if (one.kind !== "found") return true;
      const written = literalValue(this.#resolve(one.value, true).node);
      return written === undefined || written === actual;
    });
    return fitting.length === 1 ? fitting[0]! : UNKNOWN;
  }

  /** In the only branch that has it. */
  #ofBranches(place: Place, step: string | number, actual: unknown): Finding {
    const findings = this.#branches(place)
      .map((branch) => this.#member(branch, step, undefined))
      .filter((finding) => finding.kind !== "absent");
    if (findings.length > 1) return this.#whichever(findings, isObject(actual) ? actual[step] : undefined);
    return findings[0] ?? ABSENT;
  }

  /** A member of what is spread; `always` unless a condition decides whether it is. */
  #spread(
    place: Place,
    step: string | number,
    actual: unknown,
  ): { readonly finding: Finding; readonly always: boolean } {
    const spread = this.#resolve(place, true);
    const finding = this.#member(spread, step, actual);
    return {
      finding: finding.kind === "unknown" ? { kind: "inside", value: spread } : finding,
      always: spread.node.type !== "ConditionalExpression" && spread.node.type !== "LogicalExpression",
    };
  }

  #item(holder: Place, node: ListLiteral, index: number, actual: unknown): Finding {
    const length = Array.isArray(actual) ? actual.length : null;
    const lengths = this.#lengths(holder, node, length);
    if (lengths === null) return ABSENT;
    let start = 0;
    for (const [i, element] of node.elements.entries()) {
      const size = lengths[i] ?? null;
      // One more list of unknown length: from here on nobody can tell.
      if (size === null) return UNKNOWN;
      if (index < start + size) {
        if (element === null) return UNKNOWN;
        if (element.type !== "SpreadElement") return { kind: "found", key: null, value: { ...holder, node: element } };
        const value = { ...holder, node: element.argument };
        const finding = this.#member(value, index - start, undefined);
        return finding.kind === "found" ? finding : { kind: "inside", value };
      }
      start += size;
    }
    return ABSENT;
  }

  /**
   * How many items each element stands for, null for those that nobody can tell; all null if the list
   * that came out has another length than was written.
   */
  #lengths(holder: Place, { elements }: ListLiteral, whole: number | null): (number | null)[] | null {
    const lengths = elements.map((element) =>
      element?.type === "SpreadElement" ? this.#length({ ...holder, node: element.argument }) : 1,
    );
    if (whole === null) return lengths;
    const known = lengths.reduce<number>((sum, length) => sum + (length ?? 0), 0);
    const open = lengths.filter((length) => length === null).length;
    if (open === 0 ? known !== whole : known > whole) return null;
    return open === 1 ? lengths.map((length) => length ?? whole - known) : lengths;
  }

  #length(place: Place): number | null {
    const list = this.#resolve(place, true);
    if (list.node.type === "ArrayExpression") {
      return this.#lengths(list, list.node, null)!.reduce(
        (sum, length) => (sum === null || length === null ? null : sum + length),
        0,
      );
    }
    const receiver = list.node.type === "CallExpression" ? mapReceiver(list.node) : null;
    return receiver === null ? null : this.#length({ ...list, node: receiver });
  }

  /** An item of what `list.map(callback)` returns. */
  #mapped(place: Place, call: Call, index: number): Finding {
    const receiver = mapReceiver(call);
    const callback = receiver === null ? null : this.#argument(place, call, 0);
    if (callback === null) return UNKNOWN;
    const item = this.#member({ ...place, node: receiver! }, index, undefined);
    const given = item.kind === "found" ? item.value : null;
    const value = this.#returned(this.#origin(callback), (i) => (i === 0 ? given : null));
    return value === null ? UNKNOWN : { kind: "found", key: null, value };
  }
}

function mapReceiver({ callee }: Call): Written | null {
  if (callee.type !== "MemberExpression" || callee.object.type === "Super") return null;
  return accessed(callee) === "map" ? callee.object : null;
}

function isFunction(node: Written): node is Function_ {
  return (
    node.type === "ArrowFunctionExpression" || node.type === "FunctionExpression" || node.type === "FunctionDeclaration"
  );
}

/** Has it no members, whatever the run does? */
const isNothing = (node: Written): boolean =>
  literalValue(node) !== undefined || (node.type === "Identifier" && node.name === "undefined");

const isObject = (value: unknown): value is Readonly<Record<string | number, unknown>> =>
  typeof value === "object" && value !== null;

function stretch({ module, node }: Pick<Place, "module"> & { readonly node: Node_ }, exact: boolean): Stretch {
  return { source: module.source, start: node.start ?? 0, end: node.end ?? 0, exact };
}

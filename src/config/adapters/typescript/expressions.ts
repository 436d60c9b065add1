/** Goes from an expression to the ones its value comes from, and into members of it. */
import { returned } from "./calls.ts";
import type { Effort } from "./effort.ts";
import type { Module, Modules } from "./module.ts";
import { ABSENT, type Finding, type Place, topLevel, UNKNOWN, within } from "./place.ts";
import {
  accessed,
  type Call,
  type ListLiteral,
  literalValue,
  memberName,
  type ObjectLiteral,
  type Written,
} from "./syntax.ts";

/** For one search. */
export class Expressions {
  readonly #modules: Modules;
  readonly #effort: Effort;

  constructor(modules: Modules, effort: Effort) {
    this.#modules = modules;
    this.#effort = effort;
  }

  /** What an expression with conditions may come out as; itself if there are none. */
  branches(place: Place): Place[] {
    const found = this.resolve(place);
    const { node } = found;
    if (node.type === "ConditionalExpression") {
      return [node.consequent, node.alternate].flatMap((branch) => this.branches(within(found, branch)));
    }
    if (node.type !== "LogicalExpression") return [found];
    // What `&&` gives when it stops at its left side is nothing that a config holds.
    return (node.operator === "&&" ? [node.right] : [node.left, node.right]).flatMap((branch) =>
      this.branches(within(found, branch)),
    );
  }

  /** What a place is without looking into functions: of a call, the call. */
  origin(place: Place): Place {
    return this.resolve(place, false);
  }

  /** The expression that a place's value comes from. */
  resolve(place: Place, functions = true): Place {
    for (;;) {
      if (!this.#effort.step()) return place;
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
        if (all !== null) {
          const found = this.exported(all, String(step));
          return found === null ? null : { ...found, shared: place.shared };
        }
        const finding = this.member(within(place, node.object), step, undefined);
        return finding.kind === "found" ? { ...finding.value, shared: place.shared || finding.value.shared } : null;
      }
      case "CallExpression": {
        if (this.ours(place) === "defineConfig") return this.argument(place, 0);
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
    if (node !== null) return { ...topLevel(module, node, name), shared };
    const imported = module.imported(name);
    const other = imported === null || imported.name === "*" ? null : this.#modules.find(imported.from, module);
    const found = other === null ? null : this.exported(other, imported!.name);
    return found === null ? null : { ...found, shared };
  }

  exported(module: Module, name: string): Place | null {
    if (!this.#effort.step()) return null;
    const { node, from } = module.exported(name);
    if (node !== null) return topLevel(module, node);
    for (const next of from) {
      const other = next.name === "*" ? null : this.#modules.find(next.from, module);
      const found = other === null ? null : this.exported(other, next.name);
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
  ours({ node, module, scope }: Place): string | null {
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

  /** An argument of the call at a place. */
  argument(place: Place, index: number): Place | null {
    if (place.node.type !== "CallExpression") return null;
    const given = place.node.arguments.slice(0, index + 1);
    const node = given[index];
    if (node === undefined || node.type === "ArgumentPlaceholder") return null;
    return given.some((one) => one.type === "SpreadElement") ? null : within(place, node as Written);
  }

  /** What a call of a function of the config's own returns. */
  #result(place: Place, call: Call): Place | null {
    if (call.callee.type === "Super" || call.callee.type === "V8IntrinsicIdentifier") return null;
    return this.#returned(within(place, call.callee), (i) => this.argument(place, i));
  }

  #returned(callee: Place, argument: (index: number) => Place | null): Place | null {
    return returned(this.origin(callee), argument, (place, step) => this.member(place, step, undefined));
  }

  /** @param actual  the value the config gave there; undefined if that is not known */
  member(place: Place, step: string | number, actual: unknown): Finding {
    const holder = this.resolve(place);
    const { node } = holder;
    switch (node.type) {
      case "ObjectExpression":
        return this.#property(holder, node, step, actual);
      case "ArrayExpression":
        return typeof step === "number" ? this.#item(holder, node, step, actual) : UNKNOWN;
      case "CallExpression": {
        const options = this.ours(holder) === "upstream" ? this.argument(holder, 1) : null;
        if (options !== null) return this.member(options, step, actual);
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
    this.#effort.look(node.properties.length);
    const name = String(step);
    const perhaps: Finding[] = [];
    let certain: Finding | null = null;
    // The last one that has the key wins.
    for (const property of node.properties.toReversed()) {
      if (property.type === "SpreadElement") {
        const { finding, always } = this.#spread(within(holder, property.argument), step, actual);
        if (finding.kind === "absent") continue;
        if (finding.kind === "found" && always) certain = finding;
        else perhaps.push(finding);
      } else {
        const known = memberName(property);
        const value = within(holder, property.type === "ObjectMethod" ? property : (property.value as Written));
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
      const written = literalValue(this.resolve(one.value).node);
      return written === undefined || written === actual;
    });
    return fitting.length === 1 ? fitting[0]! : UNKNOWN;
  }

  /** In the only branch that has it. */
  #ofBranches(place: Place, step: string | number, actual: unknown): Finding {
    const findings = this.branches(place)
      .map((branch) => this.member(branch, step, undefined))
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
    const spread = this.resolve(place);
    const finding = this.member(spread, step, actual);
    return {
      finding: finding.kind === "unknown" ? { kind: "inside", value: spread } : finding,
      always: spread.node.type !== "ConditionalExpression" && spread.node.type !== "LogicalExpression",
    };
  }

  #item(holder: Place, node: ListLiteral, index: number, actual: unknown): Finding {
    const length = Array.isArray(actual) ? actual.length : null;
    const lengths = this.#lengths(holder, node, length);
    if (lengths === null) return this.#pushed(holder, node, index, length ?? 0);
    let start = 0;
    for (const [i, element] of node.elements.entries()) {
      const size = lengths[i] ?? null;
      // One more list of unknown length: from here on nobody can tell.
      if (size === null) return UNKNOWN;
      if (index < start + size) {
        if (element === null) return UNKNOWN;
        if (element.type !== "SpreadElement") return { kind: "found", key: null, value: within(holder, element) };
        const value = within(holder, element.argument);
        const finding = this.member(value, index - start, undefined);
        return finding.kind === "found" ? finding : { kind: "inside", value };
      }
      start += size;
    }
    return ABSENT;
  }

  /** An item of a list that others were pushed to after it was written: of that number, or the one of a loop. */
  #pushed(list: Place, { elements }: ListLiteral, index: number, length: number): Finding {
    const { module, constant } = list;
    const pushed = constant === null ? null : module.pushed(constant);
    if (pushed === null) return ABSENT;
    const written = elements.some((one) => one === null || one.type === "SpreadElement") ? null : elements[index];
    if (written === null) return ABSENT;
    if (written !== undefined) return { kind: "found", key: null, value: within(list, written as Written) };
    const { given } = pushed;
    const isInTurn = pushed.isInTurn && given.length === length - elements.length;
    const node = isInTurn ? given[index - elements.length] : given[0];
    if ((!isInTurn && given.length > 1) || node === undefined || pushed.hasSpread) return ABSENT;
    return { kind: "found", key: null, value: { ...topLevel(module, node as Written), shared: true } };
  }

  /**
   * How many items each element stands for, null for those that nobody can tell; no answer if the list
   * that came out has another length than was written.
   */
  #lengths(holder: Place, { elements }: ListLiteral, whole: number | null): (number | null)[] | null {
    this.#effort.look(elements.length);
    const lengths = elements.map((element) =>
      element?.type === "SpreadElement" ? this.#length(within(holder, element.argument)) : 1,
    );
    if (whole === null) return lengths;
    const known = lengths.reduce<number>((sum, length) => sum + (length ?? 0), 0);
    const open = lengths.filter((length) => length === null).length;
    if (open === 0 ? known !== whole : known > whole) return null;
    return open === 1 ? lengths.map((length) => length ?? whole - known) : lengths;
  }

  #length(place: Place): number | null {
    const list = this.resolve(place);
    if (list.node.type === "ArrayExpression") {
      return this.#lengths(list, list.node, null)!.reduce(
        (sum, length) => (sum === null || length === null ? null : sum + length),
        0,
      );
    }
    const receiver = list.node.type === "CallExpression" ? mapReceiver(list.node) : null;
    return receiver === null ? null : this.#length(within(list, receiver));
  }

  /** An item of what `list.map(callback)` returns. */
  #mapped(place: Place, call: Call, index: number): Finding {
    const receiver = mapReceiver(call);
    const callback = receiver === null ? null : this.argument(place, 0);
    if (callback === null) return UNKNOWN;
    const item = this.member(within(place, receiver!), index, undefined);
    const given = item.kind === "found" ? item.value : null;
    const value = this.#returned(callback, (i) => (i === 0 ? given : null));
    return value === null ? UNKNOWN : { kind: "found", key: null, value };
  }
}

function mapReceiver({ callee }: Call): Written | null {
  if (callee.type !== "MemberExpression" || callee.object.type === "Super") return null;
  return accessed(callee) === "map" ? callee.object : null;
}

/** Has it no members, whatever the run does? */
const isNothing = (node: Written): boolean =>
  literalValue(node) !== undefined || (node.type === "Identifier" && node.name === "undefined");

const isObject = (value: unknown): value is Readonly<Record<string | number, unknown>> =>
  typeof value === "object" && value !== null;

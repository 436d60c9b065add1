/** What a call of a function of the config's own gives: its one result, with names for what it was called with. */
import { ABSENT, type Finding, type Place } from "./place.ts";
import { type Function_, memberName, type Pattern, resultOf, type Written } from "./syntax.ts";

/** Finds a member of a place. */
type Look = (place: Place, step: string | number) => Finding;

/** @returns null if the function does more than to return something */
export function returned(callee: Place, argument: (index: number) => Place | null, look: Look): Place | null {
  if (!isFunction(callee.node)) return null;
  const found = resultOf(callee.node);
  if (found === null) return null;
  const names = new Map(callee.scope);
  const inside = (node: Written): Place => ({
    module: callee.module,
    node,
    scope: names,
    shared: true,
    constant: null,
  });
  const binder = new Binder(names, inside, look);
  for (const [i, parameter] of callee.node.params.entries()) binder.bind(parameter, argument(i));
  for (const { id, init } of found.constants) binder.bind(id, init === null ? null : inside(init));
  return inside(found.result);
}

/** Gives the names of patterns what they stand for. */
class Binder {
  readonly #names: Map<string, Place | null>;
  readonly #inside: (node: Written) => Place;
  readonly #look: Look;

  constructor(names: Map<string, Place | null>, inside: (node: Written) => Place, look: Look) {
    this.#names = names;
    this.#inside = inside;
    this.#look = look;
  }

  bind(pattern: Pattern, place: Place | null): void {
    switch (pattern.type) {
      case "Identifier":
        this.#names.set(pattern.name, place);
        return;
      case "AssignmentPattern":
        return this.bind(pattern.left as Pattern, place ?? this.#inside(pattern.right));
      case "ArrayPattern":
        for (const [i, element] of pattern.elements.entries())
          if (element !== null) this.bind(element as Pattern, this.#part(place, i));
        return;
      case "ObjectPattern":
        for (const property of pattern.properties) {
          if (property.type === "RestElement") this.bind(property, null);
          else this.bind(property.value as Pattern, this.#part(place, memberName(property)));
        }
        return;
      case "RestElement":
        return this.bind(pattern.argument as Pattern, null);
    }
  }

  #part(place: Place | null, step: string | number | null): Place | null {
    const finding = place === null || step === null ? ABSENT : this.#look(place, step);
    return finding.kind === "found" ? finding.value : null;
  }
}

function isFunction(node: Written): node is Function_ {
  return (
    node.type === "ArrowFunctionExpression" || node.type === "FunctionExpression" || node.type === "FunctionDeclaration"
  );
}

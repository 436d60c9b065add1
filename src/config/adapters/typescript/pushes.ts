/** What a file adds to its lists after they were written: read once for all lists of it. */
import { accessed, type Call, type MemberAccess, type Node_, type Written } from "./syntax.ts";

/** What is pushed to a list that is changed in no other way. */
export interface Pushed {
  /** The arguments of all calls, in the order they stand. */
  readonly given: readonly Call["arguments"][number][];
  /** Then nobody can tell how many items they are. */
  readonly hasSpread: boolean;
  /** Are all calls statements of the top level, so that each runs once, in its turn? */
  readonly isInTurn: boolean;
}

/** Members of a list that change it, or may. */
const CHANGES = new Set([
  "push",
  "unshift",
  "splice",
  "pop",
  "shift",
  "sort",
  "reverse",
  "fill",
  "copyWithin",
  "length",
]);

/**
 * By the name of the list; lists that are changed in other ways too are left out.
 *
 * @param nodes       gives those of the file that pass, in the order they stand
 * @param statements  expressions that are statements of the file's top level
 */
export function pushesOf(
  nodes: (wanted: (node: Node_) => boolean) => readonly Node_[],
  statements: ReadonlySet<Node_>,
): ReadonlyMap<string, Pushed> {
  const changes = new Map<string, MemberAccess[]>();
  const callOf = new Map<Node_, Call>();
  for (const node of nodes(({ type }) => type === "MemberExpression" || type === "CallExpression") as Written[]) {
    if (node.type === "CallExpression") callOf.set(node.callee, node);
    else if (node.type === "MemberExpression" && isChange(node)) {
      const { name } = node.object as Node_ & { readonly name: string };
      const known = changes.get(name);
      if (known === undefined) changes.set(name, [node]);
      else known.push(node);
    }
  }
  const pushes = new Map<string, Pushed>();
  for (const [name, accesses] of changes) {
    const calls = accesses.flatMap((access) => (accessed(access) === "push" ? (callOf.get(access) ?? []) : []));
    if (calls.length < accesses.length) continue;
    const given = calls.flatMap((call) => call.arguments);
    pushes.set(name, {
      given,
      hasSpread: given.some((one) => one.type === "SpreadElement"),
      isInTurn: calls.every((call) => statements.has(call)),
    });
  }
  return pushes;
}

const isChange = (node: MemberAccess): boolean =>
  node.object.type === "Identifier" && CHANGES.has(String(accessed(node)));

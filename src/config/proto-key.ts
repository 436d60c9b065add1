/**
 * The one key that no name can be. The schema steps over "__proto__" in silence, as it could not write it into its
 * result without changing what that inherits; so a condition of that name would be gone, and its route take everything.
 */
import type { PlacedProblem } from "./issue.ts";
import { isPlainMap } from "./node.ts";
import { formatPath, type Path } from "./path.ts";

/** `problems` with one for each such key of the tree, in place of what else was said of it. */
export function withProtoKeys(tree: unknown, problems: readonly PlacedProblem[]): readonly PlacedProblem[] {
  const found: Path[] = [];
  search(tree, [], found);
  if (found.length === 0) return problems;
  const keys = new Set(found.map(formatPath));
  return [
    ...problems.filter(({ path }) => !keys.has(formatPath(path))),
    ...found.map(
      (path): PlacedProblem => ({ path, at: "key", code: "bad-name", message: '"__proto__" cannot be used as a name' }),
    ),
  ];
}

/** @param path is changed and, at the end, what it was */
function search(value: unknown, path: (string | number)[], found: Path[]): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      path.push(i);
      search(item, path, found);
      path.pop();
    }
  } else if (isPlainMap(value)) {
    for (const key of Object.keys(value)) {
      path.push(key);
      if (key === "__proto__") found.push([...path]);
      search(value[key], path, found);
      path.pop();
    }
  }
}

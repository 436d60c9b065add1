/** A list of endpoints outside of a config: the same shapes, the same messages. */
import { z } from "zod";
import { readJson } from "../../../config/adapters/json/json.ts";
import { readYaml } from "../../../config/adapters/yaml/yaml.ts";
import { catalogOf } from "../../../config/catalog.ts";
import { type Diagnostic, diagnose, hasErrors, type Problem, sortDiagnostics } from "../../../config/diagnostic.ts";
import { problemsOf } from "../../../config/issue.ts";
import { type ConfigNode, locate, toPlain } from "../../../config/node.ts";
import type { Path } from "../../../config/path.ts";
import { endpointListSchema } from "../../../config/schema/upstream.ts";
import { variables } from "../../../http/variable-rules.ts";
import type { EndpointSpec } from "../../endpoint-spec.ts";

export type EndpointList =
  | { readonly endpoints: readonly EndpointSpec[] }
  /** At least one. */
  | { readonly problems: readonly Diagnostic[] };

/** Under the key it would have in a config, so that messages name the parts as they would there. */
const schema = z.strictObject({ endpoints: endpointListSchema });
const NO_NAMES = catalogOf({ middlewares: [], balancers: [], providers: [], checks: [], variables });

/**
 * Reads text as JSON if the file's name says so, else as YAML.
 * @param file as shown in messages
 */
export function readEndpointList(text: string, file: string): EndpointList {
  const { node: root, diagnostics } = file.endsWith(".json") ? readJson(text, file) : readYaml(text, file);
  if (root === null || hasErrors(diagnostics)) return { problems: diagnostics };
  const node = listWithin(root);
  const wrong = (path: Path, problem: Problem, at?: "key" | "value") => diagnose(locate(node, path, at), problem);
  if (node.kind === "scalar" && node.value === null) {
    // What is being written may look like this for a moment.
    const message = "the file is empty: for no endpoints, write []";
    return { problems: [wrong([], { code: "empty-file", message })] };
  }
  const tree = { endpoints: toPlain(node) };
  const result = schema.safeParse(tree);
  if (!result.success) {
    const problems = problemsOf(result.error.issues, tree, schema, NO_NAMES);
    const placed = problems.map((problem) => wrong(problem.path.slice(1), problem, problem.at));
    return { problems: sortDiagnostics(placed, [file]) };
  }
  const { endpoints } = result.data;
  const twice = endpoints.findIndex((one, i) => endpoints.findIndex(({ address }) => address === one.address) < i);
  if (twice < 0) return { endpoints };
  const message = `endpoint ${endpoints[twice]!.address} stands here a second time`;
  return { problems: [wrong(addressPath(node, twice), { code: "duplicate-endpoint", message })] };
}

/** The list may also stand under the key that it has in a config. */
function listWithin(root: ConfigNode): ConfigNode {
  const isWrapped = root.kind === "map" && root.entries.size === 1;
  return (isWrapped ? root.entries.get("endpoints")?.value : undefined) ?? root;
}

function addressPath(node: ConfigNode, index: number): Path {
  const item = node.kind === "list" ? node.items[index] : undefined;
  return item?.kind === "map" ? [index, "address"] : [index];
}

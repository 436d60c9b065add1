/** From method and path to an operation. */
import type { Operation } from "./operation.ts";
import { Problem } from "./problem.ts";

export interface Found {
  readonly operation: Operation;
  readonly params: Readonly<Record<string, string>>;
}

/**
 * @param pathname as in the URL, still percent-encoded: an encoded slash belongs to its segment
 * @throws {Problem} `not-found`, `method-not-allowed`, `bad-request`
 */
export function findOperation(operations: readonly Operation[], method: string, pathname: string): Found {
  const segments = pathname.split("/");
  const here = operations.flatMap((operation) => {
    const params = matched(operation.path.split("/"), segments);
    return params === null ? [] : [{ operation, params }];
  });
  // "HEAD" is answered as "GET"; the runtime leaves the content away.
  const wanted = method === "HEAD" ? "GET" : method;
  const found = here.find(({ operation }) => operation.method === wanted);
  if (found !== undefined) return { operation: found.operation, params: decoded(found.params) };
  if (here.length === 0) {
    throw new Problem("not-found", `there is no ${pathname}`, { hint: "GET /v1/openapi.json lists what there is" });
  }
  const allow = here.map(({ operation }) => (operation.method === "GET" ? "GET, HEAD" : operation.method)).join(", ");
  throw new Problem("method-not-allowed", `${pathname} has no ${method}`, {
    hint: `it has ${allow}`,
    fields: { allow },
  });
}

function matched(pattern: readonly string[], segments: readonly string[]): Record<string, string> | null {
  if (pattern.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (const [i, wanted] of pattern.entries()) {
    if (wanted.startsWith("{")) params[wanted.slice(1, -1)] = segments[i]!;
    else if (wanted !== segments[i]) return null;
  }
  return params;
}

function decoded(params: Readonly<Record<string, string>>): Record<string, string> {
  try {
    return Object.fromEntries(Object.entries(params).map(([name, text]) => [name, decodeURIComponent(text)]));
  } catch {
    throw new Problem("bad-request", "the path has a percent-encoding that is none");
  }
}

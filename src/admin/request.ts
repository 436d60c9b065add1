/** From a request to what an operation is called with, or everything that is wrong with it. */
import { z } from "zod";
import { catalogOf } from "../config/catalog.ts";
import { problemsOf } from "../config/issue.ts";
import { variables } from "../http/variable-rules.ts";
import type { Operation } from "./operation.ts";
import { Problem, type Wrong } from "./problem.ts";

const MAX_OCTETS = 64 * 1024;

export interface Read {
  readonly params: unknown;
  readonly query: unknown;
  readonly content: unknown;
}

/** @throws {Problem} */
export async function readRequest(
  request: Request,
  operation: Operation,
  params: Readonly<Record<string, string>>,
): Promise<Read> {
  const query = Object.fromEntries(new URL(request.url).searchParams);
  return {
    params: parse(params, operation.params, "params", "bad-request"),
    query: parse(query, operation.query, "query", "bad-request"),
    content: operation.content === null ? null : await readContent(request, operation.content),
  };
}

async function readContent(request: Request, schema: z.ZodType): Promise<unknown> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type)) {
    const found = type === "" ? "the content has no type" : `the content is ${type}`;
    throw new Problem("not-json", found, { hint: "send JSON with Content-Type: application/json" });
  }
  const text = await readText(request);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new Problem("bad-request", `the content is not JSON: ${(thrown as Error).message}`);
  }
  return parse(value, schema, "content", "bad-content");
}

async function readText(request: Request): Promise<string> {
  const pieces: Uint8Array[] = [];
  let octets = 0;
  for await (const piece of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    octets += piece.byteLength;
    if (octets > MAX_OCTETS) throw new Problem("content-too-large", `the content is over ${MAX_OCTETS} octets`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

/** What issues of configs are told with; nothing here is written by name. */
const NO_CATALOG = catalogOf({ middlewares: [], balancers: [], providers: [], checks: [], variables });

function parse(
  value: unknown,
  schema: z.ZodType,
  part: "params" | "query" | "content",
  kind: "bad-request" | "bad-content",
): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // Under its own name, so that "the content" is said where a config would be "the config".
  const tree = { [part]: value };
  const issues = result.error.issues.map((issue) => ({ ...issue, path: [part, ...issue.path] }));
  const errors = problemsOf(issues as z.core.$ZodIssue[], tree, z.strictObject({ [part]: schema }), NO_CATALOG).map(
    ({ path, message, hint }): Wrong => ({
      detail: message,
      pointer: pointer(part, path.slice(1)),
      hint: hint ?? null,
    }),
  );
  const [first] = errors;
  const detail = errors.length === 1 ? first!.detail : errors.map((one) => one.detail).join("; ");
  throw new Problem(kind, detail, { hint: errors.length === 1 ? first!.hint : null, errors });
}

function pointer(part: string, path: readonly (string | number)[]): string {
  if (part !== "content") return part === "query" ? `?${path.join(".")}` : `{${path.join(".")}}`;
  return path.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

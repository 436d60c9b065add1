/** What goes wrong in the admin API, as problem details (RFC 9457): what, where, and what to do. */
import type { Diagnostic } from "../config/diagnostic.ts";

/** Kinds of problems: stable, scripts may rely on them. */
export const PROBLEMS = {
  "bad-request": { status: 400, title: "The request cannot be read" },
  "token-missing": { status: 401, title: "A token is needed" },
  "token-wrong": { status: 401, title: "The token is wrong" },
  "no-token-set": { status: 403, title: "Not allowed over TCP while no token is set" },
  "foreign-origin": { status: 403, title: "Not allowed from a page of another place" },
  "not-found": { status: 404, title: "There is no such resource" },
  "unknown-upstream": { status: 404, title: "There is no such upstream" },
  "unknown-endpoint": { status: 404, title: "There is no such endpoint" },
  "unknown-version": { status: 404, title: "There is no such version" },
  "method-not-allowed": { status: 405, title: "The resource does not have this method" },
  "endpoint-exists": { status: 409, title: "The endpoint is there already" },
  "no-room": { status: 409, title: "There is no room for another endpoint" },
  "upgrade-refused": { status: 409, title: "The program on the disk cannot take over" },
  "not-available": { status: 409, title: "Not available here" },
  "content-too-large": { status: 413, title: "The content is too large" },
  "not-json": { status: 415, title: "The content is not JSON" },
  misdirected: { status: 421, title: "Not a name of this listener" },
  "bad-content": { status: 422, title: "The content is not what is needed here" },
  "config-refused": { status: 422, title: "The config cannot be served" },
  internal: { status: 500, title: "A fault of Lintel" },
} as const satisfies Record<string, { readonly status: number; readonly title: string }>;

export type ProblemKind = keyof typeof PROBLEMS;

export const PROBLEM_TYPE = "application/problem+json";

/** One of several things wrong with a request. */
export interface Wrong {
  readonly detail: string;
  /** Where: JSON pointer (RFC 6901) into the content, or "?name" of the query. */
  readonly pointer: string;
  readonly hint: string | null;
}

interface More {
  /** What to do. */
  readonly hint?: string | null;
  readonly errors?: readonly Wrong[];
  readonly diagnostics?: readonly Diagnostic[];
  readonly fields?: Readonly<Record<string, string>>;
}

/** Thrown by operations and guards; the server answers with it. */
export class Problem extends Error {
  constructor(
    readonly kind: ProblemKind,
    readonly detail: string,
    readonly more: More = {},
  ) {
    super(detail);
  }

  toResponse(): Response {
    const { status, title } = PROBLEMS[this.kind];
    const { hint = null, errors, diagnostics, fields = {} } = this.more;
    const content = {
      type: `urn:lintel:problem:${this.kind}`,
      title,
      status,
      detail: this.detail,
      hint,
      ...(errors === undefined ? {} : { errors }),
      ...(diagnostics === undefined ? {} : { diagnostics }),
    };
    return Response.json(content, { status, headers: { "content-type": PROBLEM_TYPE, ...fields } });
  }
}

/**
 * What a CA has against something: a problem document (RFC 8555 §6.7, RFC 7807), or that it could not be
 * asked at all.
 */
import type { HttpProblem } from "./ca-answers.ts";

export class CaProblem extends Error {
  /** "rateLimited", "dns", …; "" if it is none of RFC 8555's: the connection, or another answer. */
  readonly kind: string;
  /** The CA wants no further try before; ms from when it said so. null: it did not say. */
  readonly retryAfterMs: number | null;

  constructor(kind: string, message: string, retryAfterMs: number | null = null) {
    super(message);
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }

  /** Another CA may see it otherwise, but this one will not, however often it is asked. */
  get isFinal(): boolean {
    return ["rejectedIdentifier", "unsupportedIdentifier", "externalAccountRequired", "caa"].includes(this.kind);
  }
}

const PREFIX = "urn:ietf:params:acme:error:";
/** A CA that wants us to wait for longer is asked again all the same. */
const MOST_RETRY_AFTER_MS = 7 * 86_400_000;

/**
 * @param what       what was asked for, such as "a new order"
 * @param otherwise  what is known if the CA gives no detail
 */
export function problemOf(what: string, problem: HttpProblem, otherwise: string, retryAfter?: string): CaProblem {
  const kind = problem.type?.startsWith(PREFIX) === true ? problem.type.slice(PREFIX.length) : "";
  const parts = (problem.subproblems ?? []).map(
    ({ identifier, detail }) => `${identifier?.value ?? ""}: ${detail ?? ""}`,
  );
  const said = [problem.detail ?? otherwise, ...parts].join("; ");
  return new CaProblem(
    kind,
    `${what}: ${oneLine(said)}${kind === "" ? "" : ` (${kind})`}`,
    readRetryAfter(retryAfter ?? null),
  );
}

/** Seconds or a date (RFC 9110 §10.2.3). @returns ms from now, or null */
export function readRetryAfter(value: string | null, now = Date.now()): number | null {
  if (value === null) return null;
  const isDate = /^[A-Z][a-z]{2,8},? /.test(value);
  const ms = /^\d{1,9}$/.test(value.trim()) ? Number(value) * 1000 : isDate ? Date.parse(value) - now : Number.NaN;
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), MOST_RETRY_AFTER_MS);
}

/** It goes into our log: no control characters, and not a novel. */
export const oneLine = (text: string): string => text.replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 1000);

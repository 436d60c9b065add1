/**
 * What a CA's answers hold (RFC 8555 §7.1), as much as we use. A CA, or what stands in for it on the way, may
 * answer with anything: what is read here has the shape that it says.
 */
import { CaProblem } from "./ca-problem.ts";

export interface HttpProblem {
  readonly type?: string;
  readonly detail?: string;
  readonly subproblems?: readonly { readonly detail?: string; readonly identifier?: { readonly value?: string } }[];
}

export type OrderStatus = "pending" | "ready" | "processing" | "valid" | "invalid";

export interface CaOrder {
  readonly url: string;
  readonly status: OrderStatus;
  readonly authorizations: readonly string[];
  readonly finalize: string;
  readonly certificate?: string;
  readonly error?: HttpProblem;
  /** The CA wants to be asked no sooner than in so many ms; null: it did not say. */
  readonly askAgainMs: number | null;
}

export interface CaAuthorization {
  readonly url: string;
  readonly status: "pending" | "valid" | "invalid" | "deactivated" | "expired" | "revoked";
  readonly identifier: { readonly value: string };
  /** Those that we could take: others need not have a token. */
  readonly challenges: readonly CaChallenge[];
  readonly askAgainMs: number | null;
}

export interface CaChallenge {
  readonly type: string;
  readonly url: string;
  readonly token: string;
  readonly status: string;
  readonly error?: HttpProblem;
}

type Members = Readonly<Record<string, unknown>>;

/** @param what  what was asked for, for messages. @throws {CaProblem} */
export function readOrder(what: string, answer: unknown, askAgainMs: number | null): CaOrder {
  const { url, status, authorizations, finalize, certificate, error } = members(answer);
  const isOrder =
    isText(url) &&
    isText(status) &&
    isText(finalize) &&
    Array.isArray(authorizations) &&
    authorizations.every(isText) &&
    (certificate === undefined || isText(certificate));
  if (!isOrder) throw notA(what, "order (RFC 8555 §7.1.3)");
  return {
    url,
    status: status as OrderStatus,
    authorizations,
    finalize,
    ...(isText(certificate) ? { certificate } : {}),
    ...problemIn(error),
    askAgainMs,
  };
}

/** @throws {CaProblem} */
export function readAuthorization(what: string, answer: unknown, askAgainMs: number | null): CaAuthorization {
  const { url, status, identifier, challenges } = members(answer);
  const { value } = members(identifier);
  if (!isText(url) || !isText(status) || !isText(value) || !Array.isArray(challenges))
    throw notA(what, "authorization (RFC 8555 §7.1.4)");
  return {
    url,
    status: status as CaAuthorization["status"],
    identifier: { value },
    challenges: challenges.flatMap(readChallenge),
    askAgainMs,
  };
}

/** §8.1, §8.3: nothing but base64url; it becomes part of a path. */
const TOKEN = /^[\w-]+$/;

function readChallenge(answer: unknown): CaChallenge[] {
  const { type, url, token, status, error } = members(answer);
  if (!isText(type) || !isText(url) || !isText(token) || !TOKEN.test(token)) return [];
  return [{ type, url, token, status: isText(status) ? status : "pending", ...problemIn(error) }];
}

function problemIn(error: unknown): { readonly error?: HttpProblem } {
  return typeof error === "object" && error !== null ? { error: readProblem(error) } : {};
}

/** What of an answer is a problem document (RFC 7807); its members may be missing. */
export function readProblem(answer: unknown): HttpProblem {
  const { type, detail, subproblems } = members(answer);
  const parts = Array.isArray(subproblems) ? subproblems.map(members) : [];
  return {
    ...(isText(type) ? { type } : {}),
    ...(isText(detail) ? { detail } : {}),
    subproblems: parts.map((part) => {
      const { value } = members(part["identifier"]);
      return {
        ...(isText(part["detail"]) ? { detail: part["detail"] } : {}),
        identifier: isText(value) ? { value } : {},
      };
    }),
  };
}

const isText = (value: unknown): value is string => typeof value === "string";

const members = (value: unknown): Members => (typeof value === "object" && value !== null ? (value as Members) : {});

const notA = (what: string, wanted: string) => new CaProblem("", `${what}: the CA's answer is no ${wanted}`);

/**
 * gRPC as a gateway has to know it: which requests are calls, how long they may take, and what status
 * stands for what went wrong. A client of gRPC makes nothing of an error page.
 *
 * PROTOCOL-HTTP2.md and http-grpc-status-mapping.md of the gRPC project.
 */
import { FAILURES, type Failure, type FailureCode } from "../base/failure.ts";
import { NO_BODY } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { Field } from "./field-name.ts";
import { FieldSection } from "./field-section.ts";
import { HttpResponse } from "./message.ts";
import { reasonPhrase } from "./status.ts";

/** Those that a gateway has use for. */
export const GrpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export const GRPC = "application/grpc";

/** Content of gRPC, not of gRPC-Web: `application/grpc`, with or without the message format (`+proto`). */
export function isGrpc(fields: FieldSection): boolean {
  const type = fields.getKnown(Field["content-type"]);
  if (type === undefined || !type.startsWith(GRPC)) return false;
  const next = type.charAt(GRPC.length);
  return next === "" || next === "+" || next === ";";
}

/** What a client makes of an HTTP status that came without a gRPC one; and what such a status means for too large a message. */
function statusOfHttp(status: number): number {
  switch (status) {
    case 400:
      return GrpcStatus.internal;
    case 401:
      return GrpcStatus.unauthenticated;
    case 403:
      return GrpcStatus.permissionDenied;
    case 404:
    case 501:
      return GrpcStatus.unimplemented;
    case 413:
    case 414:
    case 431:
      return GrpcStatus.resourceExhausted;
    case 429:
    case 502:
    case 503:
      return GrpcStatus.unavailable;
    case 408:
    case 504:
      return GrpcStatus.deadlineExceeded;
    case 499:
      return GrpcStatus.cancelled;
    default:
      return GrpcStatus.unknown;
  }
}

/** Where the status says less than the code. */
const BY_CODE: Partial<Record<FailureCode, number>> = {
  internal: GrpcStatus.internal,
  // The call has not begun: it may be made again.
  "upstream-connect-timeout": GrpcStatus.unavailable,
  "tunnel-idle": GrpcStatus.unavailable,
};

/** The cause of a failure where an origin server ended a call's stream by RST_STREAM. */
export class StreamReset {
  /** @param code of RFC 9113 §7 */
  constructor(readonly code: number) {}
}

/** What origin servers mean by it (PROTOCOL-HTTP2.md, "Errors"); other codes say nothing more than that the stream ended. */
const BY_RESET: Readonly<Record<number, number>> = {
  8: GrpcStatus.cancelled,
  11: GrpcStatus.resourceExhausted,
  12: GrpcStatus.permissionDenied,
};

export function statusOfFailure({ code, cause }: Failure): number {
  const byReset = cause instanceof StreamReset ? BY_RESET[cause.code] : undefined;
  return byReset ?? BY_CODE[code] ?? statusOfHttp(FAILURES[code].status);
}

/** The status of a call and why, as trailers. The failure's message stays in the log, as elsewhere. */
export function statusFields(failure: Failure): FieldSection {
  return withStatus(new FieldSection(), statusOfFailure(failure), failure.code);
}

function withStatus(fields: FieldSection, status: number, message: string): FieldSection {
  fields.appendTrusted(Field["grpc-status"], "grpc-status", String(status));
  fields.append("grpc-message", percentEncode(message));
  return fields;
}

/** The status that a call ended with, as it was said; undefined: it was none, or is not over. */
export function statusSaid({ trailers, response }: Exchange): string | undefined {
  return trailers?.getKnown(Field["grpc-status"]) ?? response?.fields.getKnown(Field["grpc-status"]);
}

const percentEncode = (text: string): string =>
  text.replace(/[^ -$&-~]+/g, (run) =>
    [...Buffer.from(run)].map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );

/** What describes content that is not sent. */
const OF_CONTENT = ["content-type", "content-length", "content-encoding", "content-language", "etag", "last-modified"];

/**
 * The response to a call in place of an error that the gateway made itself: a status without
 * messages ("Trailers-Only"). What an origin server said stays as it is.
 * @param contentType of the answer
 * @returns null if there is nothing to replace
 */
export function grpcAnswer(exchange: Exchange, response: HttpResponse, contentType = GRPC): HttpResponse | null {
  const { failure, attempts } = exchange;
  const { status, fields } = response;
  if (status < 400 || (failure === null && attempts !== null && attempts.length > 0)) return null;
  if (fields.hasKnown(Field["grpc-status"])) return null;
  for (const name of OF_CONTENT) fields.delete(name);
  fields.append("content-type", contentType);
  if (failure !== null) withStatus(fields, statusOfFailure(failure), failure.code);
  else withStatus(fields, statusOfHttp(status), `${status} ${reasonPhrase(status)}`);
  const answer = new HttpResponse(200, fields, NO_BODY);
  answer.gatewayFields = response.gatewayFields;
  return answer;
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000001 };

/** How long a call may take, in ms; Infinity if it does not say. */
export function grpcTimeoutMs(fields: FieldSection): number {
  const value = fields.getKnown(Field["grpc-timeout"]);
  if (value === undefined || !isGrpc(fields)) return Infinity;
  const said = /^(\d{1,8})([HMSmun])$/.exec(value);
  return said === null ? Infinity : coarse(Number(said[1]) * UNIT_MS[said[2]!]!);
}

/** A call of a longer time has no limit here. */
const LONGEST_MS = 86_400_000;
const STEPS_PER_DOUBLING = 8;

/**
 * In steps of a twelfth, rounded up: time limits are kept in a list per duration, and a client may
 * name any. It keeps the exact one itself, and had better be the first to know.
 */
function coarse(ms: number): number {
  if (ms > LONGEST_MS) return Infinity;
  const steps = Math.ceil(Math.log2(Math.max(1, ms)) * STEPS_PER_DOUBLING);
  return Math.ceil(2 ** (steps / STEPS_PER_DOUBLING));
}

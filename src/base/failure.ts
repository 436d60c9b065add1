/**
 * The one table of what can go wrong with an exchange: which status the client gets, which side
 * caused it, and under which condition another endpoint may be tried. Every error an exchange can end with is a
 * `Failure`; its code is what the access log, the metrics and `Proxy-Status` say.
 *
 * RFC 9110 §15 (status codes), RFC 9209 §2.3 (proxy error types).
 */

/** Which side ended the exchange. */
export type Side = "downstream" | "gateway" | "upstream";

/**
 * The condition of a retry (`retry.on`) that a failed attempt meets.
 * - `connect`: there was no connection, or no room on one, or the endpoint said that it did not get to the request: nothing was done
 * - `reset`: the connection ended before a response head
 * - `malformed`: the endpoint answered something that is not a response
 * - `timeout`: no response head in time
 * - `never`
 */
export type RetryCause = "connect" | "reset" | "malformed" | "timeout" | "never";

interface FailureKind {
  readonly status: number;
  readonly side: Side;
  readonly retry: RetryCause;
}

const kind = (status: number, side: Side, retry: RetryCause = "never"): FailureKind => ({ status, side, retry });

export const FAILURES = {
  // The request could not be understood or was refused before routing.
  "request-malformed": kind(400, "downstream"),
  "request-line-too-long": kind(414, "downstream"),
  "fields-too-large": kind(431, "downstream"),
  "content-too-large": kind(413, "downstream"),
  "http-version-unsupported": kind(505, "downstream"),
  "method-not-implemented": kind(501, "downstream"),
  "expectation-failed": kind(417, "downstream"),
  "transfer-coding-unsupported": kind(501, "downstream"),
  "misdirected-request": kind(421, "downstream"),
  "too-early": kind(425, "downstream"),
  // These two end a connection of HTTP/2 and what is in work on it; they are never sent as a status.
  "protocol-error": kind(400, "downstream"),
  flooding: kind(429, "downstream"),

  // The client was too slow or went away. 499 is never sent; it is what the log shows.
  "head-timeout": kind(408, "downstream"),
  "content-timeout": kind(408, "downstream"),
  "content-too-slow": kind(408, "downstream"),
  "client-closed": kind(499, "downstream"),
  "client-stalled": kind(499, "downstream"),

  // Decided here.
  "no-site": kind(404, "gateway"),
  "no-route": kind(404, "gateway"),
  "not-found": kind(404, "gateway"),
  forbidden: kind(403, "gateway"),
  "connect-not-allowed": kind(405, "gateway"),
  "upgrade-not-allowed": kind(403, "gateway"),
  "exchange-timeout": kind(504, "gateway"),
  "tunnel-idle": kind(504, "gateway"),
  "too-many-connections": kind(503, "gateway"),
  "shutting-down": kind(503, "gateway"),
  "queue-full": kind(503, "gateway"),
  "queue-timeout": kind(503, "gateway"),
  // Connections are there, and all that they take is in use: not reached, so it may be another endpoint's turn.
  "pool-full": kind(503, "gateway", "connect"),
  "circuit-open": kind(503, "gateway"),
  "content-not-held": kind(503, "gateway"),
  internal: kind(500, "gateway"),

  // The origin server.
  "no-endpoint": kind(503, "upstream"),
  "upstream-resolve-failed": kind(502, "upstream", "connect"),
  "upstream-connect-refused": kind(502, "upstream", "connect"),
  "upstream-connect-failed": kind(502, "upstream", "connect"),
  "upstream-connect-timeout": kind(504, "upstream", "connect"),
  // TLS with it did not come about, so nothing was sent: whoever answered is not to be trusted, the endpoint
  // refused us by an alert, it took too long, or anything else.
  "upstream-untrusted": kind(502, "upstream", "connect"),
  "upstream-tls-refused": kind(502, "upstream", "connect"),
  "upstream-tls-timeout": kind(504, "upstream", "connect"),
  "upstream-tls-failed": kind(502, "upstream", "connect"),
  "upstream-refused": kind(503, "upstream", "connect"),
  "upstream-closed": kind(502, "upstream", "reset"),
  "upstream-reset": kind(502, "upstream", "reset"),
  "upstream-first-octet-timeout": kind(504, "upstream", "timeout"),
  "upstream-attempt-timeout": kind(504, "upstream", "timeout"),
  "upstream-idle-timeout": kind(504, "upstream"),
  "upstream-malformed": kind(502, "upstream", "malformed"),
  "upstream-truncated": kind(502, "upstream"),
} as const satisfies Record<string, FailureKind>;

export type FailureCode = keyof typeof FAILURES;

/**
 * Why an exchange, or one attempt of it, did not go as asked.
 *
 * @example throw new Failure("request-malformed", "two Host fields");
 */
export class Failure extends Error {
  readonly code: FailureCode;
  /** When it is worth trying again, for the Retry-After of the answer; null: nothing is known. */
  readonly retryAfterSeconds: number | null;

  constructor(code: FailureCode, message: string, options?: { cause?: unknown; retryAfterSeconds?: number }) {
    super(message, options);
    this.name = "Failure";
    this.code = code;
    this.retryAfterSeconds = options?.retryAfterSeconds ?? null;
  }

  get status(): number {
    return FAILURES[this.code].status;
  }

  get side(): Side {
    return FAILURES[this.code].side;
  }

  get retry(): RetryCause {
    return FAILURES[this.code].retry;
  }

  /** Whatever was thrown, as a Failure: an unknown error is a fault of ours. */
  static from(thrown: unknown): Failure {
    if (thrown instanceof Failure) return thrown;
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    return new Failure("internal", text, { cause: thrown });
  }
}

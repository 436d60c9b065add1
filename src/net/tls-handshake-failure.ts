/** The ways for a handshake to fail: what the log and the metrics call them, and how the library's reasons are told apart. */

/** Ways for a handshake to fail; what the metrics say. */
export const HANDSHAKE_FAILURES = [
  // Not in time.
  "timeout",
  // Closed or reset by the client, without a word.
  "client-left",
  // Plain HTTP, or something else that is no TLS.
  "not-tls",
  // TLS that breaks its rules.
  "malformed",
  // There is no certificate for the name, and no other is shown.
  "unknown-name",
  "no-common-version",
  "no-common-cipher",
  "no-common-protocol",
  // The client's was not sent, or not trusted.
  "client-certificate",
  // An alert of the client: it does not trust our certificate, most often.
  "refused-by-client",
  // Something is wrong here: a file that cannot be read, say.
  "internal",
] as const;

export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number];

/** From the library's reasons, as `tlsReason` says them. */
export function codeOf(reason: string): HandshakeFailure {
  if (reason.startsWith("no TLS version")) return "no-common-version";
  if (/^no (?:cipher|key exchange group|signature algorithm) in common/.test(reason)) return "no-common-cipher";
  if (reason.startsWith("no application protocol")) return "no-common-protocol";
  if (reason === "no client certificate was sent" || reason.startsWith("the certificate ")) return "client-certificate";
  if (reason.startsWith("the peer ") || /\balert\b/.test(reason)) return "refused-by-client";
  if (reason.startsWith("what was sent is ")) return "not-tls";
  return "malformed";
}

/** Where Lintel's decoders and Node's parser part ways on purpose, and why. */
import type { Verdict } from "./verdict.ts";

export interface Difference {
  readonly why: string;
  /** Does it explain that one of these verdicts has more messages than the other? */
  explains(ours: Verdict, theirs: Verdict, octets: string): boolean;
}

/** Lintel refuses with this message what Node takes. */
const stricter = (ourEnd: RegExp, why: string): Difference => ({
  why,
  explains: (ours, theirs) => ours.messages.length < theirs.messages.length && ourEnd.test(ours.end),
});

/** Lintel takes what Node refuses with this code. */
const looser = (theirEnd: RegExp, why: string, octets = /^/): Difference => ({
  why,
  explains: (ours, theirs, all) =>
    ours.messages.length > theirs.messages.length && theirEnd.test(theirs.end) && octets.test(all),
});

export const DIFFERENCES: readonly Difference[] = [
  stricter(/^more than one Host/, "two Host fields: Node keeps the first, RFC 9112 §3.2 wants 400"),
  stricter(/^Host is not a host/, "Node does not look at what Host says; RFC 9112 §3.2 wants 400 for an invalid one"),
  stricter(/^the request line has no HTTP version/, "Node takes a request line without a version for HTTP/0.9"),
  stricter(
    /^the request line does not begin with a method|^a bare CR before the request line/,
    "Node skips any number of CR and LF, also bare ones, before a request; Lintel skips one CRLF (RFC 9112 §2.2)",
  ),
  stricter(
    /^octet 0x20 in the request target|^not an HTTP version/,
    "Node takes several spaces in the request line; RFC 9112 §3 has one (§3.2 lets a recipient be lenient, and warns of it)",
  ),
  stricter(
    /^no valid authority in the request target|^the request target is neither a path nor an http URI/,
    "Node hands any absolute-form target to the application; a gateway has to route by it (RFC 9112 §3.2.2)",
  ),
  stricter(
    /^Expect: .* cannot be met/s,
    "Node overlooks other expectations beside 100-continue; RFC 9110 §10.1.1 has 417",
  ),
  stricter(
    /^octet 0x[0-9a-f]{2} in the request target/,
    "Node takes obs-text and quotes in a target; RFC 3986 has neither",
  ),
  {
    why: "Node answers the malformed rest of the connection at once, in place of the good request before it",
    explains: (ours, theirs) =>
      ours.messages.length > theirs.messages.length &&
      !["all", "close"].includes(ours.end) &&
      theirs.end.startsWith("HPE_"),
  },
  looser(
    /^HPE_INVALID_METHOD/,
    "Node knows a fixed list of methods; RFC 9110 §9.1 lets anybody define more, and the origin server decides",
  ),
  looser(
    /^HPE_CLOSED_CONNECTION/,
    "octets after a request that closes the connection: Node refuses them with the request, RFC 9112 §9.6 ignores them",
  ),
  looser(
    /^HPE_(STRICT|INVALID_CHUNK_SIZE)/,
    "a chunk extension that is not name=value: Lintel drops extensions unread, so their grammar protects nobody",
    /\r\n[0-9A-Fa-f]+;/,
  ),
  stricter(
    /^Transfer-Encoding with Content-Length or in HTTP/,
    "Transfer-Encoding in HTTP/1.0: RFC 9112 §6.1 calls the framing faulty",
  ),
  stricter(
    /only chunked is spoken here/,
    "a coding under the chunks: Node hands its content on as it came, RFC 9112 §6.1 has 501 for who cannot decode it",
  ),
  stricter(
    /^HTTP\/\d\.\d is not spoken/,
    "Node's HTTP/1 parser takes HTTP/2.0 in a request line; RFC 9110 §15.6.6 has 505",
  ),
  looser(
    /^HPE_INVALID_VERSION/,
    "HTTP/1.2 is to be read as the highest minor version known (RFC 9110 §2.5)",
    /HTTP\/1\.\d/,
  ),
];

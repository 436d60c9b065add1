/** What only a gateway says of a client's certificate: from clients, neither a field nor a trailer is believed. */
export const CERTIFICATE_FIELDS = [
  "x-client-verified",
  "x-client-subject",
  "x-client-issuer",
  "x-client-serial",
  "x-client-fingerprint",
  "client-cert",
  "client-cert-chain",
] as const;

/**
 * Field names the gateway itself looks at, as small numbers. The HTTP/1 decoder recognises them
 * while it validates the octets, so that the engines compare integers instead of strings.
 * All other names are number 0 and are compared by text.
 */
const KNOWN = [
  "", // unknown
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "expect",
  "upgrade",
  "te",
  "trailer",
  "keep-alive",
  "proxy-connection",
  "via",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-real-ip",
  "cookie",
  "set-cookie",
  "content-type",
  "content-encoding",
  "date",
  "server",
  "location",
  "user-agent",
  "referer",
  "authorization",
  "proxy-authenticate",
  "proxy-authorization",
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "etag",
  "last-modified",
  "if-none-match",
  "if-modified-since",
  "if-range",
  "range",
  "vary",
  "age",
  "x-request-id",
  "origin",
  "http2-settings",
  "proxy-status",
  "priority",
  "grpc-timeout",
  "grpc-status",
  "alt-svc",
  ...CERTIFICATE_FIELDS,
] as const;

export type KnownName = Exclude<(typeof KNOWN)[number], "">;

/** The number of a known name. */
export const Field = Object.fromEntries(KNOWN.map((name, id) => [name, id])) as Readonly<Record<KnownName, number>>;

export const knownNameCount = KNOWN.length;

const ids = new Map<string, number>(KNOWN.map((name, id) => [name, id]));

/** @param name in lower case */
export function fieldId(name: string): number {
  return ids.get(name) ?? 0;
}

/** The lower-case name with this number. */
export function knownName(id: number): string {
  return KNOWN[id]!;
}

/** A set of known names as a table indexed by number: 1 = in the set. */
export function fieldSet(...names: KnownName[]): Uint8Array {
  const set = new Uint8Array(KNOWN.length);
  for (const name of names) set[Field[name]] = 1;
  return set;
}

/** Requests and responses as every protocol engine hands them on (RFC 9110 §6). */
import { type BodySource, NO_BODY } from "./body.ts";
import { FieldSection } from "./field-section.ts";

export type Scheme = "http" | "https";

export class HttpRequest {
  /** Case-sensitive token (RFC 9110 §9.1). */
  method: string;
  scheme: Scheme;
  /** Host and optional port as sent: from the absolute-form target if there is one, else from Host. Lower case. "" if an HTTP/1.0 client gave none. */
  authority: string;
  /** Path and query as sent, undecoded: begins with "/", or is "*" (OPTIONS) or, for CONNECT, the authority. */
  target: string;
  fields: FieldSection;
  /** What the gateway itself tells the origin server; written after `fields`. Shared by the requests of a connection: never changed. */
  gatewayFields: FieldSection | null = null;
  body: BodySource;
  /** Token of an `Upgrade` the client asked for with `Connection: upgrade`, e.g. "websocket"; else null. */
  upgrade: string | null = null;
  /** The client said that it takes trailers (`TE: trailers`). */
  acceptsTrailers = false;
  /** Content of length 0 was declared (`Content-Length: 0`), not just none. */
  hasEmptyContent = false;

  constructor(
    method: string,
    scheme: Scheme,
    authority: string,
    target: string,
    fields: FieldSection,
    body: BodySource,
  ) {
    this.method = method;
    this.scheme = scheme;
    this.authority = authority;
    this.target = target;
    this.fields = fields;
    this.body = body;
  }
}

export class HttpResponse {
  status: number;
  fields: FieldSection;
  body: BodySource;
  /** What the gateway itself tells the client; written after `fields`. Shared by many responses: never changed. */
  gatewayFields: FieldSection | null = null;
  /** HTTP version in which it came, for Via (RFC 9110 §7.6.3). */
  receivedVersion: "1.0" | "1.1" | "2" | "3" = "1.1";
  /** After 101 or a 2xx to CONNECT: the tunnel's other end. The client's octets go to `accept`; `body` carries the origin's. */
  tunnel: Tunnel | null = null;

  constructor(status: number, fields: FieldSection = new FieldSection(), body: BodySource = NO_BODY) {
    this.status = status;
    this.fields = fields;
    this.body = body;
  }
}

/** The octets after a switch of protocols: two bodies without framing. */
export interface Tunnel {
  /** Takes what the client sends until it closes its half. */
  accept(fromClient: BodySource): void;
}

/** Safe to send twice (RFC 9110 §9.2.2). */
export function isIdempotent(method: string): boolean {
  switch (method) {
    case "GET":
    case "HEAD":
    case "OPTIONS":
    case "PUT":
    case "DELETE":
    case "TRACE":
      return true;
    default:
      return false;
  }
}

/** A status whose response never has content (RFC 9110 §6.4.1). */
export function isContentless(status: number): boolean {
  return status === 204 || status === 304 || status < 200;
}

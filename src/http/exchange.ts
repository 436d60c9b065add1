/**
 * One request with its response(s): what routes match on, what middlewares see and change, and
 * what telemetry records at the end. One object of fixed shape per request; everything that only
 * some exchanges need is null until it is needed.
 */
import type { Failure, Side } from "../base/failure.ts";
import type { FieldSection } from "./field-section.ts";
import type { HttpRequest, HttpResponse, Scheme } from "./message.ts";
import { hostOf, normalizePath, pathOf, queryOf } from "./target.ts";

/** What the gateway says of one client to one authority (proxy/forwarded.ts). */
export interface ForwardedMemo {
  readonly peer: string;
  readonly authority: string;
  readonly scheme: Scheme;
  readonly protocol: Protocol;
  readonly fields: FieldSection;
  uses: number;
}

/** What is known of a connection before its first request. One object per connection. */
export interface ClientInfo {
  /** Name of the listener that accepted it. */
  readonly listener: string;
  /** Address of the TCP peer, without port; IPv4-mapped IPv6 as IPv4. "" on a unix socket. */
  readonly peer: string;
  readonly peerPort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly tls: TlsFacts | null;
  /** What was said of this client to an origin server last; kept because it is mostly the same again. */
  forwarded?: ForwardedMemo;
}

/** What the handshake said. */
export interface TlsFacts {
  /** "TLSv1.2" or "TLSv1.3". */
  readonly version: string;
  readonly cipher: string;
  /** As asked for, lower case; "" if the client named none. */
  readonly serverName: string;
  /** "" if no protocol was agreed on. */
  readonly alpn: string;
  readonly resumed: boolean;
  /**
   * The rules of a site (versions, client certificates) that held for the handshake, as `rulesOf` (tls/) says them; ""
   * if those of the listener did. A request for a site with rules of its own must not come over a connection made by
   * others: another site's, or its own of before a reload.
   */
  readonly rules: string;
  /** null: the client has shown none, or was not asked. */
  readonly clientCertificate: ClientCertificateFacts | null;
}

export interface ClientCertificateFacts {
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal. */
  readonly serial: string;
  /** SHA-256, hexadecimal, lower case. */
  readonly fingerprint: string;
  /** Why it is not trusted; "" if it is. */
  readonly distrust: string;
  readonly pem: string;
}

/** TCP and UDP: a connection or a session at layer 4, which has no request (relay/). */
export type Protocol = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2" | "HTTP/3" | "TCP" | "UDP";

/** How far an exchange got. */
export type Phase =
  | "head"
  | "route"
  | "request-content"
  | "queue"
  | "connect"
  | "first-octet"
  | "response-content"
  | "tunnel"
  | "done";

/** Who ended the exchange and in which phase; `by: null` means it went to its end. */
export interface Outcome {
  readonly by: Side | null;
  readonly phase: Phase;
  readonly code: string | null;
}

/** One try at an endpoint, kept for log and `explain`. */
export interface Attempt {
  readonly endpoint: string;
  /** Made beside another one that took too long. */
  readonly hedge: boolean;
  /** True on a kept-alive connection. */
  readonly reused: boolean;
  /** Milliseconds of `clock.now`. A moment that has not come is 0. */
  readonly startedAt: number;
  readonly connectedAt: number;
  readonly firstOctetAt: number;
  /** Of the response; 0: there was none. */
  readonly status: number;
  /** null with a response that was complete, and without one for an attempt that was called off since another one won. */
  readonly failure: Failure | null;
}

/** The attempt that decided the exchange: the last one, but for those that were called off since another one won. */
export function decidingAttempt({ attempts }: Exchange): Attempt | null {
  if (attempts === null || attempts.length === 0) return null;
  for (let i = attempts.length - 1; i >= 0; i--) {
    const attempt = attempts[i]!;
    if (attempt.status > 0 || attempt.failure !== null) return attempt;
  }
  return attempts[attempts.length - 1]!;
}

/** Time limits of one exchange, in ms; Infinity = none. Site defaults, replaced by the `timeouts` middleware. */
export interface ExchangeTimeouts {
  readonly connectMs: number;
  readonly firstOctetMs: number;
  readonly upstreamIdleMs: number;
  readonly exchangeMs: number;
  readonly tunnelIdleMs: number;
  readonly contentIdleMs: number;
}

/** The end of an engine that interim responses go to. */
export interface Informer {
  sendInterim(status: number, fields: FieldSection): void;
}

/** Who began an exchange, and wants to know of its end. */
export interface ExchangeOwner {
  finished(): void;
  /** By number of the route: what telemetry keeps of it. */
  readonly counters: unknown[];
}

/** A key under which a middleware keeps something of its own on an exchange. */
export class Slot<T> {
  declare readonly type: T;
  constructor(readonly name: string) {}
}

export class Exchange {
  readonly client: ClientInfo;
  readonly protocol: Protocol;
  /** The client's address: the peer, or what a trusted proxy says (see proxy/client-address.ts). */
  clientAddress: string;
  request: HttpRequest;
  /** The request target as the client sent it, whatever a rewrite made of it since. */
  readonly clientTarget: string;
  /** Lower-case host without port, for matching. */
  host: string;
  /** Path in normal form (http/target.ts), for matching. */
  path: string;

  site: string | null = null;
  route: string | null = null;
  /** Of the route, among all of its generation. */
  routeNumber = -1;
  upstream: string | null = null;
  /** Values of `:name` and `*` in the path pattern that matched. */
  params: Record<string, string> | null = null;
  attempts: Attempt[] | null = null;
  /** What differs from the upstream's and the site's own limits; null = nothing. */
  timeouts: Partial<ExchangeTimeouts> | null = null;
  /** Request content may not exceed this; null = the site's limit. */
  maxContentOctets: number | null = null;

  /** Final response as it goes downstream; null until there is one. */
  response: HttpResponse | null = null;
  /** Trailer section of the response, once it has come; null: it has not, or there is none. */
  trailers: FieldSection | null = null;
  phase: Phase = "route";
  failure: Failure | null = null;

  /** The generation that answers it. */
  generation: ExchangeOwner | null = null;

  /** `clock.now` when the first octet of the request was there. */
  readonly startedAt: number;
  /** Octets of content, as counted by the engine that relayed them. */
  requestOctets = 0;
  responseOctets = 0;

  /** Who sends interim responses. Set by the engine; null if the client does not know them (HTTP/1.0). */
  informer: Informer | null = null;

  #id = "";
  #abortListeners: (() => void)[] | null = null;
  #slots: Map<Slot<unknown>, unknown> | null = null;

  constructor(client: ClientInfo, protocol: Protocol, request: HttpRequest, startedAt: number) {
    this.client = client;
    this.protocol = protocol;
    this.clientAddress = client.peer;
    this.request = request;
    this.clientTarget = request.target;
    this.startedAt = startedAt;
    this.host = hostOf(request.authority);
    this.path = request.target.charCodeAt(0) === 0x2f ? normalizePath(pathOf(request.target)) : request.target;
  }

  /** 32 hexadecimal digits, made when first asked for; a middleware may take over the client's. */
  get id(): string {
    if (this.#id === "") this.#id = crypto.randomUUID().replaceAll("-", "");
    return this.#id;
  }

  set id(id: string) {
    this.#id = id;
  }

  /** True once somebody asked for the id or set it. */
  get hasId(): boolean {
    return this.#id !== "";
  }

  /** Query without "?", as sent. */
  get query(): string {
    return queryOf(this.request.target);
  }

  /** The attempt this exchange waits for, so that it can be called off without a listener per exchange. */
  waitsFor: { cancel(why: Failure): void } | null = null;

  /** Called once if the client goes away, a deadline passes or the server stops before the end. */
  onAbort(listener: () => void): void {
    (this.#abortListeners ??= []).push(listener);
  }

  /** For engines: tells everybody who asked that nobody waits for the response any more. */
  abort(why: Failure): void {
    this.failure ??= why;
    const { waitsFor } = this;
    this.waitsFor = null;
    waitsFor?.cancel(why);
    const listeners = this.#abortListeners;
    this.#abortListeners = null;
    if (listeners !== null) for (const listener of listeners) listener();
  }

  /** Sends an interim (1xx) response at once. */
  inform(status: number, fields: FieldSection): void {
    this.informer?.sendInterim(status, fields);
  }

  get<T>(slot: Slot<T>): T | undefined {
    return this.#slots?.get(slot) as T | undefined;
  }

  set<T>(slot: Slot<T>, value: T): void {
    (this.#slots ??= new Map()).set(slot, value);
  }
}

/**
 * What a `lintel.config.ts` imports.
 *
 * @example
 * import { defineConfig, upstream } from "lintel";
 *
 * const app = upstream("app", { endpoints: ["10.0.0.1:3000", "10.0.0.2:3000"] });
 *
 * export default defineConfig({
 *   sites: [{ hosts: "example.com", routes: [{ match: "/api/*", to: app }, { use: [{ files: { root: "public" } }] }] }],
 * });
 */
import type { z } from "zod";
import type { DurationText, SizeText } from "./base/option.ts";
import { identity, named } from "./config/adapters/typescript/define.ts";
import type { bodyLimit } from "./middleware/body-limit/body-limit.ts";
import type { errorPages } from "./middleware/error-pages/error-pages.ts";
import type { files } from "./middleware/files/files.ts";
import type { grpcWeb } from "./middleware/grpc-web/grpc-web.ts";
import type { headers } from "./middleware/headers/headers.ts";
import type { redirect } from "./middleware/redirect/redirect.ts";
import type { requestId } from "./middleware/request-id/request-id.ts";
import type { respond } from "./middleware/respond/respond.ts";
import type { rewrite } from "./middleware/rewrite/rewrite.ts";
import type { timeouts } from "./middleware/timeouts/timeouts.ts";
import type { first } from "./upstream/balancers/first.ts";
import type { hash } from "./upstream/balancers/hash.ts";
import type { ipHash } from "./upstream/balancers/ip-hash.ts";
import type { leastRequests } from "./upstream/balancers/least-requests.ts";
import type { leastTime } from "./upstream/balancers/least-time.ts";
import type { random } from "./upstream/balancers/random.ts";
import type { randomTwo } from "./upstream/balancers/random-two.ts";
import type { roundRobin } from "./upstream/balancers/round-robin.ts";
import type { dns } from "./upstream/discovery/dns/dns.ts";
import type { dnsSrv } from "./upstream/discovery/dns-srv/dns-srv.ts";
import type { file } from "./upstream/discovery/file/file.ts";
import type { grpc } from "./upstream/health/checks/grpc.ts";
import type { http } from "./upstream/health/checks/http.ts";
import type { tcp } from "./upstream/health/checks/tcp.ts";
import type { tls } from "./upstream/health/checks/tls.ts";

/** A span of time: `"500ms"`, `"30s"`, `"1m30s"`, `"1h"`; `"off"` for no limit. */
export type Duration = DurationText | `${number}m${number}s` | `${number}h${number}m`;

/** An amount of octets: `"64KiB"`, `"10MB"`, or a number; `"off"` for no limit. */
export type Size = SizeText | number;

/** A share of a whole: `"50%"`, or a number from 0 to 1. */
export type Percent = `${number}%` | number;

/** `"host:port"`, `"[v6]:port"` or `"unix:/path"`. */
export type Address = `${string}:${string}`;

/** A block of addresses: `"10.0.0.0/8"`, `"2001:db8::/32"`, or a single address. */
export type Cidr = string;

/** Options of each middleware, by its name in the config. */
export interface Middlewares {
  /** Refuses request content over a size. */
  "body-limit": z.input<typeof bodyLimit.options>;
  /** Answers failures with pages of your own. */
  "error-pages": z.input<typeof errorPages.options>;
  /** Serves files of a folder. */
  files: z.input<typeof files.options>;
  /** Makes calls of gRPC-Web, as browsers make them, into calls of gRPC. */
  "grpc-web": z.input<typeof grpcWeb.options>;
  /** Sets, adds, removes and replaces fields of requests and responses. */
  headers: z.input<typeof headers.options>;
  /** Answers with a redirect. */
  redirect: z.input<typeof redirect.options>;
  /** Gives each exchange an identifier in a field. */
  "request-id": z.input<typeof requestId.options>;
  /** Answers with a fixed response. */
  respond: z.input<typeof respond.options>;
  /** Changes the path and the query that the origin server gets. */
  rewrite: z.input<typeof rewrite.options>;
  /** Sets time limits of the exchange. */
  timeouts: z.input<typeof timeouts.options>;
}

/** Options of each balancer, by its name in `balance`. */
export interface Balancers {
  /** In turn, by weight. */
  "round-robin": z.input<typeof roundRobin.options>;
  /** The one with the fewest exchanges in flight per unit of weight. */
  "least-requests": z.input<typeof leastRequests.options>;
  /** The one with the least latency for what it has in flight. */
  "least-time": z.input<typeof leastTime.options>;
  /** By chance, in proportion to the weights. */
  random: z.input<typeof random.options>;
  /** Of two drawn by chance, the one with fewer exchanges in flight. */
  "random-two": z.input<typeof randomTwo.options>;
  /** By the client's network, as nginx's `ip_hash`. */
  "ip-hash": z.input<typeof ipHash.options>;
  /** By a key: the same key goes to the same endpoint. */
  hash: z.input<typeof hash.options>;
  /** The first one that has room. */
  first: z.input<typeof first.options>;
}

/** Options of each provider, by its name in `discover`. */
export interface Providers {
  /** The addresses of a name. */
  dns: z.input<typeof dns.options>;
  /** The hosts of a service, with ports, weights and priorities. */
  "dns-srv": z.input<typeof dnsSrv.options>;
  /** A list in a file of its own. */
  file: z.input<typeof file.options>;
}

/** Options of each check, by its name in `health.check`. */
export interface Checks {
  /** The endpoint says by gRPC's own health protocol that it is serving. */
  grpc: z.input<typeof grpc.options>;
  /** The endpoint answers a request as it should. */
  http: z.input<typeof http.options>;
  /** It takes a connection. */
  tcp: z.input<typeof tcp.options>;
  /** A TLS handshake succeeds. */
  tls: z.input<typeof tls.options>;
}

/** `{ name: options }`, or the bare name where every option has a default. */
type Entry<List> =
  | { [Name in keyof List]: { [Only in Name]: List[Name] } }[keyof List]
  | { [Name in keyof List]: Record<never, never> extends List[Name] ? Name : never }[keyof List];

export type Use = Entry<Middlewares>;

/** The whole config. */
export interface Config {
  /** Further files, by patterns relative to this one. Lists are joined, maps merged. */
  include?: string | string[];
  /** Number of worker processes. Default: `"auto"`, one per core. */
  workers?: "auto" | number;
  /** User to become once the listening sockets are bound. */
  user?: string;
  /** Addresses to listen on. Default: one named `http` on `":8080"`. */
  listeners?: (ListenAddress | Listener)[];
  /** Certificates that any site may be served with, and where they come from. */
  tls?: Tls;
  /** Proxies in front of this one, whose forwarded fields are believed. Default: none. */
  trustedProxies?: Cidr[];
  /** How much of a message is accepted. */
  limits?: Limits;
  /** How long each part may take. */
  timeouts?: Timeouts;
  /** Where exchanges are sent, by name. An address or a list of addresses is enough. */
  upstreams?: Record<string, Address | Endpoints | UpstreamOptions | Upstream>;
  /** What is served, by host. Needed, unless there is `tcp` or `udp`. */
  sites?: Site[];
  /** TCP connections that are relayed without a look at what they carry (layer 4). */
  tcp?: Tcp[];
  /** UDP datagrams that are relayed, each client's to one endpoint (layer 4). */
  udp?: Udp[];
  /** The admin listener, which serves `/metrics` and the admin API. Default: `127.0.0.1:2020`. */
  admin?: "off" | Admin;
  /** What is written down. */
  telemetry?: Telemetry;
  /** Where this gateway stands; endpoints of the same locality are preferred. */
  locality?: string;
  /** Folder for versions of the config, kept changes and the admin socket. */
  state?: string;
  /** How the config is changed while the program runs. */
  reload?: {
    /** Reload when a file of the config changes. Default: false. */ watch?: boolean;
    /** Applied configs that are kept. Default: 50. */ versions?: number;
  };
  /** Room of the memory that all workers share, which cannot grow while the program runs. */
  zone?: {
    /** Endpoints over all upstreams at one time. Default: 16384. */ endpoints?: number;
    /** Room for the metrics of later configs, in times of what the first one needs. Default: 4. */ growth?: number;
  };
}

export interface Admin {
  address?: ListenAddress;
  /** Bearer token that changes need. Without one, changes can be made over a unix socket only. */
  token?: string;
}

/** `":8080"` is every address of the machine. */
export type ListenAddress = Address | `:${number}`;

/** A certificate with its key: PEM files, watched and swapped when they change. */
export interface Certificate {
  /** The certificate, then those that lead to its CA. */
  cert: string;
  /** Without a passphrase. */
  key: string;
  /** Names it is used for. Default: those that stand in it. */
  names?: string | string[];
}

export interface Tls {
  certificates?: Certificate | Certificate[];
  /** Automatic HTTPS: certificates from public CAs. Who sets this agrees to their terms. */
  acme?: Acme;
  /** Certificates for development names from a CA of this machine's own. */
  local?:
    | boolean
    | {
        /** Besides `localhost`, `.localhost`, `.test` and addresses. */
        names?: string | string[];
        /** Of its certificates. Default: 7d. */
        lifetime?: Duration;
      };
  /** Folder for accounts, keys and certificates that were got. Default: within `state`. */
  storage?: string;
}

/** `email`, `ca` or both. */
export interface Acme {
  /** Where the CA writes to. */
  email?: string;
  /** `letsencrypt` (default), `letsencrypt-staging`, `zerossl`, `google` or a URL; of several, the next is asked if one fails. */
  ca?: AcmeCa | AcmeCa[];
  /** Best first. Default: dns-01 where there is `dns`, else tls-alpn-01, then http-01. */
  challenges?: AcmeChallenge | AcmeChallenge[];
  /** How records for dns-01 are set. */
  dns?: {
    /** By dynamic updates. */
    rfc2136?: {
      server: string;
      zone?: string;
      key?: {
        name: string;
        algorithm?: "hmac-sha256" | "hmac-sha384" | "hmac-sha512" | "hmac-sha1";
        /** Base64. */
        secret: string;
      };
      ttl?: Duration;
      timeout?: Duration;
    };
    /** By a program, called with `present` or `cleanup`, name and value. */
    exec?: { command: string[]; timeout?: Duration };
    /** How long a record may take until it is seen. Default: 2m. */
    propagation?: Duration;
    /** Where it is looked for. */
    resolvers?: string | string[];
  };
  /** Kind of the certificates' keys. Default: ecdsa-p256. */
  key?: "ecdsa-p256" | "ecdsa-p384" | "rsa-2048" | "rsa-4096";
  /** Certificates for names that no site spells out, when a client asks. */
  onDemand?: {
    /** Names that may get one. */
    allow?: string | string[];
    /** URL that is asked with `?domain=name`; 200 says yes. */
    ask?: string;
    /** New certificates per `per`. Default: 10 per 1m. */
    rate?: number;
    per?: Duration;
    /** Names with a certificate at most. Default: 10000. */
    names?: number;
  };
  /** Certificates that are being got at one time. Default: 4. */
  orders?: number;
  /** For one certificate. Default: 5m. */
  timeout?: Duration;
}

export type AcmeChallenge = "http-01" | "tls-alpn-01" | "dns-01";

export type AcmeCa =
  | string
  | {
      directory: string;
      /** PEM file: the CAs to trust when talking to it. */
      roots?: string;
      /** External account binding: what the CA has given you. */
      accountBinding?: { id: string; key: string };
      /** Common name of the root to prefer. */
      preferredChain?: string;
    };

export type TlsVersion = "1.2" | "1.3";

export interface ListenerTls {
  /** Mozilla's `modern` (TLS 1.3 alone) or `intermediate`, or what `custom` says. Default: intermediate. */
  profile?: "modern" | "intermediate" | "custom";
  custom?: {
    minVersion?: TlsVersion;
    maxVersion?: TlsVersion;
    /** For TLS 1.2, in OpenSSL's names, best first. */
    ciphers?: string | string[];
    /** For the key exchange, best first. */
    groups?: string | string[];
  };
  /** Name whose certificate is shown to clients that name none. Default: the first certificate's. */
  default?: string;
  /** Clients that ask for a name without a certificate get the default one, or are refused. */
  unknownNames?: "default" | "refuse";
  /** Best first. Default: h2, http/1.1. */
  alpn?: ("h2" | "http/1.1")[];
  handshakeTimeout?: Duration;
  /** Per worker. */
  maxHandshakes?: number;
}

export interface ListenerHttp3 {
  /** How long clients remember it (`ma` of Alt-Svc). Default: 1d. */
  maxAge?: Duration;
  /** Tell clients that come over TCP. Default: true. */
  advertise?: boolean;
  /** Take safe requests before the handshake is over; they may be replayed. Default: false. */
  earlyData?: boolean;
}

export interface SiteTls {
  certificates?: Certificate | Certificate[];
  /** Who certifies its hosts that have no certificate. */
  issuer?: "acme" | "local" | "none";
  /** If higher than the listener's. */
  minVersion?: TlsVersion;
  /** Clients show a certificate (mutual TLS). */
  clientAuth?: {
    /** Default: required. */
    mode?: "required" | "optional";
    /** PEM file: the CAs that sign clients' certificates. */
    ca: string;
    /** PEM file: revocation lists. */
    crl?: string;
  };
}

export interface OriginTls {
  /** Check who signed the certificate, its dates and its name. Default: true. */
  verify?: boolean;
  /** PEM file: the CAs to trust instead of the usual ones. */
  ca?: string;
  /** SHA-256 of public keys (`sha256//…=`), one of which the server must have. */
  pins?: string | string[];
  /** PEM files: the certificate to show to the server, and its key. */
  cert?: string;
  key?: string;
  /** Name to ask for and to check. Default: the host of `branding.as`, else the endpoint's. */
  serverName?: string;
  minVersion?: TlsVersion;
  handshakeTimeout?: Duration;
}

export interface Listener {
  /** Name that sites use in their own `listeners`. Default: the address. */
  name?: string;
  address: ListenAddress;
  /** Open connections over all workers; more wait until one closes. Default: 10000. */
  maxConnections?: number;
  /** Connections the system keeps waiting to be accepted. Default: 4096. */
  backlog?: number;
  /** Take connections up when the client has sent something, or after a second: cheaper, and those that say nothing cost little. Default: true. */
  deferAccept?: boolean;
  /** May the CONNECT method reach a route? Otherwise it is refused with 405. Default: false. */
  allowConnect?: boolean;
  /** TLS on this listener: `true`, or how. Default: false. */
  tls?: boolean | ListenerTls;
  /** HTTP/3 beside it, on the UDP port of the same number: `true`, or how. Default: false. */
  http3?: boolean | ListenerHttp3;
  /** Peers (CIDR blocks) whose connections begin with a PROXY header. */
  proxyProtocol?: Cidr[];
}

/** Connections to some addresses, relayed to an upstream. */
export interface Tcp {
  /** Name in logs and metrics. Default: its first address. */
  name?: string;
  listen: ListenAddress | ListenAddress[];
  /** Peers (CIDR blocks) whose connections begin with a PROXY header. */
  proxyProtocol?: Cidr[];
  /** End TLS here: `true`, or how. Default: octets pass through as they are. */
  tls?: boolean | (Omit<ListenerTls, "alpn"> & { /** Best first. Default: none is spoken of. */ alpn?: string[] });
  routes?: {
    /** Name in logs and metrics. Default: the name of the entry and the route's number. */
    name?: string;
    match?: {
      /** Asked for in the handshake: `"db.example.com"`, `"*.example.com"` (one label), `".example.com"` (any depth below). */
      serverName?: string | string[];
      /** Address blocks the client is in, seen past a PROXY header. */
      client?: Cidr | Cidr[];
    };
    to: To;
  }[];
  /** Where clients go that no route takes. */
  to?: To;
  /** Open connections over all workers; more wait until one closes. Default: 10000. */
  maxConnections?: number;
  /** Open connections of one client address, in each worker; more are reset. Default: off. */
  maxPerClient?: number | "off";
  /** Connections the system keeps waiting to be accepted. Default: 4096. */
  backlog?: number;
  timeouts?: {
    /** For the ClientHello, where a route needs its server name. Default: 5s. */
    hello?: Duration;
    /** Without an octet in either direction. Default: 1h. */
    idle?: Duration;
    /** Without an octet, once one side has ended. Default: 1m. */
    halfClosed?: Duration;
  };
}

/** Datagrams to some addresses, relayed to an upstream. */
export interface Udp {
  /** Name in logs and metrics. Default: its first address with `/udp`. */
  name?: string;
  listen: ListenAddress | ListenAddress[];
  routes?: {
    /** Name in logs and metrics. Default: the name of the entry and the route's number. */
    name?: string;
    match?: { /** Address blocks the client is in. */ client?: Cidr | Cidr[] };
    to: To;
  }[];
  /** Where clients go that no route takes. */
  to?: To;
  /** Sessions at one time over all workers. Default: 10000. */
  maxSessions?: number;
  /** Sessions of one client address, in each worker; datagrams that would begin more are dropped. Default: off. */
  maxPerClient?: number | "off";
  /** A session is over when so many datagrams have come back, such as 1 for DNS. Default: off. */
  responses?: number | "off";
  timeouts?: { /** Without a datagram in either direction. Default: 1m. */ idle?: Duration };
}

export interface Limits {
  /** Longest request line. Default: 8KiB. */
  requestLine?: Size;
  /** Longest single field line. Default: 8KiB. */
  fieldLine?: Size;
  /** All field lines of a request together. Default: 32KiB. */
  fieldSection?: Size;
  /** Number of field lines. Default: 100. */
  fields?: number;
  /** Trailer section of a message. Default: 8KiB. */
  trailers?: Size;
  /** What a worker may have queued for slow peers before it reads in small pieces only. Default: 16MiB. */
  queued?: Size;
  /** Extensions of one chunk. Default: 1KiB. */
  chunkExtensions?: Size;
  http2?: {
    streams?: number;
    streamWindow?: Size;
    connectionWindow?: Size;
    windowGrowth?: Size;
    resets?: number;
    resetsPerSecond?: number;
    frames?: number;
    framesPerSecond?: number;
  };
  /** They hold until the program starts again. */
  http3?: {
    /** Requests at one time in one session. Default: 100. */
    streams?: number;
    streamWindow?: Size;
    sessionWindow?: Size;
    sessionsPerAddress?: number;
    /** Request content that waits for origin servers, in files. Default: 1GiB. */
    held?: Size;
    /** Names of certificates, at 0.9 MB each. Default: 200. */
    names?: number;
  };
  /** Request content. Default: 100MB. */
  content?: Size;
}

export interface Timeouts {
  /** From the first octet of a request to the end of its head. Default: 30s. */
  head?: Duration;
  /** Without an octet of request content. Default: 30s. */
  contentIdle?: Duration;
  /** Least octets of request content per second, after 5 s of grace. Default: 500B. */
  contentRate?: Size;
  /** An idle connection waits for its next request. Default: 75s. */
  keepAlive?: Duration;
  /** The client takes no octet of the response. Default: 60s. */
  send?: Duration;
  /** To connect to an endpoint. Default: 5s. */
  connect?: Duration;
  /** From the request sent to the first octet of the response. Default: 60s. */
  firstOctet?: Duration;
  /** Without an octet of the response's content. Default: 60s. */
  upstreamIdle?: Duration;
  /** The whole exchange. Default: off. */
  exchange?: Duration;
  /** After so long a connection of HTTP/2 takes no new requests. Default: off. */
  connectionAge?: Duration;
  /** A tunnel (WebSocket, CONNECT) without an octet in either direction. Default: 1h. */
  tunnelIdle?: Duration;
  /** Before we send 100 (Continue) ourselves, if the origin server does not. Default: 1s. */
  continue?: Duration;
  /** What is in flight may finish when a worker stops. Default: 30s. */
  drain?: Duration;
}

export type Endpoint = Address | EndpointOptions;
export type Endpoints = Endpoint[];

export interface EndpointOptions {
  address: Address;
  /** 0 to 1000; 0 gets only exchanges that are bound to it (sticky). Default: 1. */
  weight?: number;
  /** Used only while no endpoint without this is usable. Default: false. */
  backup?: boolean;
  /** Lower ones first; higher ones are used only while no lower one is usable. Default: 0. */
  priority?: number;
  /** Where it stands; that of the gateway goes before others of its priority. */
  locality?: string;
  /** Exchanges at one time, over all workers. Default: the upstream's. */
  maxInFlight?: number | "off";
}

export interface UpstreamOptions {
  /** Addresses of the origin servers. Needed unless `discover` finds them. */
  endpoints?: Endpoint | Endpoints;
  /** What finds further endpoints. */
  discover?: Entry<Providers> | Entry<Providers>[];
  /** Limit of the endpoints that have none of their own. Default: off. */
  maxInFlight?: number | "off";
  /** How an endpoint is picked. Default: `"round-robin"`. */
  balance?: Entry<Balancers>;
  /** Clients come back to the endpoint that served them first. Default: `"off"`. */
  sticky?: "off" | "cookie" | Sticky;
  /** How long an endpoint that has come or come back takes to get its whole share. Default: `"off"`, at once. */
  slowStart?: Duration;
  /** Exchanges that wait while every endpoint has `maxInFlight`. */
  queue?: "off" | { /** Default: 1000. */ size?: number /** Default: 5s. */; timeout?: Duration };
  /** How it is found out which endpoints are well. */
  health?: Health;
  /** Stops sending to an upstream that fails, and answers 503 at once. Default: `"off"`. */
  circuit?: "off" | Circuit;
  /** Further attempts when one fails: how many, or everything about them. Default: 2. */
  retry?: "off" | number | Retry;
  /** A second attempt beside a slow first one, for idempotent requests without content. Default: `"off"`. */
  hedge?: "off" | { /** Without a response for this long. */ after: Duration };
  /** Host sent to the origin server. Default: `"keep"`, the client's. */
  host?: "keep" | "endpoint" | (string & {});
  /** TLS to the endpoints: `true`, or how. Default: false. */
  tls?: boolean | OriginTls;
  /** `http2` is that alone: by ALPN over TLS, else by prior knowledge; `auto`, over TLS, whichever the endpoint says. Default: `"http1"`. */
  protocol?: "http1" | "http2" | "auto";
  /** Begins each connection with a PROXY header; clients share none then. Default: `"off"`. */
  proxyProtocol?: "off" | "v1" | "v2";
  /** For an upstream on another host name that should work under yours. */
  branding?:
    | false
    | {
        /** The origin it believes it is: `Host`, and with `tls` the server name. */ as:
          | `http://${string}`
          | `https://${string}`;
      };
  /** Connections kept open, per endpoint and worker. */
  pool?: {
    /** Default: 256. */
    maxIdle?: number;
    /** Default: 60s. */
    idleTimeout?: Duration;
    /** Exchanges at one time on a connection of HTTP/2. Default: 100. */
    streams?: number;
    /** Connections of HTTP/2 at one time. Default: `"off"`, as many as are needed. */
    connections?: number | "off";
  };
  /** Own timeouts of this upstream; else those of the config. */
  timeouts?: { connect?: Duration; firstOctet?: Duration; idle?: Duration };
}

/** By a cookie, which is the default, or by a field. */
export interface Sticky {
  /** Its name, or everything about it. */
  cookie?: string | StickyCookie;
  /** The request and response field that names the endpoint, instead of a cookie. */
  field?: string;
  /** Key of the endpoints' names, so that nobody can guess one. Default: a hash of the address. */
  secret?: string;
}

export interface StickyCookie {
  /** Default: `"lintel"`. */
  name?: string;
  /** How long the client keeps it. Default: `"off"`, until the browser is closed. */
  ttl?: Duration;
  /** Only over https. Default: `"auto"`, as the request came. */
  secure?: "auto" | boolean;
  /** Out of reach for scripts. Default: true. */
  httpOnly?: boolean;
  /** Whether requests that come from other sites carry it. Default: `"lax"`. */
  sameSite?: "strict" | "lax" | "none";
  /** Default: `"/"`. */
  path?: string;
  /** Default: the host of the request alone. */
  domain?: string;
}

export interface Health {
  /** How endpoints are asked: one check with its options. Default: `"off"`. */
  check?: "off" | Check;
  /** What traffic says: endpoints that fail are ejected for a while. */
  passive?: "off" | PassiveHealth;
  /** When no endpoint is usable: try all that are not disabled, or answer 503. Default: `"try-all"`. */
  whenAllDown?: "try-all" | "fail";
}

/** The bare name of a check, or its options beside how often it is made. */
export type Check =
  | Exclude<Entry<Checks>, object>
  | { [Name in keyof Checks]: { [Only in Name]: Checks[Name] } & CheckTimes }[keyof Checks];

export interface CheckTimes {
  /** Time between two checks of an endpoint. Default: 5s. */
  every?: Duration;
  /** How long one may take. Default: 2s. */
  timeout?: Duration;
  /** Passes in a row until an endpoint is up again. Default: 2. */
  rise?: number;
  /** Failures in a row until it is down. Default: 3. */
  fall?: number;
  /** Before the first verdict. Default: `"unknown"`, which gets traffic. */
  initial?: "unknown" | "up" | "down";
  /** Asked there instead of at the endpoint's own port. */
  port?: number;
}

export interface PassiveHealth {
  /** Failures in a row that eject an endpoint. Default: 3. */
  failures?: number | "off";
  /** Failures further apart do not count as in a row; also the window of `rate` and `latency`. Default: 10s. */
  window?: Duration;
  /** Share of failures within the window that ejects. Default: `"off"`. */
  rate?: Percent | "off";
  /** Attempts there must be in the window for `rate` and `latency` to count. Default: 20. */
  rateRequests?: number;
  /** Statuses that count as failures. Default: 502, 503 and 504. */
  statuses?: Status | Status[];
  /** An endpoint this many times slower than the upstream's median is ejected. Default: `"off"`. */
  latency?: number | "off";
  /** The first ejection; each further one is twice as long. Default: 10s. */
  ejectFor?: Duration;
  /** The longest ejection. Default: 5m. */
  ejectMax?: Duration;
  /** Share of endpoints ejected at most. Default: 50%. */
  maxEjected?: Percent;
}

/** A status, or a class of them. */
export type Status = number | `${1 | 2 | 3 | 4 | 5}xx`;

export interface Circuit {
  /** Share of failed exchanges within the window that opens it. Default: 50%. */
  failures?: Percent;
  /** Exchanges there must be in the window. Default: 20. */
  requests?: number;
  /** What is looked at. Default: 10s. */
  window?: Duration;
  /** How long it stays open before probes are let through. Default: 10s. */
  openFor?: Duration;
  /** Probes that must succeed in a row to close it. Default: 3. */
  probes?: number;
}

export interface Retry {
  /** Further attempts at most, each at an endpoint that was not tried. Default: 2. */
  attempts?: number;
  /** What makes another attempt. Default: connect, reset and malformed. */
  on?: ("connect" | "reset" | "malformed" | "timeout" | Status)[];
  /** Repeat requests that are not idempotent too, although the origin server may have acted. Default: false. */
  anyMethod?: boolean;
  /** Retries may make up this share of the exchanges, beyond `budgetFloor`. Default: 20%. */
  budget?: Percent;
  /** Retries per second that are always possible. Default: 10. */
  budgetFloor?: number;
  /** Request content kept for another attempt, per exchange. Default: `"off"`. */
  content?: Size;
  /** Limit of one attempt until its response begins. Default: `"off"`. */
  perAttempt?: Duration;
}

declare const MADE: unique symbol;

/** Made by `upstream()`; a route's `to` takes it as it is. */
export interface Upstream extends UpstreamOptions {
  readonly [MADE]: true;
}

/** A name from `upstreams`, an upstream, an address, or a list of addresses. */
export type To = string | Upstream | Endpoints;

export interface Site {
  /** Name in logs and metrics. Default: its first host. */
  name?: string;
  /**
   * `"example.com"`, `"*.example.com"` (one label), `".example.com"` (any depth below), `"~regex"`.
   * Default: every host.
   */
  hosts?: string | string[];
  /** Names of the listeners it is reached by. Default: all. */
  listeners?: string[];
  /** Certificates and rules of this site's names. */
  tls?: SiteTls;
  /** Middlewares around every route, in the order they see the request. */
  use?: Use[];
  /** In which order routes are tried. Default: `"specific"`, the most specific first. */
  order?: "specific" | "file";
  routes?: Route[];
  /** Where requests go that no route takes. */
  to?: To;
}

export interface Route {
  /** Name in logs and metrics. Default: the site's name and the route's number. */
  name?: string;
  /** Which requests it takes: a path pattern, or conditions. Default: all. */
  match?: string | Match;
  /** Middlewares, in the order they see the request. */
  use?: Use[];
  /** Where they are sent. Needed unless a middleware responds. */
  to?: To;
}

/** `true`: present; `false`: absent; else any of these values. */
export type ValueMatch = boolean | string | number | (string | number)[];

/** All that are given must hold; of a list, any one. */
type HttpVersion = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2" | "HTTP/3";

export interface Match {
  /** As a site's `hosts`. */
  host?: string | string[];
  /** `"/exact"`, `"/prefix/*"`, `"/users/:id"` or `"~regex"`. */
  path?: string | string[];
  method?: string | string[];
  /** Request fields by name. */
  field?: Record<string, ValueMatch>;
  /** Query parameters by name. */
  query?: Record<string, ValueMatch>;
  /** Cookies by name. */
  cookie?: Record<string, ValueMatch>;
  /** Variables by name, such as `"tls.version"`; one that is empty counts as absent. */
  variable?: Record<string, ValueMatch>;
  /** Address blocks the client is in, seen past trusted proxies. */
  client?: Cidr | Cidr[];
  protocol?: HttpVersion | HttpVersion[];
  scheme?: "http" | "https" | ("http" | "https")[];
  not?: string | Match;
  any?: (string | Match)[];
  all?: (string | Match)[];
}

export interface Telemetry {
  /** One line per exchange. Default: `"off"`. */
  accessLog?: "off" | "json" | "combined" | AccessLog;
  /** The program's own log, on standard error. */
  log?: {
    /** Default: `"info"`. */ level?: "debug" | "info" | "warn" | "error" /** Default: `"text"`. */;
    format?: "text" | "json";
  };
}

export interface AccessLog {
  /** `"json"`, `"combined"`, or a template with {variables}. Default: `"json"`. */
  format?: "json" | "combined" | `${string}{${string}}${string}`;
  /** `"stdout"` or the path of a file, which is opened again on SIGUSR1. Default: `"stdout"`. */
  output?: "stdout" | (string & {});
  /** Octets gathered before they are written. Default: 64KiB. */
  buffer?: Size;
  /** How long a line waits at most. Default: 1s. */
  flush?: Duration;
  /** Octets waiting for a slow disk before lines are dropped and counted. Default: 4MiB. */
  maxPending?: Size;
}

/** The config as it is; gives completion and types. A config file exports its result by default. */
export function defineConfig(config: Config): Config {
  return identity(config);
}

/**
 * A named upstream as a value, so that a misspelt or unused one cannot be written.
 *
 * @param name  its name in logs and metrics; unique in the config
 *
 * @example
 * const app = upstream("app", { endpoints: "localhost:3000" });
 * export default defineConfig({ sites: [{ to: app }] });
 */
export function upstream(name: string, options: UpstreamOptions): Upstream {
  return named(name, options) as Upstream;
}

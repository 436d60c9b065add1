/**
 * The config as the other rooms see it: plain data, every default filled in, durations in
 * milliseconds, sizes in octets ("off" is Infinity), shorthands written out. Made by `loadConfig`
 * or `parseGatewayConfig`; nothing in it refers back to the text it came from, except the `path`s,
 * which are for messages.
 */

import type { TcpConfig, UdpConfig } from "./relay-config.ts";

export interface GatewayConfig {
  /** Number of worker processes; "auto" is one per core. */
  readonly workers: number | "auto";
  /** User to become once the listening sockets are bound; null: stay. */
  readonly user: string | null;
  /** None only if there are no sites. */
  readonly listeners: readonly ListenerConfig[];
  /** CIDR blocks ("10.0.0.0/8", "::1/128") of proxies whose forwarded fields are believed. */
  readonly trustedProxies: readonly string[];
  readonly tls: TlsConfig;
  readonly limits: LimitsConfig;
  readonly timeouts: TimeoutsConfig;
  /** Those of `upstreams`, then those made from the addresses written in a `to`. */
  readonly upstreams: readonly UpstreamConfig[];
  /** None only if there is `tcp` or `udp`. */
  readonly sites: readonly SiteConfig[];
  readonly tcp: readonly TcpConfig[];
  readonly udp: readonly UdpConfig[];
  /** null: no admin listener. */
  readonly admin: AdminConfig | null;
  readonly telemetry: TelemetryConfig;
  /** Where this gateway stands; endpoints of the same locality are preferred. */
  readonly locality: string | null;
  /** Folder for versions, kept changes and the admin socket; null: the default of the machine. */
  readonly state: string | null;
  readonly reload: ReloadConfig;
  readonly zone: ZoneConfig;
}

export interface ReloadConfig {
  /** Reload when a file of the config changes. */
  readonly watch: boolean;
  /** Versions kept; 0: none. */
  readonly versions: number;
}

/** Room of the shared memory, which cannot grow while the program runs. */
export interface ZoneConfig {
  /** Endpoints over all upstreams at one time. */
  readonly endpoints: number;
  /** Room for metrics that later configs add, in times of what the first one needs. */
  readonly growth: number;
}

export interface ListenerConfig {
  readonly name: string;
  /** "host:port", ":port" for every address, "[v6]:port", or "unix:/path". */
  readonly address: string;
  /** Open connections, over all workers. */
  readonly maxConnections: number;
  readonly backlog: number;
  /** Connections are taken up when their first octets are there. */
  readonly deferAccept: boolean;
  /** May CONNECT reach a route at all? */
  readonly allowConnect: boolean;
  /** null: plain. */
  readonly tls: ListenerTlsConfig | null;
  /** null: none. Only with `tls`, and not on unix sockets. */
  readonly http3: ListenerHttp3Config | null;
  /** CIDR blocks of peers whose connections begin with a PROXY header. */
  readonly proxyProtocol: readonly string[];
}

/** HTTP/3 on the UDP port of the listener's number. */
export interface ListenerHttp3Config {
  /** ms that clients remember it for. */
  readonly maxAge: number;
  /** Clients that come over TCP are told of it. */
  readonly advertise: boolean;
  /** Safe requests are taken before the handshake is over (RFC 8470). */
  readonly earlyData: boolean;
}

export interface TlsConfig {
  /** For any site. */
  readonly certificates: readonly CertificateConfig[];
  /** For sites that say nothing of their own; false: plain HTTP is served. */
  readonly redirect: HttpsRedirectConfig | false;
  readonly hsts: HstsConfig | false;
  /** null: no certificates are got from a CA. */
  readonly acme: AcmeConfig | null;
  /** null: no CA of our own. */
  readonly local: LocalCaConfig | null;
  /** Folder for accounts, keys and certificates that were got; null: within the state folder. */
  readonly storage: string | null;
}

/** Certificates from public CAs (RFC 8555). */
export interface AcmeConfig {
  readonly email: string | null;
  /** At least one; the next is asked if one fails. */
  readonly cas: readonly AcmeCaConfig[];
  /** Best first; "dns-01" only with `dns`. */
  readonly challenges: readonly ("http-01" | "tls-alpn-01" | "dns-01")[];
  readonly dns: DnsChallengeConfig | null;
  readonly keyKind: "ecdsa-p256" | "ecdsa-p384" | "rsa-2048" | "rsa-4096";
  /** null: only names that a site spells out. */
  readonly onDemand: OnDemandConfig | null;
  /** At one time. */
  readonly orders: number;
  /** Of one order; ms. */
  readonly timeout: number;
}

export interface AcmeCaConfig {
  /** For messages, logs and metrics. */
  readonly name: string;
  /** URL. */
  readonly directory: string;
  /** PEM file; null: the usual CAs. */
  readonly roots: string | null;
  /** External account binding. */
  readonly accountBinding: { readonly id: string; readonly key: string } | null;
  /** Common name of a root. */
  readonly preferredChain: string | null;
}

export interface DnsChallengeConfig {
  readonly provider: DynamicUpdateConfig | DnsHookConfig;
  /** ms; 0: records are not looked for before the CA is asked to. */
  readonly propagation: number;
  /** "host:port"; null: the provider's. */
  readonly resolvers: readonly string[] | null;
}

export interface DynamicUpdateConfig {
  readonly kind: "rfc2136";
  /** "host:port". */
  readonly server: string;
  /** null: found out. */
  readonly zone: string | null;
  readonly key: {
    readonly name: string;
    readonly algorithm: "hmac-sha256" | "hmac-sha384" | "hmac-sha512" | "hmac-sha1";
    /** Base64. */
    readonly secret: string;
  } | null;
  /** ms. */
  readonly ttl: number;
  /** ms. */
  readonly timeout: number;
}

export interface DnsHookConfig {
  readonly kind: "exec";
  readonly command: readonly string[];
  /** ms. */
  readonly timeout: number;
}

/** At least one of `allow` and `ask` is given. */
export interface OnDemandConfig {
  /** Host patterns. */
  readonly allow: readonly string[] | null;
  /** URL. */
  readonly ask: string | null;
  /** New certificates within `per` (ms). */
  readonly rate: number;
  readonly per: number;
  /** In the store. */
  readonly names: number;
}

/** A CA of this machine's own, for development names. */
export interface LocalCaConfig {
  /** Host patterns, besides those that always are. */
  readonly names: readonly string[];
  /** Of its certificates; ms. */
  readonly lifetime: number;
}

/** Paths are as written: relative ones belong to the folder of the config file. */
export interface CertificateConfig {
  readonly cert: string;
  readonly key: string;
  /** Lower case; null: those in the certificate. */
  readonly names: readonly string[] | null;
}

/** How TLS is ended. */
export interface TlsEndConfig {
  readonly profile: "modern" | "intermediate" | "custom";
  /** Only with `profile: custom`. */
  readonly custom: CustomProfileConfig | null;
  /** Name whose certificate clients get that name none; null: the first certificate. */
  readonly default: string | null;
  readonly unknownNames: "default" | "refuse";
  /** Protocols to agree on, best first; empty: nothing is agreed on. */
  readonly alpn: readonly string[];
  /** ms. */
  readonly handshakeTimeout: number;
  /** Per worker. */
  readonly maxHandshakes: number;
}

export interface ListenerTlsConfig extends TlsEndConfig {
  readonly alpn: readonly ("h2" | "http/1.1")[];
}

export interface CustomProfileConfig {
  readonly minVersion: TlsVersionConfig;
  readonly maxVersion: TlsVersionConfig;
  /** null: those of `intermediate`. */
  readonly ciphers: readonly string[] | null;
  readonly groups: readonly string[] | null;
}

export type TlsVersionConfig = "TLSv1.2" | "TLSv1.3";

/** Where plain requests go for hosts that a certificate covers. */
export interface HttpsRedirectConfig {
  readonly status: 301 | 302 | 307 | 308;
  /** null: that of the site's first listener with TLS. */
  readonly port: number | null;
}

export interface HstsConfig {
  /** ms. */
  readonly maxAge: number;
  readonly subdomains: boolean;
  readonly preload: boolean;
}

export interface SiteTlsConfig {
  /** They go before those of `TlsConfig`, for every site. */
  readonly certificates: readonly CertificateConfig[];
  /** Who certifies names without one; null: `local` for development names, `acme` for others, where they are set. */
  readonly issuer: "acme" | "local" | "none" | null;
  /** null: the listener's. */
  readonly minVersion: TlsVersionConfig | null;
  /** null: clients are not asked for certificates. */
  readonly clientAuth: ClientAuthConfig | null;
  /** null: as `TlsConfig` says. */
  readonly redirect: HttpsRedirectConfig | false | null;
  readonly hsts: HstsConfig | false | null;
}

export interface ClientAuthConfig {
  readonly mode: "required" | "optional";
  readonly ca: string;
  readonly crl: string | null;
  /** What origin servers are told. */
  readonly forward: readonly ("verified" | "subject" | "issuer" | "serial" | "fingerprint" | "certificate")[];
}

export interface OriginTlsConfig {
  /** The CA, the dates and the name are checked. */
  readonly verify: boolean;
  /** null: the usual ones. */
  readonly ca: string | null;
  /** SHA-256 of public keys, base64; empty: any key. */
  readonly pins: readonly string[];
  readonly identity: { readonly cert: string; readonly key: string } | null;
  /** null: the endpoint's host. Of an upstream with branding it is never null. */
  readonly serverName: string | null;
  readonly minVersion: TlsVersionConfig;
  /** ms. */
  readonly handshakeTimeout: number;
}

/** Octets, except `fields`, which is a number of field lines. */
export interface LimitsConfig {
  readonly requestLine: number;
  readonly fieldLine: number;
  readonly fieldSection: number;
  readonly fields: number;
  readonly trailers: number;
  /** Per worker, over all connections. */
  readonly queued: number;
  /** Per chunk. */
  readonly chunkExtensions: number;
  readonly http2: Http2LimitsConfig;
  readonly http3: Http3LimitsConfig;
  readonly content: number;
}

/** For the life of the program. */
export interface Http3LimitsConfig {
  /** Of one session. */
  readonly streams: number;
  /** Octets. */
  readonly streamWindow: number;
  readonly sessionWindow: number;
  readonly sessionsPerAddress: number;
  /** Octets, over all requests. */
  readonly held: number;
  /** Of certificates, per listener. */
  readonly names: number;
}

/** Of one connection of HTTP/2. */
export interface Http2LimitsConfig {
  readonly streams: number;
  /** Octets. */
  readonly streamWindow: number;
  readonly connectionWindow: number;
  /** Of all connections of a worker together. */
  readonly windowGrowth: number;
  readonly resets: number;
  readonly resetsPerSecond: number;
  readonly frames: number;
  readonly framesPerSecond: number;
}

/** Milliseconds (Infinity: off), except `contentRate`. */
export interface TimeoutsConfig {
  readonly head: number;
  readonly contentIdle: number;
  /** Least octets per second of request content after 5 s of grace; 0: off. */
  readonly contentRate: number;
  readonly keepAlive: number;
  readonly send: number;
  readonly connect: number;
  readonly firstOctet: number;
  readonly upstreamIdle: number;
  readonly exchange: number;
  readonly connectionAge: number;
  readonly tunnelIdle: number;
  readonly continue: number;
  readonly drain: number;
}

export interface UpstreamConfig {
  readonly name: string;
  /** Those written in the config; may be empty if there is a provider. */
  readonly endpoints: readonly EndpointConfig[];
  /** Providers of further endpoints (upstream/discovery/), each with its own options. */
  readonly discover: readonly NamedOptions[];
  /** Limit of discovered endpoints that have none of their own (Infinity); those of `endpoints` have it already. */
  readonly maxInFlight: number;
  /** A balancer (upstream/balancers/) with its options. */
  readonly balance: NamedOptions;
  /** null: any endpoint will do for any exchange. */
  readonly sticky: StickyConfig | null;
  /** How long an endpoint that has come (back) takes to get its whole share, in ms; 0: at once. */
  readonly slowStart: number;
  /** Exchanges that wait for an endpoint with room, where endpoints have a limit. */
  readonly queue: QueueConfig;
  readonly health: HealthConfig;
  /** null: never opens. */
  readonly circuit: CircuitConfig | null;
  readonly retry: RetryConfig;
  /** null: off. */
  readonly hedge: HedgeConfig | null;
  /** Host sent to the origin server: the client's, the endpoint's own, or this one. */
  readonly host: HostPolicy;
  /** null: plain. */
  readonly tls: OriginTlsConfig | null;
  /** The external origin worked under our own name ("https://shop.vendor.example"); null: none. */
  readonly branding: { readonly as: string } | null;
  /** `http2`: that alone, by ALPN or, without TLS, by prior knowledge; `auto`: whichever the endpoint says (ALPN). */
  readonly protocol: "http1" | "http2" | "auto";
  /** Version of the PROXY header that connections begin with; null: none. */
  readonly proxyProtocol: 1 | 2 | null;
  /** Per endpoint and worker. */
  readonly pool: PoolConfig;
  /** Milliseconds; the gateway's where the upstream has none of its own. */
  readonly timeouts: { readonly connect: number; readonly firstOctet: number; readonly idle: number };
}

export interface PoolConfig {
  readonly maxIdle: number;
  /** ms. */
  readonly idleTimeout: number;
  /** Exchanges at one time on a connection of HTTP/2. */
  readonly streams: number;
  /** Connections of HTTP/2; Infinity: as many as are needed. */
  readonly connections: number;
}

/** What a definition of a list (middlewares, balancers, providers) is created with. */
export interface NamedOptions {
  readonly name: string;
  /** As the definition's schema gave them. */
  readonly options: unknown;
  /** Plain data they were read from, for another process to read them again; absent: none. */
  readonly written?: unknown;
}

export interface StickyConfig {
  /** The endpoint's id is kept in a cookie; null: in the field. Exactly one of both is given. */
  readonly cookie: StickyCookieConfig | null;
  /** Lower-case name of the request and response field that carries the id. */
  readonly field: string | null;
  /** Ids are HMACs under this key, so that nobody can guess one; null: a hash of the address. */
  readonly secret: string | null;
}

export interface StickyCookieConfig {
  readonly name: string;
  /** ms, as Max-Age, renewed with each response; null: a session cookie. */
  readonly ttl: number | null;
  /** "auto": as the request's scheme is https. */
  readonly secure: boolean | "auto";
  readonly httpOnly: boolean;
  readonly sameSite: "strict" | "lax" | "none";
  readonly path: string;
  readonly domain: string | null;
}

export interface QueueConfig {
  /** Exchanges waiting at most, over all workers; 0: none waits. */
  readonly size: number;
  /** ms. */
  readonly timeout: number;
}

export interface HealthConfig {
  /** null: endpoints are not asked. */
  readonly check: CheckConfig | null;
  /** null: traffic says nothing about health. */
  readonly passive: PassiveHealthConfig | null;
  /** When no endpoint is usable: try all that are not disabled, or fail at once with 503. */
  readonly whenAllDown: "try-all" | "fail";
}

export interface CheckConfig {
  /** How: a check (upstream/health/checks/) with its options: `http`, `tcp`, `tls`. */
  readonly kind: NamedOptions;
  /** ms; varied by 10 % so that machines do not ask in step. */
  readonly every: number;
  readonly timeout: number;
  /** Passes in a row until an endpoint is up again. */
  readonly rise: number;
  /** Failures in a row until it is down. */
  readonly fall: number;
  /** Before the first verdict: `unknown` gets traffic, and the first result decides. */
  readonly initial: "unknown" | "up" | "down";
  /** Asked there instead of at the endpoint's own port. */
  readonly port: number | null;
}

export interface PassiveHealthConfig {
  /** This many failures in a row eject; Infinity: off. */
  readonly failures: number;
  /** Failures further apart than this do not count as in a row; ms. */
  readonly window: number;
  /** Share (0 to 1) of failures within the window that ejects; null: off. */
  readonly rate: number | null;
  /** Attempts there must be in the window for `rate` and `latency` to count. */
  readonly rateRequests: number;
  /** Statuses that count as failures, besides attempts without a response. */
  readonly statuses: readonly number[];
  /** An endpoint this many times slower than the upstream's median is ejected; null: off. */
  readonly latency: number | null;
  /** First ejection, doubled with each further one up to `ejectMax`; ms. */
  readonly ejectFor: number;
  readonly ejectMax: number;
  /** Share (0 to 1) of endpoints ejected at most; one may always be if there are two. */
  readonly maxEjected: number;
}

export interface CircuitConfig {
  /** Share (0 to 1) of failed exchanges within the window that opens it. */
  readonly failures: number;
  /** Exchanges there must be in the window. */
  readonly requests: number;
  /** ms. */
  readonly window: number;
  /** ms until probes are let through. */
  readonly openFor: number;
  /** Probes that must succeed in a row to close it. */
  readonly probes: number;
}

/** What may make an attempt fail so that another is made; a number is a status. */
export type RetryCondition = "connect" | "reset" | "malformed" | "timeout" | number;

export interface RetryConfig {
  /** Further attempts at most, each at an endpoint that was not tried. */
  readonly attempts: number;
  readonly on: readonly RetryCondition[];
  /** Repeat requests that are not idempotent (POST, PATCH) although the origin server may have acted. */
  readonly anyMethod: boolean;
  /** Retries may make up this share (0 to 1) of an upstream's exchanges, beyond `budgetFloor` per second. */
  readonly budget: number;
  readonly budgetFloor: number;
  /** Octets of request content kept for another attempt; 0: none. */
  readonly content: number;
  /** Limit of one attempt until its response head, in ms; Infinity: only the timeouts. */
  readonly perAttempt: number;
}

export interface HedgeConfig {
  /** ms without a response head until a second attempt is made beside the first. */
  readonly after: number;
}

export type HostPolicy =
  | { readonly kind: "keep" }
  | { readonly kind: "endpoint" }
  | { readonly kind: "fixed"; readonly value: string };

export interface EndpointConfig {
  /** "host:port", "[v6]:port" or "unix:/path". */
  readonly address: string;
  /** 0 to 1000; 0 gets only exchanges that are bound to it (sticky). */
  readonly weight: number;
  /** Used only while no endpoint without this is usable. */
  readonly backup: boolean;
  /** Lower ones first; higher ones only while no lower one is usable. */
  readonly priority: number;
  /** Where it stands; one that stands where the gateway does goes before others of its priority. */
  readonly locality: string | null;
  /** Exchanges at one time, over all workers; Infinity: no limit. */
  readonly maxInFlight: number;
}

export interface SiteConfig {
  readonly name: string;
  /**
   * Empty: every host. Else any of: "example.com", "*.example.com" (one label), ".example.com"
   * (any depth below), "~regex". Lower case but for regexes; without port and trailing dot.
   */
  readonly hosts: readonly string[];
  /** Names; all of them if the site names none. */
  readonly listeners: readonly string[];
  /** null: nothing of its own. */
  readonly tls: SiteTlsConfig | null;
  /** Around every route, outermost first. Not repeated in the routes' own `use`. */
  readonly use: readonly MiddlewareConfig[];
  readonly order: "specific" | "file";
  /** In the order of the file; at least one. */
  readonly routes: readonly RouteConfig[];
  /** Where it stands in the config, such as "sites[0]". */
  readonly path: string;
}

export interface RouteConfig {
  /** Unique within its site. */
  readonly name: string;
  /** `{}` matches everything. */
  readonly match: MatchConfig;
  readonly use: readonly MiddlewareConfig[];
  /** Name of an upstream; null if a middleware responds. */
  readonly to: string | null;
  /** Where it stands in the config, such as "sites[0].routes[1]". */
  readonly path: string;
}

/** All that are given must hold; of a list, any one. A value that begins with "~" is a regex. */
export interface MatchConfig {
  /** As `SiteConfig.hosts`. */
  readonly host?: readonly string[];
  /** "/exact", "/prefix/*", "/users/:id/posts" or "~regex", against the path in normal form. */
  readonly path?: readonly string[];
  readonly method?: readonly string[];
  /** By field name in lower case. */
  readonly field?: Readonly<Record<string, ValueMatch>>;
  readonly query?: Readonly<Record<string, ValueMatch>>;
  readonly cookie?: Readonly<Record<string, ValueMatch>>;
  /** By name without braces; one that is empty is absent. */
  readonly variable?: Readonly<Record<string, ValueMatch>>;
  /** CIDR blocks. */
  readonly client?: readonly string[];
  /** "HTTP/1.0", "HTTP/1.1" … */
  readonly protocol?: readonly string[];
  readonly scheme?: readonly ("http" | "https")[];
  readonly not?: MatchConfig;
  readonly any?: readonly MatchConfig[];
  readonly all?: readonly MatchConfig[];
}

/** true: present with any value; false: absent; else any of these values ("~…" is a regex). */
export type ValueMatch = boolean | readonly string[];

export interface MiddlewareConfig extends NamedOptions {
  /** Where it stands in the config, such as "sites[0].use[1]". */
  readonly path: string;
}

export interface AdminConfig {
  readonly address: string;
  /** Bearer token that changes need; null: only a unix socket's file mode protects them, and over TCP nothing can be changed. */
  readonly token: string | null;
}

export interface TelemetryConfig {
  /** null: off. */
  readonly accessLog: AccessLogConfig | null;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error"; readonly format: "text" | "json" };
}

export interface AccessLogConfig {
  /** "json", "combined", or a template with {variables}. */
  readonly format: string;
  /** "stdout" or the path of a file. */
  readonly output: string;
  /** Octets gathered before a write. */
  readonly buffer: number;
  /** Milliseconds a line waits at most. */
  readonly flush: number;
  /** Octets waiting for a slow disk before lines are dropped. */
  readonly maxPending: number;
}

/**
 * The config as the other rooms see it: plain data, every default filled in, durations in
 * milliseconds, sizes in octets ("off" is Infinity), shorthands written out. Made by `loadConfig`
 * or `parseGatewayConfig`; nothing in it refers back to the text it came from, except the `path`s,
 * which are for messages.
 */

export interface GatewayConfig {
  /** Number of worker processes; "auto" is one per core. */
  readonly workers: number | "auto";
  /** User to become once the listening sockets are bound; null: stay. */
  readonly user: string | null;
  /** At least one. */
  readonly listeners: readonly ListenerConfig[];
  /** CIDR blocks ("10.0.0.0/8", "::1/128") of proxies whose forwarded fields are believed. */
  readonly trustedProxies: readonly string[];
  readonly limits: LimitsConfig;
  readonly timeouts: TimeoutsConfig;
  /** Those of `upstreams`, then those made from the addresses written in a `to`. */
  readonly upstreams: readonly UpstreamConfig[];
  readonly sites: readonly SiteConfig[];
  /** null: no admin listener. */
  readonly admin: AdminConfig | null;
  readonly telemetry: TelemetryConfig;
}

export interface ListenerConfig {
  readonly name: string;
  /** "host:port", ":port" for every address, "[v6]:port", or "unix:/path". */
  readonly address: string;
  /** Open connections, over all workers. */
  readonly maxConnections: number;
  readonly backlog: number;
  /** May CONNECT reach a route at all? */
  readonly allowConnect: boolean;
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
  readonly content: number;
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
  readonly tunnelIdle: number;
  readonly continue: number;
  readonly drain: number;
}

export interface UpstreamConfig {
  readonly name: string;
  /** At least one. */
  readonly endpoints: readonly EndpointConfig[];
  readonly balance: "round-robin";
  /** Host sent to the origin server: the client's, the endpoint's own, or this one. */
  readonly host: HostPolicy;
  /** The external origin worked under our own name ("https://shop.vendor.example"); null: none. */
  readonly branding: { readonly as: string } | null;
  /** Further endpoints tried after the first. */
  readonly retries: number;
  /** Per endpoint and worker. */
  readonly pool: { readonly maxIdle: number; readonly idleTimeout: number };
  /** Milliseconds; the gateway's where the upstream has none of its own. */
  readonly timeouts: { readonly connect: number; readonly firstOctet: number; readonly idle: number };
}

export type HostPolicy =
  | { readonly kind: "keep" }
  | { readonly kind: "endpoint" }
  | { readonly kind: "fixed"; readonly value: string };

export interface EndpointConfig {
  /** "host:port", "[v6]:port" or "unix:/path". */
  readonly address: string;
  /** 1 to 1000. */
  readonly weight: number;
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

export interface MiddlewareConfig {
  readonly name: string;
  /** As its definition's schema gave them. */
  readonly options: unknown;
  /** Where it stands in the config, such as "sites[0].use[1]". */
  readonly path: string;
}

export interface AdminConfig {
  readonly address: string;
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

/** The part of the config at layer 4: connections and datagrams that are relayed without a look at what they carry. */
import type { TlsEndConfig } from "./gateway-config.ts";

/** What `tcp` and `udp` have in common. */
export interface RelayConfig {
  /** Unique over `listeners`, `tcp` and `udp`. */
  readonly name: string;
  /** Addresses to listen on; at least one. */
  readonly listen: readonly string[];
  /** At least one. Which one takes a client is decided by relay/routes.ts. */
  readonly routes: readonly RelayRouteConfig[];
  /** Where it stands in the config, such as "tcp[0]". */
  readonly path: string;
}

export interface RelayRouteConfig {
  /** Unique within its entry. */
  readonly name: string;
  readonly match: RelayMatchConfig;
  /** Name of an upstream. */
  readonly to: string;
  /** Where it stands in the config, such as "tcp[0].routes[1]". */
  readonly path: string;
}

/** All that are given must hold; of a list, any one. */
export interface RelayMatchConfig {
  /** TCP only. "example.com", "*.example.com" (one label) or ".example.com" (any depth below); lower case. */
  readonly serverName?: readonly string[] | undefined;
  /** CIDR blocks. */
  readonly client?: readonly string[] | undefined;
}

export interface TcpConfig extends RelayConfig {
  readonly backlog: number;
  /** Open connections, over all workers. */
  readonly maxConnections: number;
  /** Open connections of one address, per worker; Infinity: no limit. */
  readonly maxPerClient: number;
  /** CIDR blocks of peers whose connections begin with a PROXY header. */
  readonly proxyProtocol: readonly string[];
  /** null: octets are passed through as they are. */
  readonly tls: TlsEndConfig | null;
  readonly timeouts: {
    /** From the accepted connection to its PROXY header and ClientHello; ms, Infinity: off. */
    readonly hello: number;
    /** Without an octet in either direction; ms, Infinity: off. */
    readonly idle: number;
    /** The same once one side has ended. */
    readonly halfClosed: number;
  };
}

export interface UdpConfig extends RelayConfig {
  /** Sessions at one time, over all workers. */
  readonly maxSessions: number;
  /** Sessions of one address, per worker; Infinity: no limit. */
  readonly maxPerClient: number;
  /** Datagrams from the endpoint after which a session is over; null: only silence ends it. */
  readonly responses: number | null;
  readonly timeouts: {
    /** Without a datagram in either direction; ms. */
    readonly idle: number;
  };
}

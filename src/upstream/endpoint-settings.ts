/** How the endpoints of an upstream are connected to, and what they tell of it. One object for all of them. */
import type { TlsClientSettings } from "../net/tls-client.ts";
import type { Http1ClientSettings } from "../protocol/http1/client.ts";
import type { Http2ClientSettings } from "../protocol/http2/client-settings.ts";

export interface EndpointSettings {
  /** Idle connections kept per endpoint. */
  readonly maxIdle: number;
  readonly idleTimeMs: number;
  /** Time until an endpoint that came (back) has its whole share; 0: at once. */
  readonly slowStartMs: number;
  readonly http1: Http1ClientSettings;
  /** null: HTTP/1.1 alone. */
  readonly http2: Http2Settings | null;
  /** null: plain. */
  readonly tls: EndpointTls | null;
  /** Version of the PROXY header that each connection begins with; null: none. */
  readonly proxyProtocol: 1 | 2 | null;
}

export interface Http2Settings {
  readonly client: Http2ClientSettings;
  /** An endpoint that does not speak HTTP/2 is not spoken to; else it is spoken to in HTTP/1.1. */
  readonly isRequired: boolean;
  /** Connections per endpoint; Infinity: as many as are needed. */
  readonly maxConnections: number;
}

export interface EndpointTls {
  /** Offers what the upstream's `protocol` says. */
  readonly client: TlsClientSettings;
  /** Offers HTTP/1.1 alone, for what cannot go over HTTP/2. */
  readonly http1Client: TlsClientSettings;
  /** Offers no protocol, for what is not HTTP. */
  readonly rawClient: TlsClientSettings;
  /** Name that certificates must be good for; null: the endpoint's host. */
  readonly serverName: string | null;
}

/** What is to be spoken on a connection: what the upstream says, HTTP/1.1, or something else than HTTP. */
export type Spoken = "any" | "http1" | "raw";

/** What an endpoint tells telemetry. */
export interface EndpointObserver {
  /** A connection was opened; it is active. */
  connectionOpened(): void;
  /** @param idle it waited in the pool when it was closed */
  connectionClosed(idle: boolean): void;
  becameIdle(): void;
  becameActive(): void;
  fault(thrown: unknown): void;
}

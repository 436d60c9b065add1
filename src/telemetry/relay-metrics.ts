/** What is counted of TCP connections and UDP sessions, by the names in the config. */
import { FAILURES, type FailureCode } from "../base/failure.ts";
import type { RelayConfig, TcpConfig, UdpConfig } from "../config/relay-config.ts";
import type { Counter, CounterRow, Histogram, Level, Registry } from "./registry.ts";

const CODES = Object.keys(FAILURES) as FailureCode[];

/**
 * Why a datagram went nowhere: as many sessions as there may be, as many of its client, no route for it, no
 * endpoint for it, or it could not be sent.
 */
export const DROPS = ["sessions", "client", "route", "endpoint", "unsent"] as const;

export interface RelayRouteMetrics {
  /** Connections or sessions that came to it. */
  readonly begun: Counter;
  /** From clients. */
  readonly receivedOctets: Counter;
  /** To clients. */
  readonly sentOctets: Counter;
  readonly duration: Histogram;
}

export interface RelayMetrics {
  readonly failures: CounterRow;
  readonly routes: ReadonlyMap<string, RelayRouteMetrics>;
}

export interface UdpMetrics extends RelayMetrics {
  readonly active: Level;
  readonly receivedDatagrams: Counter;
  readonly sentDatagrams: Counter;
  /** By `DROPS`. */
  readonly dropped: CounterRow;
}

export function tcpMetrics(r: Registry, { name, routes }: TcpConfig): RelayMetrics {
  return {
    failures: r.counters(
      "lintel_tcp_failures_total",
      "TCP connections that failed.",
      { listener: name },
      { code: CODES },
    ),
    routes: routesOf({ name, routes }, (labels) => ({
      begun: r.counter("lintel_tcp_connections_total", "TCP connections that a route took.", labels),
      receivedOctets: r.counter("lintel_tcp_received_octets_total", "Octets from clients.", labels),
      sentOctets: r.counter("lintel_tcp_sent_octets_total", "Octets to clients.", labels),
      duration: r.histogram("lintel_tcp_duration_seconds", "How long TCP connections lasted.", labels),
    })),
  };
}

export function udpMetrics(r: Registry, { name, routes }: UdpConfig): UdpMetrics {
  const listener = { listener: name };
  return {
    failures: r.counters("lintel_udp_failures_total", "UDP sessions that failed.", listener, { code: CODES }),
    active: r.level("lintel_udp_sessions_active", "UDP sessions open.", listener),
    receivedDatagrams: r.counter("lintel_udp_received_datagrams_total", "Datagrams from clients.", listener),
    sentDatagrams: r.counter("lintel_udp_sent_datagrams_total", "Datagrams to clients.", listener),
    dropped: r.counters("lintel_udp_dropped_datagrams_total", "Datagrams that went nowhere.", listener, {
      reason: DROPS,
    }),
    routes: routesOf({ name, routes }, (labels) => ({
      begun: r.counter("lintel_udp_sessions_total", "UDP sessions that a route took.", labels),
      receivedOctets: r.counter("lintel_udp_received_octets_total", "Octets from clients.", labels),
      sentOctets: r.counter("lintel_udp_sent_octets_total", "Octets to clients.", labels),
      duration: r.histogram("lintel_udp_duration_seconds", "How long UDP sessions lasted.", labels),
    })),
  };
}

function routesOf(
  { name, routes }: Pick<RelayConfig, "name" | "routes">,
  create: (labels: { readonly listener: string; readonly route: string }) => RelayRouteMetrics,
): Map<string, RelayRouteMetrics> {
  return new Map(routes.map((route) => [route.name, create({ listener: name, route: route.name })]));
}

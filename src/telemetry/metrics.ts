/**
 * The gateway's metrics: which there are, with which labels. Routes, upstreams and listeners get
 * their handles from here once, while a generation is built; the names in the config bound the
 * number of series.
 */
import { FAILURES, type FailureCode } from "../base/failure.ts";
import { runSteps, type Steps } from "../base/steps.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { HANDSHAKE_FAILURES, type HandshakeFailure } from "../net/tls-handshake-failure.ts";
import { type Placement, Sequence } from "../state/placement.ts";
import type { Zone } from "../state/zone.ts";
import {
  BUCKETS,
  type Counter,
  type CounterRow,
  type Gauge,
  type Group,
  HISTOGRAM_CELLS,
  type Histogram,
  type Labels,
  type Level,
  Registry,
} from "./registry.ts";
import { type RelayMetrics, tcpMetrics, type UdpMetrics, udpMetrics } from "./relay-metrics.ts";

const STATUS_CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const;
const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other"] as const;
const OTHER_METHOD = METHODS.length - 1;
const CODES = Object.keys(FAILURES) as FailureCode[];
const codeNumbers = new Map<string, number>(CODES.map((code, number) => [code, number]));

/** Routes that are registered between two pauses. */
const ROUTES_AT_ONCE = 16;
const NO_SITES: ReadonlyMap<string, ReadonlyMap<string, Group<RouteMetrics>>> = new Map();

export interface ListenerMetrics {
  /** Place of the listener in `RouteMetrics.requests`. */
  readonly number: number;
  readonly accepted: Counter;
  /** Accepting stopped for a while: the listener was full, or the process out of descriptors. */
  readonly pauses: Counter;
  readonly active: Level;
  /** null: its connections can be used at once. */
  readonly arrivals: ArrivalMetrics | null;
}

/** Of what a connection goes through before it can be used: PROXY header and TLS handshake. */
export interface ArrivalMetrics {
  /** On their way. */
  readonly active: Level;
  readonly handshakes: Counter;
  /** Of the handshakes, those that resumed a session. */
  readonly resumed: Counter;
  /** By `handshakeFailureNumber`. */
  readonly failures: CounterRow;
  /** PROXY headers that were missing or broken. */
  readonly noHeader: Counter;
}

export interface RouteMetrics {
  /** By number of the listener, each by class of status. A listener that comes later leaves the others' cells alone. */
  readonly requests: readonly CounterRow[];
  readonly duration: Histogram;
  readonly requestOctets: Counter;
  readonly responseOctets: Counter;
}

export interface EndpointMetrics {
  /** By class of status. */
  readonly requests: CounterRow;
  readonly opened: Counter;
  /** Connections that carry an exchange. */
  readonly active: Level;
  /** Connections that wait in the pool. */
  readonly idle: Level;
  /** Times that traffic took it out. */
  readonly ejections: Counter;
  readonly firstOctet: Histogram;
  readonly labels: Labels;
}

export interface UpstreamMetrics {
  readonly failures: CounterRow;
  readonly firstOctet: Histogram;
  /** By address; they come and go while the program runs. */
  readonly endpoints: Map<string, EndpointMetrics>;
}

/** Cells of one endpoint, as `GatewayMetrics.addEndpoint` registers them. */
export const ENDPOINT_TOTAL_CELLS = STATUS_CLASSES.length + 2 + HISTOGRAM_CELLS;
export const ENDPOINT_LEVEL_CELLS = 2;

export interface MetricsOptions {
  /** False in a process that only counts. */
  readonly isShown?: boolean;
  /** Those in use: routes that are in both go on with what they have. */
  readonly before?: GatewayMetrics | null;
}

export class GatewayMetrics {
  readonly registry: Registry;
  readonly failures: CounterRow;
  readonly malformed: CounterRow;
  readonly methods: CounterRow;
  readonly droppedLogLines: Counter;
  readonly workers: Gauge;
  readonly workerRestarts: Counter;
  readonly residentMemory: Gauge;
  readonly cpuSeconds: Counter;

  readonly #listeners = new Map<string, ListenerMetrics>();
  /** Names of the listeners, in the order of `RouteMetrics.requests`. */
  #listenerNames: readonly string[] = [];
  readonly #sites = new Map<string, Map<string, Group<RouteMetrics>>>();
  #noRoute!: RouteMetrics;
  readonly #upstreams = new Map<string, UpstreamMetrics>();
  readonly #relayListeners = new Map<string, ListenerMetrics>();
  readonly #tcp = new Map<string, RelayMetrics>();
  readonly #udp = new Map<string, UdpMetrics>();

  /** @param placement where the cells lie; by default one after the other */
  static of(config: GatewayConfig, placement?: Placement, options: MetricsOptions = {}): GatewayMetrics {
    return runSteps(GatewayMetrics.build(config, placement, options));
  }

  /** The same, step by step. */
  static *build(
    config: GatewayConfig,
    placement?: Placement,
    { isShown = true, before = null }: MetricsOptions = {},
  ): Steps<GatewayMetrics> {
    const metrics = new GatewayMetrics(placement, isShown);
    yield* metrics.#register(config, before);
    return metrics;
  }

  private constructor(placement: Placement | undefined, isShown: boolean) {
    this.registry = new Registry(placement, isShown);
    const r = this.registry;
    this.workers = r.gauge("lintel_workers", "Worker processes that are ready.");
    this.workerRestarts = r.counter("lintel_worker_restarts_total", "Workers started again after they died.");
    this.residentMemory = r.gaugePerWorker("lintel_process_resident_memory_bytes", "Resident memory.");
    this.cpuSeconds = r.counterPerWorker("lintel_process_cpu_seconds_total", "CPU time, user and system.");
    this.droppedLogLines = r.counter(
      "lintel_access_log_lines_dropped_total",
      "Access log lines lost because the output could not take them.",
    );
    this.failures = r.counters("lintel_failures_total", "Exchanges that failed.", {}, { code: CODES });
    this.malformed = r.counters(
      "lintel_malformed_requests_total",
      "Requests refused before there was an exchange.",
      {},
      { reason: CODES },
    );
    this.methods = r.counters("lintel_requests_by_method_total", "Finished exchanges.", {}, { method: METHODS });
  }

  /** All that a config names: listeners, routes, upstreams. */
  *#register(config: GatewayConfig, before: GatewayMetrics | null): Steps<void> {
    const r = this.registry;
    const listeners = config.listeners.map(({ name }) => name);
    for (const entry of config.tcp) {
      this.#relayListeners.set(
        entry.name,
        this.#createListener(entry.name, 0, entry.tls !== null || entry.proxyProtocol.length > 0),
      );
      this.#tcp.set(entry.name, tcpMetrics(r, entry));
    }
    for (const entry of config.udp) this.#udp.set(entry.name, udpMetrics(r, entry));
    for (const [number, { name, tls, proxyProtocol }] of config.listeners.entries()) {
      const arrives = (tls ?? null) !== null || (proxyProtocol ?? []).length > 0;
      this.#listeners.set(name, this.#createListener(name, number, arrives));
    }
    this.#noRoute = this.#createRoute("", "", listeners);
    this.#listenerNames = listeners;
    const isSame = before !== null && Bun.deepEquals(listeners, before.#listenerNames);
    const known = isSame ? before.#sites : NO_SITES;
    for (const site of config.sites) {
      const routes = new Map<string, Group<RouteMetrics>>();
      const routesBefore = known.get(site.name);
      for (const [i, { name }] of site.routes.entries()) {
        if (i % ROUTES_AT_ONCE === 0) yield;
        const kept = routesBefore?.get(name);
        const isKept = kept !== undefined && r.adopt(kept);
        routes.set(name, isKept ? kept : r.group(() => this.#createRoute(site.name, name, listeners)));
      }
      this.#sites.set(site.name, routes);
    }
    for (const { name } of config.upstreams) {
      this.#upstreams.set(name, {
        failures: r.counters(
          "lintel_upstream_failures_total",
          "Attempts that failed.",
          { upstream: name },
          { code: CODES },
        ),
        firstOctet: r.histogram(
          "lintel_upstream_first_octet_seconds",
          "Time from the start of an attempt to the first octet of the response.",
          { upstream: name },
        ),
        endpoints: new Map(),
      });
    }
  }

  /** Of a listener of the config. */
  listener(name: string): ListenerMetrics {
    return this.#listeners.get(name)!;
  }

  /** Place of a listener in `RouteMetrics.requests`. One that the config has no more counts as the first. */
  listenerNumber(name: string): number {
    return this.#listeners.get(name)?.number ?? 0;
  }

  /** Of an entry of `tcp`: its connections, and what is relayed. */
  tcp(name: string): RelayMetrics & { readonly listener: ListenerMetrics } {
    return { ...this.#tcp.get(name)!, listener: this.#relayListeners.get(name)! };
  }

  /** Of an entry of `udp`. */
  udp(name: string): UdpMetrics {
    return this.#udp.get(name)!;
  }

  /** @returns what exchanges without a route count in, if there is none of that name */
  route(site: string | null, route: string | null): RouteMetrics {
    if (site === null || route === null) return this.#noRoute;
    return this.#sites.get(site)?.get(route)?.made ?? this.#noRoute;
  }

  upstream(name: string): UpstreamMetrics | undefined {
    return this.#upstreams.get(name);
  }

  endpoint(upstream: string, address: string): EndpointMetrics | undefined {
    return this.#upstreams.get(upstream)?.endpoints.get(address);
  }

  /**
   * An endpoint has come.
   * @param cells its own, `ENDPOINT_TOTAL_CELLS` and `ENDPOINT_LEVEL_CELLS` of them
   */
  addEndpoint(
    upstream: string,
    address: string,
    cells: { readonly totals: number; readonly levels: number },
  ): EndpointMetrics {
    const metrics = this.registry.within(new Sequence(cells), () => this.#createEndpoint(upstream, address));
    this.#upstreams.get(upstream)?.endpoints.set(address, metrics);
    return metrics;
  }

  /** It has gone: what still runs on it is not counted any more. */
  removeEndpoint(upstream: string, address: string): void {
    const endpoints = this.#upstreams.get(upstream)?.endpoints;
    const metrics = endpoints?.get(address);
    if (metrics === undefined) return;
    endpoints!.delete(address);
    this.registry.drop(metrics.labels);
  }

  #createListener(listener: string, number: number, arrives: boolean): ListenerMetrics {
    const r = this.registry;
    return {
      number,
      accepted: r.counter("lintel_connections_total", "Connections accepted.", { listener }),
      pauses: r.counter("lintel_accept_pauses_total", "Times that clients had to wait because of a limit.", {
        listener,
      }),
      active: r.level("lintel_connections_active", "Connections open.", { listener }),
      arrivals: arrives ? createArrivals(r, listener) : null,
    };
  }

  #createRoute(site: string, route: string, listeners: readonly string[]): RouteMetrics {
    const r = this.registry;
    const labels = { site, route };
    const dimensions = { code: STATUS_CLASSES };
    const requests = listeners.map((listener) =>
      r.counters("lintel_requests_total", "Finished exchanges.", { ...labels, listener }, dimensions),
    );
    return r.together(`route ${site} ${route}`, HISTOGRAM_CELLS + 2, () => ({
      requests,
      duration: r.histogram(
        "lintel_request_duration_seconds",
        "Time from the first octet of the request to the last of the response.",
        labels,
      ),
      requestOctets: r.counter("lintel_request_content_octets_total", "Request content received.", labels),
      responseOctets: r.counter("lintel_response_content_octets_total", "Response content sent.", labels),
    }));
  }

  #createEndpoint(upstream: string, endpoint: string): EndpointMetrics {
    const r = this.registry;
    const labels = { upstream, endpoint };
    return {
      requests: r.counters("lintel_upstream_requests_total", "Attempts answered.", labels, { code: STATUS_CLASSES }),
      opened: r.counter("lintel_upstream_connections_opened_total", "Connections opened.", labels),
      active: r.level("lintel_upstream_connections_active", "Connections that carry an exchange.", labels),
      idle: r.level("lintel_upstream_connections_idle", "Connections that wait in the pool.", labels),
      ejections: r.counter("lintel_upstream_ejections_total", "Times that traffic took the endpoint out.", labels),
      firstOctet: r.histogram(
        "lintel_endpoint_first_octet_seconds",
        "Time from the start of an attempt to the first octet of the response, by endpoint.",
        labels,
      ),
      labels,
    };
  }
}

/** For a listener with TLS or PROXY headers, of whatever kind. */
export function createArrivals(r: Registry, listener: string): ArrivalMetrics {
  return {
    active: r.level("lintel_arrivals_active", "Connections whose PROXY header or TLS handshake is not over.", {
      listener,
    }),
    handshakes: r.counter("lintel_tls_handshakes_total", "TLS handshakes that succeeded.", { listener }),
    resumed: r.counter("lintel_tls_resumed_total", "TLS handshakes that resumed a session.", { listener }),
    failures: r.counters(
      "lintel_tls_handshake_failures_total",
      "TLS handshakes that failed.",
      { listener },
      { reason: HANDSHAKE_FAILURES },
    ),
    noHeader: r.counter("lintel_proxy_header_failures_total", "Connections without the PROXY header they need.", {
      listener,
    }),
  };
}

/** Place of a code in `ArrivalMetrics.failures`. */
export function handshakeFailureNumber(code: HandshakeFailure): number {
  return HANDSHAKE_FAILURES.indexOf(code);
}

/** Place of a status in a row by class; one outside 100 to 599 counts as 5xx. */
export function statusClass(status: number): number {
  return status >= 100 && status < 500 ? ((status / 100) | 0) - 1 : STATUS_CLASSES.length - 1;
}

/** Place of a code in a row by code. */
export function codeNumber(code: FailureCode): number {
  return codeNumbers.get(code)!;
}

/** Place of a method in `methods`. */
export function methodNumber(method: string): number {
  switch (method) {
    case "GET":
      return 0;
    case "HEAD":
      return 1;
    case "POST":
      return 2;
    case "PUT":
      return 3;
    case "DELETE":
      return 4;
    case "PATCH":
      return 5;
    case "OPTIONS":
      return 6;
    case "CONNECT":
      return 7;
    case "TRACE":
      return 8;
    default:
      return OTHER_METHOD;
  }
}

/** What one endpoint has counted, as `addEndpoint` laid it out. */
export function endpointFigures(
  zone: Zone,
  cell: number,
): {
  readonly responses: Readonly<Record<string, number>>;
  /** Upper bounds; null: nothing was measured. */
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number } | null;
} {
  const responses = Object.fromEntries(STATUS_CLASSES.map((name, i) => [name, zone.total(cell + i)]));
  const first = cell + STATUS_CLASSES.length + 2;
  const buckets = [...BUCKETS, Infinity].map((_, i) => zone.total(first + i));
  const count = buckets.reduce((sum, one) => sum + one, 0);
  const quantile = (share: number) => {
    let seen = 0;
    const at = buckets.findIndex((one) => (seen += one) >= share * count);
    return (BUCKETS[at] ?? BUCKETS.at(-1)!) * 1000;
  };
  const latencyMs = count === 0 ? null : { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) };
  return { responses, latencyMs };
}

/**
 * The metrics as numbers: what `lintel top` takes two of to tell rates and quantiles of the time
 * between. Routes that have not answered anything are left out.
 */
import type { Zone } from "../state/zone.ts";
import { BUCKETS, HISTOGRAM_CELLS, type Labels, type Registry, type Series } from "./registry.ts";

export interface GatewayStats {
  /** Unix time in ms. */
  readonly at: number;
  /** Upper bounds of `Durations.counts` but for the last, which has none; ms. */
  readonly bucketsMs: readonly number[];
  readonly listeners: readonly ListenerStats[];
  readonly routes: readonly RouteStats[];
  readonly upstreams: readonly UpstreamStats[];
  /** Exchanges that failed, by code. */
  readonly failures: Readonly<Record<string, number>>;
  /** By slot; the last one is the supervisor's. */
  readonly processes: readonly ProcessStats[];
}

export interface ListenerStats {
  readonly listener: string;
  readonly accepted: number;
  /** Connections open. */
  readonly active: number;
}

export interface RouteStats {
  /** "" for exchanges without a route. */
  readonly site: string;
  readonly route: string;
  readonly responses: ByClass;
  readonly requestOctets: number;
  readonly responseOctets: number;
  readonly durations: Durations;
}

export interface UpstreamStats {
  readonly upstream: string;
  /** Attempts that failed, by code. */
  readonly failures: Readonly<Record<string, number>>;
  /** To the first octet. */
  readonly durations: Durations;
  readonly endpoints: readonly EndpointStats[];
}

export interface EndpointStats {
  readonly endpoint: string;
  readonly responses: ByClass;
  readonly connections: { readonly opened: number; readonly active: number; readonly idle: number };
  readonly durations: Durations;
}

export interface ProcessStats {
  readonly residentOctets: number;
  readonly cpuSeconds: number;
}

/** By class of status, "2xx" and so on; classes without any are left out. */
export type ByClass = Readonly<Record<string, number>>;

export interface Durations {
  /** By size, not cumulative. */
  readonly counts: readonly number[];
  readonly sumMs: number;
}

export function readStats(registry: Registry, zone: Zone, now = Date.now()): GatewayStats {
  const reader = new Reader(registry, zone);
  return {
    at: now,
    bucketsMs: BUCKETS.map((seconds) => seconds * 1000),
    listeners: listeners(reader),
    routes: routes(reader),
    upstreams: upstreams(reader),
    failures: Object.assign({}, ...reader.of("lintel_failures_total").map((series) => reader.byLabel(series))),
    processes: zone.totals.map((_, slot) => ({
      residentOctets: reader.inSlot("lintel_process_resident_memory_bytes", slot),
      cpuSeconds: reader.inSlot("lintel_process_cpu_seconds_total", slot),
    })),
  };
}

function listeners(reader: Reader): ListenerStats[] {
  const active = reader.numbers("lintel_connections_active", ({ listener }) => listener!);
  return reader.of("lintel_connections_total").map((series) => {
    const listener = series.labels["listener"]!;
    return { listener, accepted: reader.number(series), active: active.get(listener) ?? 0 };
  });
}

function routes(reader: Reader): RouteStats[] {
  const key = ({ site, route }: Labels) => `${site}\0${route}`;
  const responses = new Map<string, { labels: Labels; byClass: ByClass }>();
  for (const series of reader.of("lintel_requests_total")) {
    const byClass = reader.byLabel(series);
    if (Object.keys(byClass).length === 0) continue;
    const before = responses.get(key(series.labels))?.byClass;
    responses.set(key(series.labels), {
      labels: series.labels,
      byClass: before === undefined ? byClass : added(before, byClass),
    });
  }
  const wanted = (labels: Labels) => responses.has(key(labels));
  const requestOctets = reader.numbers("lintel_request_content_octets_total", key, wanted);
  const responseOctets = reader.numbers("lintel_response_content_octets_total", key, wanted);
  const durations = reader.durations("lintel_request_duration_seconds", key, wanted);
  return [...responses].map(([id, { labels, byClass }]) => ({
    site: labels["site"]!,
    route: labels["route"]!,
    responses: byClass,
    requestOctets: requestOctets.get(id) ?? 0,
    responseOctets: responseOctets.get(id) ?? 0,
    durations: durations.get(id) ?? NO_DURATIONS,
  }));
}

function upstreams(reader: Reader): UpstreamStats[] {
  const byUpstream = ({ upstream }: Labels) => upstream!;
  const byEndpoint = ({ upstream, endpoint }: Labels) => `${upstream}\0${endpoint}`;
  const opened = reader.numbers("lintel_upstream_connections_opened_total", byEndpoint);
  const active = reader.numbers("lintel_upstream_connections_active", byEndpoint);
  const idle = reader.numbers("lintel_upstream_connections_idle", byEndpoint);
  const endpointDurations = reader.durations("lintel_endpoint_first_octet_seconds", byEndpoint);
  const endpoints = new Map<string, EndpointStats[]>();
  for (const series of reader.of("lintel_upstream_requests_total")) {
    const id = byEndpoint(series.labels);
    const list = endpoints.get(byUpstream(series.labels)) ?? [];
    endpoints.set(byUpstream(series.labels), list);
    list.push({
      endpoint: series.labels["endpoint"]!,
      responses: reader.byLabel(series),
      connections: { opened: opened.get(id) ?? 0, active: active.get(id) ?? 0, idle: idle.get(id) ?? 0 },
      durations: endpointDurations.get(id) ?? NO_DURATIONS,
    });
  }
  const durations = reader.durations("lintel_upstream_first_octet_seconds", byUpstream);
  return reader.of("lintel_upstream_failures_total").map((series) => {
    const upstream = byUpstream(series.labels);
    return {
      upstream,
      failures: reader.byLabel(series),
      durations: durations.get(upstream) ?? NO_DURATIONS,
      endpoints: endpoints.get(upstream) ?? [],
    };
  });
}

function added(a: ByClass, b: ByClass): ByClass {
  const sum: Record<string, number> = { ...a };
  for (const [name, count] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

const NO_DURATIONS: Durations = { counts: new Array<number>(BUCKETS.length + 1).fill(0), sumMs: 0 };

/** Sums over all slots, by name of the metric. */
class Reader {
  readonly #series = new Map<string, readonly Series[]>();
  readonly #zone: Zone;

  constructor(registry: Registry, zone: Zone) {
    for (const { name, series } of registry.families) this.#series.set(name, series);
    this.#zone = zone;
  }

  of(name: string): readonly Series[] {
    return this.#series.get(name) ?? [];
  }

  number(series: Series): number {
    if (series.in === "totals") return this.#zone.total(series.cell);
    return series.in === "levels" ? this.#zone.level(series.cell) : 0;
  }

  inSlot(name: string, slot: number): number {
    const series = this.of(name)[0];
    return series?.in === "slots" ? this.#zone.totals[slot]![series.cell]! : 0;
  }

  numbers(name: string, key: (labels: Labels) => string, wanted = ALL): Map<string, number> {
    const found = this.of(name).filter(({ labels }) => wanted(labels));
    return new Map(found.map((series) => [key(series.labels), this.number(series)]));
  }

  durations(name: string, key: (labels: Labels) => string, wanted = ALL): Map<string, Durations> {
    const found = new Map<string, Durations>();
    for (const series of this.of(name)) {
      if (series.in !== "histogram" || !wanted(series.labels)) continue;
      const counts = NO_DURATIONS.counts.map((_, bucket) => this.#zone.total(series.cell + bucket));
      const sumMs = this.#zone.total(series.cell + HISTOGRAM_CELLS - 1) * 1000;
      found.set(key(series.labels), { counts, sumMs });
    }
    return found;
  }

  /** A row of one dimension, by its values; those that are 0 are left out. */
  byLabel(series: Series): Record<string, number> {
    if (series.in !== "totals") return {};
    const [values = []] = Object.values(series.dimensions);
    const row = values.map((value, i) => [value, this.#zone.total(series.cell + i)] as const);
    return Object.fromEntries(row.filter(([, count]) => count !== 0));
  }
}

const ALL = (_: Labels): boolean => true;

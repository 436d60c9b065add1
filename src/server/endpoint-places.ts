/** Which cells of the zone upstreams and their endpoints need, and how much room a zone must have for them. */
import type { GatewayConfig, UpstreamConfig } from "../config/gateway-config.ts";
import { type AreaSizes, type Placement, Sequence } from "../state/placement.ts";
import { ENDPOINT_LEVEL_CELLS, ENDPOINT_TOTAL_CELLS, GatewayMetrics } from "../telemetry/metrics.ts";
import { CIRCUIT_SHARED_CELLS, CIRCUIT_TIME_CELLS } from "../upstream/circuit.ts";
import type { EndpointCells, EndpointSet, EndpointSpec } from "../upstream/endpoint-spec.ts";
import { sharedCells, TIME_CELLS } from "../upstream/endpoint-state.ts";

/** Everything that one endpoint has in the zone, by area. */
export const endpointSizes = (slots: number): AreaSizes => ({
  shared: sharedCells(slots),
  times: TIME_CELLS,
  totals: ENDPOINT_TOTAL_CELLS,
  levels: ENDPOINT_LEVEL_CELLS,
});

export const endpointKey = (upstream: string, address: string): string => `endpoint ${upstream} ${address}`;

/** @throws {ZoneFull} */
export function placeEndpoint(placement: Placement, upstream: string, address: string, slots: number): EndpointCells {
  const key = endpointKey(upstream, address);
  const sizes = endpointSizes(slots);
  return {
    shared: placement.place("shared", key, sizes.shared),
    times: placement.place("times", key, sizes.times),
    totals: placement.place("totals", key, sizes.totals),
    levels: placement.place("levels", key, sizes.levels),
  };
}

/** The records of an upstream itself. @throws {ZoneFull} */
export function placeUpstream(placement: Placement, upstream: string): EndpointSet["cells"] {
  const key = `upstream ${upstream}`;
  return {
    shared: placement.place("shared", key, CIRCUIT_SHARED_CELLS),
    times: placement.place("times", key, CIRCUIT_TIME_CELLS),
  };
}

/** Cells for a config, with room for those that later configs and providers add. */
export function zoneSizes(config: GatewayConfig, slots: number): AreaSizes {
  const needed = new Sequence();
  GatewayMetrics.of(config, needed);
  for (const { name } of config.upstreams) placeUpstream(needed, name);
  const { endpoints, growth } = config.zone;
  const one = endpointSizes(slots);
  const size = (area: keyof AreaSizes) => Math.ceil(needed.sizes[area] * growth) + endpoints * one[area];
  return { totals: size("totals"), levels: size("levels"), shared: size("shared"), times: size("times") };
}

/** What a provider says, with the upstream's own limit where the endpoint has none. */
export function withDefaults(spec: EndpointSpec, { maxInFlight }: UpstreamConfig): EndpointSpec {
  return spec.maxInFlight === Infinity && maxInFlight !== Infinity ? { ...spec, maxInFlight } : spec;
}

/** The sets of a config without providers: for a gateway that runs without a supervisor. */
export function staticSets(config: GatewayConfig, placement: Placement, slots: number): EndpointSet[] {
  return config.upstreams.map((upstream) => ({
    upstream: upstream.name,
    cells: placeUpstream(placement, upstream.name),
    endpoints: upstream.endpoints.map((spec) => ({
      ...withDefaults(spec, upstream),
      cells: placeEndpoint(placement, upstream.name, spec.address, slots),
    })),
  }));
}

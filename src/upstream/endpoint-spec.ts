/**
 * Endpoints as plain data: what a provider says of them, and where their shared state lies. The
 * supervisor collects these from all providers of an upstream and sends the set to the workers.
 */
import type { EndpointConfig } from "../config/gateway-config.ts";

export type EndpointSpec = EndpointConfig;

/** First cells of one endpoint's records in the zone (state/zone.ts, endpoint-state.ts, telemetry/metrics.ts). */
export interface EndpointCells {
  readonly shared: number;
  readonly times: number;
  readonly totals: number;
  readonly levels: number;
}

/** A spec that the supervisor has given its place. */
export interface PlacedEndpoint extends EndpointSpec {
  readonly cells: EndpointCells;
}

/** The endpoints of one upstream, whole: what is not in it any more gets no new exchanges. */
export interface EndpointSet {
  readonly upstream: string;
  /** Records of the upstream itself (circuit.ts). */
  readonly cells: { readonly shared: number; readonly times: number };
  readonly endpoints: readonly PlacedEndpoint[];
}

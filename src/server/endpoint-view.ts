/** What operators see of an endpoint. */
import { machineTime } from "../net/machine-clock.ts";
import type { Zone } from "../state/zone.ts";
import { endpointFigures } from "../telemetry/metrics.ts";
import { Status } from "../upstream/endpoint-state.ts";
import type { EndpointSource, Override } from "./endpoint-merge.ts";
import type { KnownEndpoint, UpstreamEntry } from "./upstream-entry.ts";

export type EndpointCondition = "up" | "down" | "ejected" | "draining" | "disabled" | "unchecked";

export interface EndpointView {
  readonly address: string;
  /** "config", "operator", or the name of a provider. */
  readonly source: EndpointSource;
  readonly condition: EndpointCondition;
  readonly weight: number;
  readonly backup: boolean;
  readonly priority: number;
  readonly locality: string | null;
  /** null: no limit. */
  readonly maxInFlight: number | null;
  readonly inFlight: number;
  /** Milliseconds until it is tried again; null: it is not ejected. */
  readonly ejectedForMs: number | null;
  readonly failuresInRow: number;
  /** The last active check; null: there is none. */
  readonly check: { readonly passed: boolean; readonly reason: string | null; readonly at: string } | null;
  /** Unix time in ms; null: no deadline. */
  readonly drainUntil: number | null;
  /** Attempts answered since the start, by class of status. */
  readonly responses: Readonly<Record<string, number>>;
  /** Milliseconds to the first octet of a response, since the start, each an upper bound; null: none yet. */
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number } | null;
  /** Moving average in ms; null: none yet. */
  readonly recentLatencyMs: number | null;
}

export function viewEndpoint(
  { spec, source, cells, state }: KnownEndpoint,
  { checker }: UpstreamEntry,
  { drainUntil }: Override,
  zone: Zone,
): EndpointView {
  const { status } = state;
  const { responses, latencyMs } = endpointFigures(zone, cells.totals);
  return {
    address: spec.address,
    source,
    condition: conditionOf(status),
    weight: spec.weight,
    backup: spec.backup,
    priority: spec.priority,
    locality: spec.locality,
    maxInFlight: spec.maxInFlight === Infinity ? null : spec.maxInFlight,
    inFlight: state.inFlight,
    ejectedForMs: status & Status.ejected ? Math.max(0, Math.round(state.ejectedUntil - machineTime())) : null,
    failuresInRow: state.consecutiveFailures,
    check: checker?.view(spec.address) ?? null,
    drainUntil,
    responses,
    latencyMs,
    recentLatencyMs: state.latencyMs === 0 ? null : Math.round(state.latencyMs * 100) / 100,
  };
}

function conditionOf(status: number): EndpointCondition {
  if (status & Status.disabled) return "disabled";
  if (status & Status.draining) return "draining";
  if (status & Status.down) return "down";
  if (status & Status.unchecked) return "unchecked";
  if (status & Status.ejected) return "ejected";
  return "up";
}

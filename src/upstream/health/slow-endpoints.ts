/** Which endpoints are slow, compared with the others of their upstream. */
import type { Endpoint } from "../endpoint.ts";

/** Less than this is no reason: an endpoint that takes 1 ms where others take 0.2 ms is well. */
const LEAST_DIFFERENCE_MS = 5;

export interface SlowEndpoint {
  readonly endpoint: Endpoint;
  readonly ms: number;
  /** Median of the others. */
  readonly othersMs: number;
}

/**
 * Those whose typical latency is more than `factor` times the median of the others', the slowest first.
 * @param endpoints with traffic enough that their latency means something
 */
export function slowerThanOthers(endpoints: readonly Endpoint[], factor: number): SlowEndpoint[] {
  const sorted = [...endpoints].sort((a, b) => b.state.typicalMs - a.state.typicalMs);
  const slow: SlowEndpoint[] = [];
  for (const [at, endpoint] of sorted.entries()) {
    const ms = endpoint.state.typicalMs;
    const othersMs = medianWithout(sorted, at);
    if (othersMs === 0 || ms <= factor * othersMs || ms - othersMs < LEAST_DIFFERENCE_MS) continue;
    slow.push({ endpoint, ms, othersMs });
  }
  return slow;
}

/** Median of the typical latencies of all but one; 0 if there is no other. */
function medianWithout(sorted: readonly Endpoint[], at: number): number {
  const others = sorted.length - 1;
  if (others < 1) return 0;
  const msAt = (i: number): number => sorted[i < at ? i : i + 1]!.state.typicalMs;
  return (msAt((others - 1) >> 1) + msAt(others >> 1)) / 2;
}

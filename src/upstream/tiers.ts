/** Endpoints stand in tiers: backups last, then by priority, then those near the gateway first. */
import type { EndpointSpec } from "./endpoint-spec.ts";

/**
 * Endpoints by tier, the first tier first, each with a key that says which it is.
 * @param locality  where the gateway stands; null: nowhere in particular
 */
export function tiersOf<T extends { readonly spec: EndpointSpec }>(
  endpoints: readonly T[],
  locality: string | null,
): [string, T[]][] {
  const tiers = new Map<string, T[]>();
  const order = ({ spec }: T): number[] => {
    const { backup, priority, locality: place } = spec;
    return [backup ? 1 : 0, priority, locality !== null && place !== locality ? 1 : 0];
  };
  const sorted = endpoints
    .map((endpoint) => ({ endpoint, order: order(endpoint) }))
    .sort((a, b) => a.order[0]! - b.order[0]! || a.order[1]! - b.order[1]! || a.order[2]! - b.order[2]!);
  for (const { endpoint, order: place } of sorted) {
    const key = place.join("/");
    const tier = tiers.get(key);
    if (tier === undefined) tiers.set(key, [endpoint]);
    else tier.push(endpoint);
  }
  return [...tiers];
}

/** From what providers and operators say of an upstream to its one list of endpoints. */
import type { UpstreamConfig } from "../config/gateway-config.ts";
import type { EndpointSpec } from "../upstream/endpoint-spec.ts";
import { withDefaults } from "./endpoint-places.ts";

/** What an operator has said of one endpoint, over what its provider says. */
export interface Override {
  /** It is there because an operator added it; null: a provider's. */
  readonly added: EndpointSpec | null;
  readonly removed: boolean;
  /** null: as its provider says. */
  readonly weight: number | null;
  readonly duty: Duty;
  /** Unix time in ms when bound exchanges lose a draining endpoint; null: never. */
  readonly drainUntil: number | null;
  /** Kept over restarts. */
  readonly persist: boolean;
}

export type Duty = "enabled" | "draining" | "disabled";

export const NO_OVERRIDE: Override = {
  added: null,
  removed: false,
  weight: null,
  duty: "enabled",
  drainUntil: null,
  persist: false,
};

export interface MergedEndpoint {
  readonly spec: EndpointSpec;
  readonly source: EndpointSource;
}

/** Who named it: the config, the name of a provider, or an operator. */
export type EndpointSource = "config" | "operator" | (string & {});

/**
 * The list, without duplicates: who names an address first decides, in the order config, providers, operators.
 * @param provided of each provider by its name; null: it has not said anything yet
 */
export function mergeEndpoints(
  config: UpstreamConfig,
  provided: readonly (readonly [name: string, endpoints: readonly EndpointSpec[] | null])[],
  overrides: ReadonlyMap<string, Override>,
): MergedEndpoint[] {
  const merged = new Map<string, MergedEndpoint>();
  const add = (spec: EndpointSpec, source: EndpointSource) => {
    const override = overrides.get(spec.address);
    if (override?.removed || merged.has(spec.address)) return;
    const weighted = override?.weight == null ? spec : { ...spec, weight: override.weight };
    merged.set(spec.address, { spec: withDefaults(weighted, config), source });
  };
  for (const spec of config.endpoints) add(spec, "config");
  for (const [name, endpoints] of provided) for (const spec of endpoints ?? []) add(spec, name);
  for (const { added } of overrides.values()) if (added !== null) add(added, "operator");
  return [...merged.values()];
}

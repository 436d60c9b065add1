/** The endpoints written in the config: a provider that publishes once, and no choice of `discover`. */
import type { EndpointSpec } from "../endpoint-spec.ts";
import type { Provider } from "./provider.ts";

export function staticProvider(endpoints: readonly EndpointSpec[]): Provider {
  return {
    start: (publish) => publish(endpoints),
    stop() {},
  };
}

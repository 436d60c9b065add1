/**
 * `least-time` sends each exchange where it will probably be answered soonest: to the endpoint with
 * the least latency x (exchanges in flight + 1) / weight. The latency is a peak-sensitive moving
 * average of the time to the first octet: it jumps up at once and comes down slowly.
 *
 * One that nothing is known of is tried first, by one exchange. One that has been idle counts for
 * less with time (half for every 10 s), so that one that was slow once is tried again.
 */
import { z } from "zod";
import { machineNow } from "../../net/machine-clock.ts";
import type { Endpoint } from "../endpoint.ts";
import { defineBalancer } from "./balancer.ts";
import { LeastCost } from "./least-cost.ts";
import { weighted } from "./turns.ts";

const HALF_LIFE_MS = 10_000;
/** Latency that is believed of an endpoint which has exchanges but has not answered any: worse than all that did. */
const UNANSWERED_MS = 1e7;

export const leastTime = defineBalancer({
  name: "least-time",
  summary: "The endpoint with the least latency x (exchanges in flight + 1) per unit of weight.",
  options: z.strictObject({}),
  create(_options, turn) {
    const least = new LeastCost(turn, expectedTime);
    return {
      update(endpoints) {
        least.update(weighted(endpoints));
      },
      pick(_exchange, usable) {
        return least.pick(usable);
      },
    };
  },
});

function expectedTime(endpoint: Endpoint): number {
  const { inFlight, effectiveWeight, state } = endpoint;
  const { peakMs } = state;
  if (peakMs === 0) return (UNANSWERED_MS * inFlight) / effectiveWeight;
  // One that is silent because it does not answer is not forgiven.
  const ms = inFlight === 0 ? peakMs * 0.5 ** ((machineNow() - state.latencyAt) / HALF_LIFE_MS) : peakMs;
  return (ms * (inFlight + 1)) / effectiveWeight;
}

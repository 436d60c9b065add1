/** The balancers, by the name a config uses. */
import type { BalancerDefinition } from "./balancer.ts";
import { roundRobin } from "./round-robin.ts";

export const balancers: readonly BalancerDefinition[] = [roundRobin];

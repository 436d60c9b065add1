/** The balancers, by the name a config uses. */
import type { BalancerDefinition } from "./balancer.ts";
import { first } from "./first.ts";
import { hash } from "./hash.ts";
import { ipHash } from "./ip-hash.ts";
import { leastRequests } from "./least-requests.ts";
import { leastTime } from "./least-time.ts";
import { random } from "./random.ts";
import { randomTwo } from "./random-two.ts";
import { roundRobin } from "./round-robin.ts";

export const balancers: readonly BalancerDefinition[] = [
  roundRobin,
  leastRequests,
  leastTime,
  random,
  randomTwo,
  ipHash,
  hash,
  first,
];

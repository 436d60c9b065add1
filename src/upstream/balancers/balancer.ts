/** What a balancer is: it chooses among endpoints, and knows nothing of connections. */
import type { Exchange } from "../../http/exchange.ts";
import type { Endpoint } from "../endpoint.ts";

export interface Balancer {
  /** A new set; called before the first pick and at each change. */
  update(endpoints: readonly Endpoint[]): void;
  /** One that is usable, or null if none is. Allocates nothing. */
  pick(exchange: Exchange, usable: (endpoint: Endpoint) => boolean): Endpoint | null;
}

export interface BalancerDefinition {
  readonly name: string;
  /** @param turn differs between the workers of a machine, so that they do not all begin with the same endpoint */
  create(turn?: number): Balancer;
}

export function defineBalancer(definition: BalancerDefinition): BalancerDefinition {
  return definition;
}

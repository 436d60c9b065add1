/** What a balancer is: it chooses among the endpoints of one tier, and knows nothing of connections. */
import type { z } from "zod";
import type { Exchange } from "../../http/exchange.ts";
import type { Endpoint } from "../endpoint.ts";

export interface Balancer {
  /** A new set, or new weights; called before the first pick and at each change. */
  update(endpoints: readonly Endpoint[]): void;
  /** One that is usable, or null if none is. Allocates nothing. */
  pick(exchange: Exchange, usable: (endpoint: Endpoint) => boolean): Endpoint | null;
}

export interface BalancerDefinition<Options extends z.ZodType = z.ZodType> {
  /** As written in the config: kebab-case. */
  readonly name: string;
  /** One sentence for the docs and the schema. */
  readonly summary: string;
  readonly options: Options;
  /** @param turn number of the worker, so that not all begin with the same endpoint */
  create(options: z.output<Options>, turn: number): Balancer;
}

export function defineBalancer<Options extends z.ZodType>(
  definition: BalancerDefinition<Options>,
): BalancerDefinition<Options> {
  return definition;
}

/** For tests of balancers: picks as places in a list, and whether their shares are the ones wanted. */
import { expect } from "bun:test";
import type { z } from "zod";
import type { Exchange } from "../../http/exchange.ts";
import { exchangeOf } from "../../router/test-exchange.ts";
import type { Endpoint } from "../endpoint.ts";
import type { BalancerDefinition } from "./balancer.ts";

export const everyone = (_endpoint: Endpoint): boolean => true;

export const only =
  (...some: readonly Endpoint[]) =>
  (endpoint: Endpoint): boolean =>
    some.includes(endpoint);

export const except =
  (...some: readonly Endpoint[]) =>
  (endpoint: Endpoint): boolean =>
    !some.includes(endpoint);

/** A balancer with its endpoints, whose picks are places in their list; -1 is none. */
export function balanced<Options extends z.ZodType>(
  definition: BalancerDefinition<Options>,
  options: z.input<Options>,
  endpoints: readonly Endpoint[],
  turn = 0,
) {
  const balancer = definition.create(definition.options.parse(options), turn);
  const anyExchange = exchangeOf();
  balancer.update(endpoints);
  const pick = (usable: (endpoint: Endpoint) => boolean = everyone, exchange: Exchange = anyExchange): number =>
    endpoints.indexOf(balancer.pick(exchange, usable)!);
  const picks = (count: number, usable = everyone): number[] => Array.from({ length: count }, () => pick(usable));
  return { balancer, pick, picks };
}

/** How often each place was picked. */
export function counts(picks: readonly number[], places: number): number[] {
  const all = new Array<number>(places).fill(0);
  for (const place of picks) all[place]!++;
  return all;
}

/**
 * Chi-square: that random picks have these shares. It is wrong once in a billion times.
 * @param shares in any unit
 */
export function expectShares(found: readonly number[], shares: readonly number[]): void {
  const picks = found.reduce((sum, count) => sum + count, 0);
  const whole = shares.reduce((sum, share) => sum + share, 0);
  let distance = 0;
  for (let i = 0; i < shares.length; i++) {
    const wanted = (picks * shares[i]!) / whole;
    if (wanted === 0) expect(found[i]).toBe(0);
    else distance += (found[i]! - wanted) ** 2 / wanted;
  }
  expect(distance).toBeLessThan(chiSquareLimit(shares.filter((share) => share > 0).length - 1));
}

/** Wilson and Hilferty's approximation, six standard deviations out. */
function chiSquareLimit(degrees: number): number {
  const spread = 2 / (9 * Math.max(1, degrees));
  return Math.max(1, degrees) * (1 - spread + 6 * Math.sqrt(spread)) ** 3;
}

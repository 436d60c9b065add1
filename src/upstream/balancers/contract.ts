/** What every balancer owes, as tests: call it with a definition in that balancer's own test. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { z } from "zod";
import { exchangeOf } from "../../router/test-exchange.ts";
import type { Endpoint } from "../endpoint.ts";
import { Status } from "../endpoint-state.ts";
import { endpoint } from "../testing.ts";
import type { BalancerDefinition } from "./balancer.ts";

const all = () => true;
const isUp = ({ state }: Endpoint) => state.status === 0;

/** @param options as written in a config */
export function balancerContract<Options extends z.ZodType>(
  definition: BalancerDefinition<Options>,
  options: z.input<Options>,
): void {
  const parsed = definition.options.parse(options);
  const create = (...endpoints: Endpoint[]) => {
    const balancer = definition.create(parsed, 0);
    balancer.update(endpoints);
    return balancer;
  };
  const exchange = exchangeOf();
  /** Endpoints that some picks give. */
  const picked = (balancer: ReturnType<typeof create>, usable: (one: Endpoint) => boolean = all) =>
    new Set(Array.from({ length: 60 }, () => balancer.pick(exchange, usable)));

  describe(`${definition.name} keeps a balancer's contract`, () => {
    test("null without endpoints, before the first update too", () => {
      expect(definition.create(parsed, 0).pick(exchange, all)).toBeNull();
      expect(create().pick(exchange, all)).toBeNull();
    });

    test("null when none is usable", () => {
      const balancer = create(endpoint("a:80"), endpoint("b:80"));
      expect(balancer.pick(exchange, () => false)).toBeNull();
      expect(balancer.pick(exchange, all)).not.toBeNull();
    });

    test("the only one always", () => {
      const only = endpoint("a:80");
      expect(picked(create(only))).toEqual(new Set([only]));
    });

    test("skips what is not usable, and comes back to it when it is", () => {
      const [a, b, c] = [endpoint("a:80"), endpoint("b:80", { status: Status.down }), endpoint("c:80")];
      const balancer = create(a, b, c);
      expect(picked(balancer, isUp).has(b)).toBe(false);
      a.state.mark(Status.draining);
      expect(picked(balancer, isUp)).toEqual(new Set([c]));
      a.state.unmark(Status.draining);
      b.state.unmark(Status.down);
      expect(picked(balancer, isUp).has(null)).toBe(false);
    });

    test("honours a new set at the next pick", () => {
      const [a, b, c] = [endpoint("a:80"), endpoint("b:80"), endpoint("c:80")];
      const balancer = create(a, b);
      picked(balancer);
      balancer.update([c]);
      expect(picked(balancer)).toEqual(new Set([c]));
      balancer.update([]);
      expect(balancer.pick(exchange, all)).toBeNull();
      balancer.update([a]);
      expect(picked(balancer)).toEqual(new Set([a]));
    });

    test("two of the same definition know nothing of each other", () => {
      const [a, b] = [endpoint("a:80"), endpoint("b:80")];
      const first = create(a);
      create(b);
      expect(picked(first)).toEqual(new Set([a]));
    });

    test("one that is usable if there is one, whatever has been before (property)", () => {
      const endpoints = Array.from({ length: 6 }, (_, i) => endpoint(`e${i}:80`, { weight: 1 + (i % 3) }));
      fc.assert(
        fc.property(fc.array(fc.uniqueArray(fc.nat(5)), { maxLength: 30 }), (rounds) => {
          const balancer = create(...endpoints);
          for (const usable of rounds) {
            const chosen = balancer.pick(exchange, (one) => usable.includes(endpoints.indexOf(one)));
            if (usable.length === 0) expect(chosen).toBeNull();
            else expect(usable).toContain(endpoints.indexOf(chosen!));
          }
        }),
        { numRuns: 100 },
      );
    });
  });
}

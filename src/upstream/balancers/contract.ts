/** What every balancer owes, as tests: call it with a definition in that balancer's own test. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { z } from "zod";
import { exchangeOf } from "../../router/test-exchange.ts";
import type { Endpoint } from "../endpoint.ts";
import { Status } from "../endpoint-state.ts";
import { endpoint } from "../testing.ts";
import type { BalancerDefinition } from "./balancer.ts";
import { everyone } from "./testing.ts";

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
  const picked = (balancer: ReturnType<typeof create>, usable: (one: Endpoint) => boolean = everyone) =>
    new Set(Array.from({ length: 60 }, () => balancer.pick(exchange, usable)));

  describe(`${definition.name} keeps a balancer's contract`, () => {
    test("null without endpoints, before the first update too", () => {
      expect(definition.create(parsed, 0).pick(exchange, everyone)).toBeNull();
      expect(create().pick(exchange, everyone)).toBeNull();
    });

    test("null when none is usable", () => {
      const balancer = create(endpoint("a:80"), endpoint("b:80"));
      expect(balancer.pick(exchange, () => false)).toBeNull();
      expect(balancer.pick(exchange, everyone)).not.toBeNull();
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

    test("never one of weight 0", () => {
      const [a, b] = [endpoint("a:80", { weight: 0 }), endpoint("b:80", { weight: 2 })];
      const balancer = create(a, b);
      expect(picked(balancer)).toEqual(new Set([b]));
      b.spec = { ...b.spec, weight: 0 };
      balancer.update([a, b]);
      expect(picked(balancer)).toEqual(new Set([null]));
    });

    test("one that has just begun to start slowly, if it is the only one", () => {
      const [a, b] = [endpoint("a:80"), endpoint("b:80", { slowStartMs: 1e9 })];
      b.state.rampSince = Number.MIN_VALUE;
      const balancer = create(a, b);
      expect(picked(balancer, (one) => one === b)).toEqual(new Set([b]));
    });

    test("honours a new set at the next pick", () => {
      const [a, b, c] = [endpoint("a:80"), endpoint("b:80"), endpoint("c:80")];
      const balancer = create(a, b);
      picked(balancer);
      balancer.update([c]);
      expect(picked(balancer)).toEqual(new Set([c]));
      balancer.update([]);
      expect(balancer.pick(exchange, everyone)).toBeNull();
      balancer.update([a]);
      expect(picked(balancer)).toEqual(new Set([a]));
    });

    test("two of the same definition know nothing of each other", () => {
      const [a, b] = [endpoint("a:80"), endpoint("b:80")];
      const first = create(a);
      create(b);
      expect(picked(first)).toEqual(new Set([a]));
    });

    test.each([7, 200])(
      "of %i endpoints one that is usable if there is one, whatever has been before (property)",
      (count) => {
        const number = fc.nat(count - 1);
        const step = fc.oneof(
          { weight: 6, arbitrary: fc.record({ kind: fc.constant("pick" as const), client: fc.ipV4() }) },
          { weight: 3, arbitrary: fc.record({ kind: fc.constant("status" as const), which: fc.uniqueArray(number) }) },
          { weight: 1, arbitrary: fc.record({ kind: fc.constant("set" as const), which: fc.uniqueArray(number) }) },
          {
            weight: 1,
            arbitrary: fc.record({
              kind: fc.constant("weight" as const),
              which: number,
              weight: fc.constantFrom(0, 1, 1, 2, 1000),
            }),
          },
          { weight: 2, arbitrary: fc.record({ kind: fc.constant("answer" as const), which: number, ms: fc.nat(500) }) },
        );
        fc.assert(
          fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
            const endpoints = Array.from({ length: count }, (_, i) => endpoint(`e${i}:80`, { weight: 1 + (i % 3) }));
            const balancer = create(...endpoints);
            let members = endpoints;
            for (const one of steps) {
              if (one.kind === "status") {
                for (const { state } of endpoints) state.unmark(Status.down);
                for (const i of one.which) endpoints[i]!.state.mark(Status.down);
              } else if (one.kind === "set") {
                members = one.which.map((i) => endpoints[i]!);
                balancer.update(members);
              } else if (one.kind === "weight") {
                const changed = endpoints[one.which]!;
                changed.spec = { ...changed.spec, weight: one.weight };
                balancer.update(members);
              } else if (one.kind === "answer") {
                endpoints[one.which]!.state.observeLatency(one.ms, 1);
              } else {
                const chosen = balancer.pick(exchangeOf({ client: one.client }), isUp);
                const possible = members.filter((member) => isUp(member) && member.weight > 0);
                if (possible.length === 0) expect(chosen).toBeNull();
                else expect(possible.includes(chosen!)).toBe(true);
                chosen?.state.begin();
              }
            }
          }),
          { numRuns: 60 },
        );
      },
    );
  });
}

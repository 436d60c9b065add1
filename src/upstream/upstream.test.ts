import { afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { SILENT } from "../base/log.ts";
import { clock, tickTimers } from "../base/timer.ts";
import { machineNow } from "../net/machine-clock.ts";
import { exchangeOf } from "../router/test-exchange.ts";
import { leastRequests } from "./balancers/least-requests.ts";
import { roundRobin } from "./balancers/round-robin.ts";
import type { Endpoint } from "./endpoint.ts";
import { privateMemory, Status } from "./endpoint-state.ts";
import { PassiveHealth } from "./health/passive.ts";
import { Queue } from "./queue.ts";
import { RetryBudget } from "./retry-budget.ts";
import { Sticky } from "./sticky.ts";
import { type EndpointFacts, endpoint, stateIn } from "./testing.ts";
import { Upstream, type UpstreamParts, type UpstreamSettings } from "./upstream.ts";

const exchange = exchangeOf();

afterEach(() => tickTimers());

function upstreamOf(
  endpoints: readonly Endpoint[],
  settings: Partial<UpstreamSettings> = {},
  parts: Partial<UpstreamParts> = {},
): Upstream {
  const upstream = new Upstream(
    {
      name: "app",
      host: { kind: "keep" },
      connectMs: 1000,
      firstOctetMs: 1000,
      idleMs: 1000,
      locality: null,
      whenAllDown: "fail",
      ...settings,
    },
    {
      createBalancer: () => roundRobin.create({}, 0),
      sticky: null,
      passive: null,
      circuit: null,
      queue: null,
      budget: new RetryBudget(0.2, 10),
      ...parts,
    },
  );
  upstream.update(endpoints);
  return upstream;
}

const tryAll = { whenAllDown: "try-all" } as const;
const queueOf = (size = 10) => new Queue({ size, timeout: 1000 }, 1);
/** Addresses of some picks, none of which is given back; null where there was none. */
const picks = (upstream: Upstream, count: number) =>
  Array.from({ length: count }, () => upstream.pick(exchange, null)?.address ?? null);

test("an exchange counts on its endpoint until it is released", () => {
  const one = endpoint("a:80");
  const upstream = upstreamOf([one]);
  upstream.pick(exchange, null);
  upstream.pick(exchange, null);
  expect(one.inFlight).toBe(2);
  upstream.release(one);
  expect(one.inFlight).toBe(1);
});

test("an upstream without endpoints has none to give", () => {
  const upstream = upstreamOf([], tryAll);
  expect([upstream.pick(exchange, null), upstream.isFull]).toEqual([null, false]);
});

describe("tiers", () => {
  // The first tier first; of each one endpoint.
  const FACTS: readonly [string, EndpointFacts][] = [
    ["near:80", { locality: "eu-1" }],
    ["far:80", { locality: "us-1" }],
    ["second:80", { priority: 1, locality: "eu-1" }],
    ["second-far:80", { priority: 1 }],
    ["backup:80", { backup: true, locality: "eu-1" }],
    ["backup-far:80", { backup: true }],
    ["backup-second:80", { backup: true, priority: 1 }],
  ];
  const tiered = () => FACTS.map(([address, facts]) => endpoint(address, facts));

  test("backups come last, then the higher priorities, then what stands elsewhere", () => {
    const endpoints = tiered();
    const upstream = upstreamOf(endpoints.toReversed(), { locality: "eu-1" });
    for (const expected of endpoints) {
      expect(picks(upstream, 2)).toEqual([expected.address, expected.address]);
      expected.state.mark(Status.down);
    }
    expect(picks(upstream, 1)).toEqual([null]);
  });

  test("a tier that is back is used at once", () => {
    const endpoints = tiered();
    const upstream = upstreamOf(endpoints, { locality: "eu-1" });
    for (const { state } of endpoints.slice(0, 4)) state.mark(Status.down);
    expect(picks(upstream, 1)).toEqual(["backup:80"]);
    endpoints[2]!.state.unmark(Status.down);
    expect(picks(upstream, 1)).toEqual(["second:80"]);
  });

  test("without a locality of ours it makes no difference where they stand", () => {
    const upstream = upstreamOf(tiered());
    expect(picks(upstream, 4)).toEqual(["near:80", "far:80", "near:80", "far:80"]);
  });

  test("of one tier all are used", () => {
    const backups = ["a:80", "b:80"].map((address) => endpoint(address, { backup: true }));
    const upstream = upstreamOf([endpoint("down:80", { status: Status.down }), ...backups]);
    expect(picks(upstream, 4)).toEqual(["a:80", "b:80", "a:80", "b:80"]);
  });

  test("a retry goes on to the next tier when all of one were tried", () => {
    const [first, backup] = [endpoint("a:80"), endpoint("b:80", { backup: true })];
    expect(upstreamOf([first, backup]).pick(exchange, [first])).toBe(backup);
  });

  test("each keeps its turns when another one changes", () => {
    const [a, b, c] = [endpoint("a:80"), endpoint("b:80"), endpoint("c:80", { backup: true })];
    const upstream = upstreamOf([a, b]);
    expect(picks(upstream, 1)).toEqual(["a:80"]);
    upstream.update([a, b, c]);
    expect(picks(upstream, 1)).toEqual(["b:80"]);
  });
});

describe("who gets no new exchanges", () => {
  test.each(Object.entries(Status))("one that is %s", (_, bit) => {
    const marked = endpoint("a:80", { status: bit });
    marked.state.ejectedUntil = machineNow() + 1e6;
    const upstream = upstreamOf([marked, endpoint("b:80")], {}, { passive: passive() });
    expect(picks(upstream, 3)).toEqual(["b:80", "b:80", "b:80"]);
  });

  test("one of weight 0", () => {
    const upstream = upstreamOf([endpoint("a:80", { weight: 0 }), endpoint("b:80")], tryAll);
    expect(picks(upstream, 2)).toEqual(["b:80", "b:80"]);
    expect(picks(upstreamOf([endpoint("a:80", { weight: 0 })], tryAll), 1)).toEqual([null]);
  });

  test("one that was tried", () => {
    const [a, b] = [endpoint("a:80"), endpoint("b:80")];
    const upstream = upstreamOf([a, b], tryAll);
    expect(upstream.pick(exchange, [a])).toBe(b);
    expect(upstream.pick(exchange, [a, b])).toBeNull();
  });

  test("an ejection that nobody would end, because passive health was switched off, does not count", () => {
    expect(picks(upstreamOf([endpoint("a:80", { status: Status.ejected })]), 1)).toEqual(["a:80"]);
  });

  test("one whose ejection is over is back", () => {
    const one = endpoint("a:80", { status: Status.ejected });
    one.state.ejectedUntil = machineNow() + 1e6;
    const upstream = upstreamOf([one], {}, { passive: passive() });
    expect(picks(upstream, 1)).toEqual([null]);
    one.state.ejectedUntil = machineNow();
    expect(picks(upstream, 1)).toEqual(["a:80"]);
  });
});

describe("when all are down", () => {
  const down = (...others: Endpoint[]) => [
    endpoint("down:80", { status: Status.down }),
    endpoint("ejected:80", { status: Status.ejected }),
    endpoint("unchecked:80", { status: Status.unchecked }),
    endpoint("disabled:80", { status: Status.disabled }),
    endpoint("draining:80", { status: Status.draining | Status.down }),
    endpoint("idle:80", { weight: 0 }),
    ...others,
  ];
  const settled = () => {
    const endpoints = down();
    endpoints[1]!.state.ejectedUntil = machineNow() + 1e6;
    return endpoints;
  };

  test("fail: there is none", () => {
    const upstream = upstreamOf(settled(), {}, { passive: passive() });
    expect([upstream.pick(exchange, null), upstream.isFull]).toEqual([null, false]);
  });

  test("try-all: those that nobody switched off take turns", () => {
    const upstream = upstreamOf(settled(), tryAll, { passive: passive() });
    expect(new Set(picks(upstream, 6))).toEqual(new Set(["down:80", "ejected:80", "unchecked:80"]));
  });

  test("try-all: a retry goes to another one", () => {
    const endpoints = settled();
    const upstream = upstreamOf(endpoints, tryAll, { passive: passive() });
    expect(upstream.pick(exchange, [endpoints[0]!, endpoints[1]!])).toBe(endpoints[2]!);
  });

  test("try-all: the backups only after the others were tried", () => {
    const [first, backup] = [
      endpoint("a:80", { status: Status.down }),
      endpoint("b:80", { status: Status.down, backup: true }),
    ];
    const upstream = upstreamOf([backup, first], tryAll);
    expect(picks(upstream, 2)).toEqual(["a:80", "a:80"]);
    expect(upstream.pick(exchange, [first])).toBe(backup);
  });

  test("try-all: not while one is well that this exchange has tried", () => {
    const [well, other] = [endpoint("a:80"), endpoint("b:80", { status: Status.down })];
    const upstream = upstreamOf([well, other], tryAll);
    expect(upstream.pick(exchange, [well])).toBeNull();
  });

  test("try-all: maxInFlight holds", () => {
    const upstream = upstreamOf([endpoint("a:80", { status: Status.down, maxInFlight: 1 })], tryAll);
    expect(picks(upstream, 2)).toEqual(["a:80", null]);
    expect(upstream.isFull).toBe(true);
  });
});

describe("maxInFlight", () => {
  const [limited, other] = [() => endpoint("a:80", { maxInFlight: 2 }), () => endpoint("b:80")];

  test("one that is full is passed over", () => {
    expect(picks(upstreamOf([limited(), other()]), 6)).toEqual(["a:80", "b:80", "a:80", "b:80", "b:80", "b:80"]);
  });

  test("when all that are well are full, waiting may help; the down ones are not tried", () => {
    const upstream = upstreamOf([limited(), endpoint("b:80", { status: Status.down })], tryAll);
    expect(picks(upstream, 3)).toEqual(["a:80", "a:80", null]);
    expect(upstream.isFull).toBe(true);
    upstream.release(upstream.endpoints[0]!);
    expect(picks(upstream, 1)).toEqual(["a:80"]);
  });

  test("with a queue a full tier is waited for, without one the next tier helps out", () => {
    const endpoints = () => [endpoint("a:80", { maxInFlight: 1 }), endpoint("b:80", { backup: true })];
    expect(picks(upstreamOf(endpoints()), 2)).toEqual(["a:80", "b:80"]);
    const queued = upstreamOf(endpoints(), {}, { queue: queueOf() });
    expect(picks(queued, 2)).toEqual(["a:80", null]);
    expect(queued.isFull).toBe(true);
    queued.endpoints[0]!.state.mark(Status.down);
    expect(picks(queued, 1)).toEqual(["b:80"]);
  });

  /** The same endpoints as two workers see them. */
  function twoWorkers(limits: readonly number[]) {
    const memory = privateMemory(limits.length, 2);
    return [0, 1].map((slot) => {
      const endpoints = limits.map((maxInFlight, i) =>
        endpoint(`e${i}:80`, { maxInFlight, state: stateIn(memory, i, slot) }),
      );
      return upstreamOf(endpoints, {}, { createBalancer: () => leastRequests.create({}, slot) });
    });
  }

  test("two workers together never have more on an endpoint, and use all there is (property)", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
        fc.array(fc.record({ worker: fc.nat(1), release: fc.boolean(), which: fc.nat() }), { maxLength: 60 }),
        (limits, steps) => {
          const workers = twoWorkers(limits);
          const room = limits.reduce((sum, limit) => sum + limit, 0);
          const held: { worker: number; endpoint: Endpoint }[] = [];
          for (const { worker, release, which } of steps) {
            if (release && held.length > 0) {
              const [done] = held.splice(which % held.length, 1);
              workers[done!.worker]!.release(done!.endpoint);
              continue;
            }
            const picked = workers[worker]!.pick(exchange, null);
            if (picked === null)
              expect({ held: held.length, full: workers[worker]!.isFull }).toEqual({ held: room, full: true });
            else held.push({ worker, endpoint: picked });
            for (const [i, limit] of limits.entries()) {
              expect(workers[0]!.endpoints[i]!.inFlight).toBeLessThanOrEqual(limit);
            }
          }
          for (const { worker, endpoint: one } of held) workers[worker]!.release(one);
          expect(workers[1]!.endpoints.map(({ inFlight }) => inFlight)).toEqual(limits.map(() => 0));
        },
      ),
      { numRuns: 200 },
    );
  });

  test("what a worker that has died held is free again", () => {
    const [first, second] = twoWorkers([2]);
    picks(first!, 2);
    expect(picks(second!, 1)).toEqual([null]);
    second!.endpoints[0]!.state.clearSlot(0);
    expect(picks(second!, 3)).toEqual(["e0:80", "e0:80", null]);
  });
});

describe("the queue", () => {
  /** An exchange that waits until it gets an endpoint. */
  class Waiting {
    got: Endpoint | null = null;
    timedOut = false;
    readonly place: { cancel(): void } | null;
    readonly #upstream: Upstream;
    readonly #tried: readonly Endpoint[] | null;

    constructor(upstream: Upstream, tried: readonly Endpoint[] | null = null) {
      this.#upstream = upstream;
      this.#tried = tried;
      this.place = upstream.wait(this);
    }

    onRoom(): boolean {
      this.got = this.#upstream.pick(exchange, this.#tried);
      return this.got !== null;
    }

    onQueueTimeout(): void {
      this.timedOut = true;
    }
  }

  const crowded = () => {
    const one = endpoint("a:80", { maxInFlight: 1 });
    const upstream = upstreamOf([one], {}, { queue: queueOf(2) });
    expect(upstream.pick(exchange, null)).toBe(one);
    return { one, upstream };
  };

  test("gives room that is released to who waits longest", () => {
    const { one, upstream } = crowded();
    const [first, second] = [new Waiting(upstream), new Waiting(upstream)];
    expect(new Waiting(upstream).place).toBeNull();
    upstream.release(one);
    expect([first.got, second.got]).toEqual([one, null]);
    upstream.release(one);
    expect(second.got).toBe(one);
  });

  test("those who wait go before who comes when another worker has made room", () => {
    const { one, upstream } = crowded();
    const first = new Waiting(upstream);
    one.state.end();
    expect(upstream.pick(exchange, null)).toBeNull();
    expect([first.got, upstream.isFull]).toEqual([one, true]);
  });

  test("room that the first cannot use, because it was there already, is not kept from others", () => {
    const { one, upstream } = crowded();
    const retry = new Waiting(upstream, [one]);
    one.state.end();
    expect(upstream.pick(exchange, null)).toBe(one);
    expect(retry.got).toBeNull();
  });

  test("serves when an endpoint comes, or comes back", () => {
    const { one, upstream } = crowded();
    const [first, second] = [new Waiting(upstream), new Waiting(upstream)];
    const [added, back] = [
      endpoint("b:80", { maxInFlight: 1 }),
      endpoint("c:80", { maxInFlight: 1, status: Status.down }),
    ];
    upstream.update([one, added, back]);
    expect([first.got, second.got]).toEqual([added, null]);
    back.state.unmark(Status.down);
    tickTimers(clock.now + 6);
    expect(second.got).toBe(back);
  });

  test("gives up after its time", () => {
    const { upstream } = crowded();
    const waiting = new Waiting(upstream);
    tickTimers(clock.now + 1001);
    expect([waiting.got, waiting.timedOut]).toEqual([null, true]);
  });

  test("an upstream without one lets nobody wait", () => {
    expect(new Waiting(upstreamOf([endpoint("a:80")])).place).toBeNull();
  });
});

describe("a bound exchange", () => {
  const FIELD = { cookie: null, field: "x-session", secret: null };
  const boundTo = (endpoints: readonly Endpoint[], settings = {}, parts = {}) => {
    const upstream = upstreamOf(endpoints, settings, { sticky: new Sticky(FIELD), ...parts });
    const pick = (one: Endpoint, tried: readonly Endpoint[] | null = null) => {
      const id = createHash("md5").update(one.address).digest("hex");
      return upstream.pick(exchangeOf({ fields: { "x-session": id } }), tried);
    };
    return { upstream, pick };
  };

  test("always comes to its endpoint", () => {
    const [a, b] = [endpoint("a:80"), endpoint("b:80")];
    const { pick } = boundTo([a, b]);
    expect([pick(b), pick(b), pick(a), pick(b)]).toEqual([b, b, a, b]);
  });

  test.each<[string, EndpointFacts]>([
    ["has weight 0", { weight: 0 }],
    ["is a backup", { backup: true }],
    ["stands elsewhere", { locality: "us-1" }],
  ])("comes to one that %s", (_, facts) => {
    const [a, b] = [endpoint("a:80"), endpoint("b:80", facts)];
    expect(boundTo([a, b], { locality: "eu-1" }).pick(b)).toBe(b);
  });

  test("comes to one that is being drained, and nobody else does", () => {
    const [a, b] = [endpoint("a:80"), endpoint("b:80")];
    const { pick, upstream } = boundTo([a, b], tryAll);
    b.state.mark(Status.draining);
    expect([pick(b), pick(b)]).toEqual([b, b]);
    expect(picks(upstream, 3)).toEqual(["a:80", "a:80", "a:80"]);
    a.state.mark(Status.down);
    expect(picks(upstream, 1)).toEqual(["a:80"]);
  });

  test.each(["disabled", "down", "ejected", "unchecked"] as const)(
    "is balanced anew when its endpoint is %s",
    (status) => {
      const [a, b] = [endpoint("a:80"), endpoint("b:80")];
      const { pick } = boundTo([a, b], {}, { passive: passive() });
      b.state.mark(Status[status]);
      b.state.ejectedUntil = machineNow() + 1e6;
      expect(pick(b)).toBe(a);
      b.state.mark(Status.draining);
      expect(pick(b)).toBe(a);
    },
  );

  test("comes back to an endpoint whose ejection is over", () => {
    const [a, b] = [endpoint("a:80"), endpoint("b:80", { status: Status.ejected })];
    b.state.ejectedUntil = machineNow();
    expect(boundTo([a, b], {}, { passive: passive() }).pick(b)).toBe(b);
  });

  test("is balanced anew when its endpoint is full or was tried", () => {
    const [a, b] = [endpoint("a:80"), endpoint("b:80", { maxInFlight: 1 })];
    const { pick } = boundTo([a, b]);
    expect([pick(b, [b]), pick(b), pick(b)]).toEqual([a, b, a]);
  });

  test("that finds its endpoint full does not wait when only others are down", () => {
    const [a, b] = [endpoint("a:80", { status: Status.down }), endpoint("b:80", { backup: true })];
    const leaving = endpoint("c:80", { status: Status.draining, maxInFlight: 1, inFlight: 1 });
    const { pick } = boundTo([a, b, leaving], {}, { queue: queueOf() });
    expect(pick(leaving)).toBe(b);
  });
});

describe("latency", () => {
  test("is measured without passive health too", () => {
    const one = endpoint("a:80");
    const upstream = upstreamOf([one]);
    upstream.answered(one, 200, 40);
    expect([one.state.latencyMs, one.state.peakMs]).toEqual([40, 40]);
  });

  test("goes up at once as a peak, slowly as an average; and 0 ms is not unknown", () => {
    const { state } = endpoint("a:80");
    state.observeLatency(0, 1000);
    expect(state.peakMs).toBeGreaterThan(0);
    state.observeLatency(100, 2000);
    expect(state.peakMs).toBe(100);
    expect(state.latencyMs).toBeLessThan(20);
    state.observeLatency(10, 12_000);
    expect(state.peakMs).toBeGreaterThan(40);
    expect(state.peakMs).toBeLessThan(50);
  });
});

function passive(): PassiveHealth {
  return new PassiveHealth(
    {
      failures: 3,
      window: 10_000,
      rate: null,
      rateRequests: 20,
      statuses: [502, 503, 504],
      latency: null,
      ejectFor: 10_000,
      ejectMax: 300_000,
      maxEjected: 0.5,
    },
    { slowStartMs: 0, log: SILENT },
  );
}

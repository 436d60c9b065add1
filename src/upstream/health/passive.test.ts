import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../../base/failure.ts";
import { createLog } from "../../base/log.ts";
import { clock, tickTimers } from "../../base/timer.ts";
import type { PassiveHealthConfig } from "../../config/gateway-config.ts";
import { machineNow } from "../../net/machine-clock.ts";
import { privateMemory, Status } from "../endpoint-state.ts";
import { endpoint, stateIn } from "../testing.ts";
import { maxOut, PassiveHealth } from "./passive.ts";

const CONFIG: PassiveHealthConfig = {
  failures: 3,
  window: 10_000,
  rate: null,
  rateRequests: 20,
  statuses: [502, 503, 504],
  latency: null,
  ejectFor: 10_000,
  ejectMax: 300_000,
  maxEjected: 0.5,
};
const REFUSED = new Failure("upstream-connect-refused", "refused");
const CUT = new Failure("upstream-truncated", "cut");

interface Setting extends Partial<PassiveHealthConfig> {
  readonly endpoints?: number;
  readonly slowStartMs?: number;
}

/** Two workers with the same endpoints in shared memory. */
function workers({ endpoints = 4, slowStartMs = 0, ...config }: Setting = {}) {
  const memory = privateMemory(endpoints, 2);
  const lines: string[] = [];
  const ejected: [string, number, string][] = [];
  const log = createLog({ level: "info", format: "text", write: (line) => lines.push(line.slice(25).trim()) });
  const [one, other] = [0, 1].map((slot) => {
    const health = new PassiveHealth(
      { ...CONFIG, ...config },
      {
        slowStartMs,
        log,
        onEjected: ({ address }, forMs, reason) => ejected.push([address, forMs, reason]),
      },
    );
    const members = Array.from({ length: endpoints }, (_, i) =>
      endpoint(`e${i}:80`, { state: stateIn(memory, i, slot) }),
    );
    health.update(members);
    return { health, members };
  }) as [Worker, Worker];
  return { one, other, lines, ejected };
}

interface Worker {
  readonly health: PassiveHealth;
  readonly members: ReturnType<typeof endpoint>[];
}

const fail = ({ health, members }: Worker, index: number, times = 1) => {
  for (let i = 0; i < times; i++) health.failed(members[index]!, REFUSED);
};
const isEjected = ({ members }: Worker, index: number) => (members[index]!.state.status & Status.ejected) !== 0;
const ejectedCount = (worker: Worker) => worker.members.filter((_, i) => isEjected(worker, i)).length;
const pass = (ms: number) => {
  clock.now += ms;
};

beforeEach(() => {
  clock.now = Math.ceil(performance.now());
});

afterAll(() => tickTimers());

describe("failures in a row", () => {
  test("eject when there are `failures` of them, whichever workers saw them, and once", () => {
    const { one, other, lines, ejected } = workers();
    fail(one, 0);
    fail(other, 0);
    expect(isEjected(one, 0)).toBe(false);
    fail(one, 0);
    expect([isEjected(one, 0), isEjected(other, 0)]).toEqual([true, true]);
    fail(other, 0, 5);
    expect(ejected).toEqual([["e0:80", 10_000, "failed 3 times in a row: upstream-connect-refused"]]);
    expect(lines).toEqual([
      `warn  an endpoint is ejected endpoint=e0:80 for="10 s" reason="failed 3 times in a row: upstream-connect-refused"`,
    ]);
  });

  test("end with a success, whichever worker saw it", () => {
    const { one, other } = workers();
    fail(one, 0, 2);
    other.health.answered(other.members[0]!, 200, 5);
    fail(one, 0, 2);
    expect(isEjected(one, 0)).toBe(false);
  });

  test("do not add up when they are further apart than `window`", () => {
    const { one } = workers();
    for (let i = 0; i < 10; i++) {
      fail(one, 0);
      pass(10_001);
    }
    expect(isEjected(one, 0)).toBe(false);
    fail(one, 0, 2);
    pass(9_999);
    fail(one, 0);
    expect(isEjected(one, 0)).toBe(true);
  });

  test("are responses with one of `statuses` too, and no others", () => {
    const { one } = workers({ statuses: [429, 503] });
    for (const status of [429, 503, 429]) one.health.answered(one.members[0]!, status, 5);
    for (const status of [500, 502, 404]) one.health.answered(one.members[1]!, status, 5);
    expect([isEjected(one, 0), isEjected(one, 1)]).toEqual([true, false]);
  });

  test("are no failures of clients or of the gateway", () => {
    const { one } = workers();
    for (const code of ["client-closed", "exchange-timeout", "internal", "content-timeout"] as const) {
      for (let i = 0; i < 5; i++) one.health.failed(one.members[0]!, new Failure(code, "not its fault"));
    }
    expect(one.members[0]!.state.consecutiveFailures).toBe(0);
  });

  test("do not eject where `failures` is off", () => {
    const { one } = workers({ failures: Infinity });
    fail(one, 0, 100);
    expect(isEjected(one, 0)).toBe(false);
  });
});

describe("responses that are cut off after their head", () => {
  const exchange = ({ health, members }: Worker, cut: boolean) => {
    members[0]!.state.begin();
    health.answered(members[0]!, 200, 5);
    if (cut) health.failed(members[0]!, CUT, true);
    members[0]!.state.end();
  };

  test("are failures in a row although each began well", () => {
    const { one, other } = workers();
    for (const worker of [one, other, one]) exchange(worker, true);
    expect(isEjected(one, 0)).toBe(true);
  });

  test("also when several are under way at a time", () => {
    const { one } = workers();
    const [{ state }] = one.members as [ReturnType<typeof endpoint>];
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 2; i++) {
        state.begin();
        one.health.answered(one.members[0]!, 200, 5);
      }
      for (let i = 0; i < 2; i++) {
        one.health.failed(one.members[0]!, CUT, true);
        state.end();
      }
    }
    expect(isEjected(one, 0)).toBe(true);
  });

  test("do not add up over responses that were complete", () => {
    const { one } = workers();
    for (let i = 0; i < 20; i++) {
      exchange(one, true);
      exchange(one, false);
      exchange(one, false);
    }
    expect(isEjected(one, 0)).toBe(false);
  });

  test("count once in the window", () => {
    const { one } = workers({ rate: 0.9 });
    exchange(one, true);
    exchange(one, false);
    const { windowRequests, windowFailures } = one.members[0]!.state;
    expect([windowRequests, windowFailures]).toEqual([2, 1]);
  });
});

describe("the share of failures", () => {
  const traffic = ({ health, members }: Worker, failed: number, of: number) => {
    for (let i = 0; i < of; i++) health.answered(members[0]!, i < of - failed ? 200 : 503, 5);
  };

  test("ejects from `rate` on, when there are `rateRequests` in the window", () => {
    const { one, other, ejected } = workers({ failures: Infinity, rate: 0.5 });
    traffic(one, 9, 9);
    traffic(other, 0, 10);
    expect(isEjected(one, 0)).toBe(false);
    traffic(other, 1, 1);
    expect(isEjected(one, 0)).toBe(true);
    expect(ejected[0]![2]).toBe("failed 10 of 20 times: answered 503");
  });

  test("below `rate` does not", () => {
    const { one } = workers({ failures: Infinity, rate: 0.5 });
    traffic(one, 49, 100);
    expect(isEjected(one, 0)).toBe(false);
  });

  test("is counted anew after `window`", () => {
    const { one } = workers({ failures: Infinity, rate: 0.5 });
    traffic(one, 19, 19);
    pass(10_001);
    traffic(one, 1, 1);
    expect(isEjected(one, 0)).toBe(false);
  });
});

describe("the time of an ejection", () => {
  test("doubles with each up to `ejectMax`", () => {
    const { one, ejected } = workers({ ejectMax: 60_000 });
    for (let i = 0; i < 5; i++) {
      fail(one, 0, 3);
      pass(one.members[0]!.state.ejectedUntil - machineNow());
      expect(one.health.readmit(one.members[0]!)).toBe(true);
    }
    expect(ejected.map(([, forMs]) => forMs / 1000)).toEqual([10, 20, 40, 60, 60]);
  });

  test("is forgiven once the endpoint has served as long again", () => {
    const { one, ejected } = workers();
    const ejectAndReturn = () => {
      fail(one, 0, 3);
      pass(one.members[0]!.state.ejectedUntil - machineNow());
      one.health.readmit(one.members[0]!);
      one.health.answered(one.members[0]!, 200, 5);
    };
    for (let i = 0; i < 3; i++) ejectAndReturn();
    pass(39_999);
    ejectAndReturn();
    pass(80_000 + 40_000);
    ejectAndReturn();
    pass(1_000_000);
    ejectAndReturn();
    expect(ejected.map(([, forMs]) => forMs / 1000)).toEqual([10, 20, 40, 80, 40, 10]);
  });

  test.each([3, 1])("is not forgiven for being silent, however long that takes (failures: %i)", (failures) => {
    const { one, other, ejected } = workers({ failures });
    const [state] = one.members.map((member) => member.state);
    fail(one, 0, failures);
    for (const silentMs of [60_000, 120_000]) {
      pass(state!.ejectedUntil - machineNow());
      one.health.readmit(one.members[0]!);
      pass(silentMs);
      fail(other, 0);
    }
    expect(ejected.map(([, forMs]) => forMs / 1000)).toEqual([10, 20, 40]);
  });

  test("does not come of attempts that began before the last one was over", () => {
    const { one, other, ejected } = workers();
    const [member] = one.members;
    fail(one, 0, 3);
    pass(10_000);
    one.health.readmit(member!);
    pass(2000);
    other.health.failed(other.members[0]!, REFUSED, false, 12_000);
    other.health.answered(other.members[0]!, 503, 2011);
    expect(member!.state.status).toBe(0);
    other.health.failed(other.members[0]!, REFUSED, false, 2000);
    expect(ejected).toHaveLength(2);
  });

  test("is forgiven from the first answer on", () => {
    const { one, ejected } = workers();
    fail(one, 0, 3);
    pass(10_000);
    one.health.readmit(one.members[0]!);
    pass(15_000);
    one.health.answered(one.members[0]!, 200, 5);
    pass(9_999);
    fail(one, 0, 3);
    pass(20_000);
    one.health.readmit(one.members[0]!);
    one.health.answered(one.members[0]!, 200, 5);
    pass(20_000);
    fail(one, 0, 3);
    expect(ejected.map(([, forMs]) => forMs / 1000)).toEqual([10, 20, 20]);
  });
});

describe("readmission", () => {
  test("not before the time is over; then one worker does it, and for both the endpoint is usable", () => {
    const { one, other, lines } = workers({ slowStartMs: 5000 });
    fail(one, 0, 3);
    pass(9_999);
    expect(one.health.readmit(one.members[0]!)).toBe(false);
    pass(1);
    expect(other.health.readmit(other.members[0]!)).toBe(true);
    expect(one.health.readmit(one.members[0]!)).toBe(true);
    expect(lines.filter((line) => line.includes("is back"))).toHaveLength(1);
    expect(one.members[0]!.state.rampSince).toBe(machineNow());
  });

  test("without slow start there is no ramp", () => {
    const { one } = workers();
    fail(one, 0, 3);
    pass(10_000);
    one.health.readmit(one.members[0]!);
    expect(one.members[0]!.state.rampSince).toBe(0);
  });

  test("one more failure ejects again at once, a success makes it whole", () => {
    const { one, other } = workers();
    for (const end of [REFUSED, null]) {
      fail(one, 0, 3);
      pass(one.members[0]!.state.ejectedUntil - machineNow());
      one.health.readmit(one.members[0]!);
      if (end === null) {
        other.health.answered(other.members[0]!, 200, 5);
        fail(one, 0, 2);
        expect(isEjected(one, 0)).toBe(false);
      } else {
        other.health.failed(other.members[0]!, end);
        expect(isEjected(one, 0)).toBe(true);
        pass(20_000);
        one.health.readmit(one.members[0]!);
        other.health.answered(other.members[0]!, 200, 5);
      }
    }
  });

  test("does not make an endpoint usable that is down for another reason", () => {
    const { one } = workers();
    fail(one, 0, 3);
    one.members[0]!.state.mark(Status.down);
    pass(10_000);
    expect(one.health.readmit(one.members[0]!)).toBe(false);
    expect(isEjected(one, 0)).toBe(false);
  });
});

describe("the share of endpoints that may be ejected", () => {
  test.each([
    [1, 0.5, 0],
    [1, 1, 0],
    [2, 0.1, 1],
    [2, 1, 2],
    [3, 0.5, 1],
    [4, 0.5, 2],
    [10, 0.25, 2],
    [100, 0.29, 29],
    [5, 0, 0],
  ])("of %i with a share of %d: %i", (endpoints, share, most) => {
    expect(maxOut(endpoints, share)).toBe(most);
    const { one } = workers({ endpoints, maxEjected: share });
    for (let i = 0; i < endpoints; i++) fail(one, i, 3);
    expect(ejectedCount(one)).toBe(most);
  });

  test("endpoints that checks found down count, and those that are switched off do not", () => {
    const { one } = workers({ endpoints: 5 });
    one.members[4]!.state.mark(Status.disabled);
    one.members[3]!.state.mark(Status.down);
    for (let i = 0; i < 3; i++) fail(one, i, 3);
    expect(ejectedCount(one)).toBe(1);
  });

  test("a place is free again when a time is over, even if nobody has asked for that endpoint since", () => {
    const { one } = workers({ endpoints: 2 });
    fail(one, 0, 3);
    fail(one, 1, 3);
    expect(isEjected(one, 1)).toBe(false);
    pass(10_000);
    fail(one, 1, 3);
    expect([isEjected(one, 0), isEjected(one, 1)]).toEqual([false, true]);
  });

  test("never more than the share, whatever happens in two workers in whatever order (property)", () => {
    const event = fc.record({
      worker: fc.nat(1),
      index: fc.nat(6),
      what: fc.constantFrom("fail", "fail", "fail", "answer-503", "answer-200", "readmit", "pass"),
      ms: fc.nat(15_000),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 7 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.array(event, { maxLength: 200 }),
        (endpoints, maxEjected, events) => {
          const { one, other } = workers({ endpoints, maxEjected, failures: 2, rate: 0.6, rateRequests: 4 });
          for (const { worker, index, what, ms } of events) {
            const { health, members } = worker === 0 ? one : other;
            const member = members[index % endpoints]!;
            if (what === "fail") health.failed(member, REFUSED);
            else if (what === "answer-503") health.answered(member, 503, 5);
            else if (what === "answer-200") health.answered(member, 200, 5);
            else if (what === "readmit") health.readmit(member);
            else pass(ms);
            expect(ejectedCount(one)).toBeLessThanOrEqual(maxOut(endpoints, maxEjected));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("latency outliers", () => {
  const traffic = ({ health, members }: Worker, ms: readonly number[], times = 100) => {
    for (let i = 0; i < times; i++) {
      pass(10);
      for (const [index, each] of ms.entries()) health.answered(members[index]!, 200, each);
    }
  };

  test("an endpoint that is `latency` times slower than the median of the others is ejected", () => {
    const { one, ejected } = workers({ latency: 3 });
    traffic(one, [20, 25, 20, 100], 200);
    expect(ejected.map(([address]) => address)).toEqual(["e3:80"]);
    expect(ejected[0]![2]).toMatch(/^slow: \d+ ms where others take \d+ ms$/);
  });

  test("one of two too", () => {
    const { one } = workers({ endpoints: 2, latency: 3 });
    traffic(one, [20, 100], 200);
    expect([isEjected(one, 0), isEjected(one, 1)]).toEqual([false, true]);
  });

  test("not one that is nearly as fast, nor differences that are nothing, nor without the option", () => {
    for (const [latency, times] of [
      [3, [20, 20, 55]],
      [3, [0.2, 0.2, 3]],
      [null, [20, 20, 500]],
    ] as const) {
      const { one, ejected } = workers({ endpoints: 3, latency });
      traffic(one, times, 300);
      expect(ejected).toEqual([]);
    }
  });

  test("not for a few requests that take long, nor with fewer than `rateRequests`", () => {
    const { one, ejected } = workers({ endpoints: 2, latency: 3 });
    for (let i = 0; i < 300; i++) {
      pass(10);
      one.health.answered(one.members[0]!, 200, 20);
      one.health.answered(one.members[1]!, 200, i % 10 === 0 ? 30_000 : 20);
    }
    expect(ejected).toEqual([]);
    const quiet = workers({ endpoints: 2, latency: 3 });
    for (let i = 0; i < 300; i++) {
      pass(600);
      quiet.one.health.answered(quiet.one.members[0]!, 200, 20);
      quiet.one.health.answered(quiet.one.members[1]!, 200, 500);
    }
    expect(quiet.ejected).toEqual([]);
  });

  test("one that was slow begins anew when it is back", () => {
    const { one, ejected } = workers({ endpoints: 2, latency: 3 });
    traffic(one, [20, 100], 200);
    pass(10_000);
    one.health.readmit(one.members[1]!);
    traffic(one, [20, 20], 300);
    expect(ejected).toHaveLength(1);
  });
});

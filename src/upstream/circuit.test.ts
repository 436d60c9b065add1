import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createLog } from "../base/log.ts";
import { clock, tickTimers } from "../base/timer.ts";
import type { CircuitConfig } from "../config/gateway-config.ts";
import { CIRCUIT_SHARED_CELLS, CIRCUIT_TIME_CELLS, Circuit } from "./circuit.ts";

const CONFIG: CircuitConfig = { failures: 0.5, requests: 20, window: 10_000, openFor: 10_000, probes: 3 };

/** The circuit of one upstream, as two workers see it. */
function circuits(config: Partial<CircuitConfig> = {}) {
  // Something stands before it and after it in the zone.
  const memory = {
    shared: new Int32Array(CIRCUIT_SHARED_CELLS + 2).fill(77),
    times: new Float64Array(CIRCUIT_TIME_CELLS + 2).fill(77),
    slots: 2,
  };
  memory.shared.fill(0, 1, -1);
  memory.times.fill(0, 1, -1);
  const told: string[] = [];
  const log = createLog({ level: "info", format: "text", write: (line) => told.push(line.slice(25).trim()) });
  const make = () => new Circuit({ ...CONFIG, ...config }, memory, { shared: 1, times: 1 }, log);
  return { one: make(), other: make(), told, memory };
}

const pass = (ms: number) => {
  clock.now += ms;
};

/** So many exchanges that are admitted and end. */
const traffic = (circuit: Circuit, succeeded: number, failed: number) => {
  for (let i = 0; i < succeeded; i++) circuit.succeeded(circuit.admit());
  for (let i = 0; i < failed; i++) circuit.failed(circuit.admit());
};

beforeEach(() => {
  clock.now = Math.ceil(performance.now());
});

afterAll(() => tickTimers());

describe("closed", () => {
  test("opens when the share of failures is reached, over all workers, and says so once", () => {
    const { one, other, told } = circuits();
    traffic(one, 10, 5);
    traffic(other, 0, 4);
    expect(one.state).toBe("closed");
    traffic(other, 0, 1);
    expect([one.state, other.state]).toEqual(["open", "open"]);
    expect(told).toEqual([`warn  the circuit is open for="10 s" reason="10 of 20 exchanges failed"`]);
    expect([one.admit(), other.admit()]).toEqual([0, 0]);
  });

  test("stays closed below the share, and below the least number of exchanges", () => {
    const { one } = circuits();
    for (let i = 0; i < 50; i++) traffic(one, 2, 1);
    expect(one.state).toBe("closed");
    const few = circuits();
    traffic(few.one, 0, 19);
    expect(few.one.state).toBe("closed");
  });

  test("forgets what is older than two windows", () => {
    const { one } = circuits();
    traffic(one, 0, 19);
    pass(20_001);
    traffic(one, 0, 1);
    expect(one.state).toBe("closed");
  });

  test("failures that straddle the border of two windows count", () => {
    const { one } = circuits({ window: 1000 });
    // At most one border in 200 ms, so wherever it is, most of the window before still counts.
    for (let i = 0; i < 25; i++) {
      traffic(one, 0, 1);
      pass(8);
    }
    expect(one.state).toBe("open");
  });

  test("a worker whose clock is behind counts in the window of the others", () => {
    const { one, other } = circuits();
    traffic(one, 0, 10);
    pass(-10_000);
    traffic(other, 0, 9);
    pass(10_000);
    traffic(one, 0, 1);
    expect(one.state).toBe("open");
  });
});

describe("open", () => {
  test("lets nothing through until its time is over, and says how long that is", () => {
    const { one, other } = circuits();
    traffic(one, 0, 20);
    expect(other.retryAfterSeconds).toBe(10);
    pass(8_500);
    expect([one.admit(), one.retryAfterSeconds]).toEqual([0, 2]);
    pass(1_500);
    expect(one.admit()).toBeGreaterThan(0);
    expect([other.state, other.retryAfterSeconds]).toEqual(["half-open", 1]);
  });

  test("exchanges admitted before it opened change nothing when they end", () => {
    const { one, other } = circuits();
    const early = [other.admit(), other.admit(), other.admit(), other.admit()];
    traffic(one, 0, 20);
    other.failed(early[0]!);
    pass(10_000);
    const probe = one.admit();
    other.failed(early[1]!);
    other.succeeded(early[2]!);
    other.abandoned(early[3]!);
    expect(one.state).toBe("half-open");
    one.succeeded(probe);
    expect(one.state).toBe("half-open");
  });
});

describe("half open", () => {
  const halfOpen = (config: Partial<CircuitConfig> = {}) => {
    const made = circuits(config);
    traffic(made.one, 0, 20);
    pass(10_000);
    return made;
  };

  test("so many probes pass at a time, over all workers", () => {
    const { one, other } = halfOpen();
    const passes = [one, other, one, other, one].map((circuit) => circuit.admit());
    expect(passes.map((each) => each > 0)).toEqual([true, true, true, false, false]);
  });

  test("closes when all have succeeded, with counts that begin anew", () => {
    const { one, other, told } = halfOpen();
    const passes = [one.admit(), other.admit(), one.admit()];
    for (const each of passes) other.succeeded(each);
    expect([one.state, other.state]).toEqual(["closed", "closed"]);
    expect(told.at(-1)).toBe("info  the circuit is closed");
    traffic(one, 0, 19);
    expect(one.state).toBe("closed");
  });

  test("opens for twice as long when one fails, up to 5 minutes; closing makes it short again", () => {
    const { one, other, told } = halfOpen();
    for (let round = 0; round < 7; round++) {
      const passes = [one.admit(), other.admit()];
      one.succeeded(passes[0]!);
      other.failed(passes[1]!);
      expect(one.state).toBe("open");
      pass(one.retryAfterSeconds * 1000);
    }
    traffic(one, 3, 0);
    expect(one.state).toBe("closed");
    traffic(one, 0, 20);
    const spans = told.flatMap((line) => /for="(\d+) s"/.exec(line)?.[1] ?? []).map(Number);
    expect(spans).toEqual([10, 20, 40, 80, 160, 300, 300, 300, 10]);
  });

  test("`openFor` above 5 minutes is kept", () => {
    const { one } = circuits({ openFor: 600_000 });
    traffic(one, 0, 20);
    expect(one.retryAfterSeconds).toBe(600);
  });

  test("the successes of an earlier round do not count in the next", () => {
    const { one } = halfOpen();
    const passes = [one.admit(), one.admit(), one.admit()];
    one.succeeded(passes[0]!);
    one.succeeded(passes[1]!);
    one.failed(passes[2]!);
    pass(20_000);
    one.succeeded(one.admit());
    expect(one.state).toBe("half-open");
  });

  test("a probe that ends without a word of the upstream makes room for another", () => {
    const { one } = halfOpen();
    const passes = [one.admit(), one.admit(), one.admit()];
    expect(one.admit()).toBe(0);
    one.abandoned(passes[1]!);
    const further = one.admit();
    expect(further).toBeGreaterThan(0);
    for (const each of [passes[0]!, passes[2]!, further]) one.succeeded(each);
    expect(one.state).toBe("closed");
  });

  test("probes that are never heard of again are replaced, and one that answers late still counts", () => {
    const { one, other } = halfOpen();
    const lost = [one.admit(), one.admit(), one.admit()];
    pass(9_999);
    expect(other.admit()).toBe(0);
    pass(1);
    const passes = [other.admit(), other.admit()];
    expect(passes.every((each) => each > 0)).toBe(true);
    other.succeeded(lost[0]!);
    for (const each of passes) other.succeeded(each);
    expect(other.state).toBe("closed");
  });
});

test("nothing is written beside its own cells", () => {
  const { one, memory } = circuits();
  traffic(one, 5, 30);
  pass(10_000);
  traffic(one, 3, 0);
  expect([memory.shared[0], memory.shared.at(-1), memory.times[0], memory.times.at(-1)]).toEqual([77, 77, 77, 77]);
});

test("whatever happens in two workers: open lets nothing pass in its time, half open no more than its probes (property)", () => {
  const event = fc.record({
    worker: fc.nat(1),
    what: fc.constantFrom("admit", "admit", "succeeded", "failed", "failed", "abandoned", "pass"),
    which: fc.nat(),
    ms: fc.nat(4000),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(event, { maxLength: 300 }), (probes, events) => {
      const { one, other } = circuits({ probes, requests: 4, openFor: 2000, window: 3000 });
      const running: { pass: number; probe: boolean; at: number }[] = [];
      let openUntil = 0;
      for (const { worker, what, which, ms } of events) {
        const circuit = worker === 0 ? one : other;
        const before = circuit.state;
        if (what === "pass") pass(ms);
        else if (what === "admit") {
          const admitted = circuit.admit();
          if (before === "open" && clock.now < openUntil) expect(admitted).toBe(0);
          if (before === "closed") expect(admitted).toBeGreaterThan(0);
          if (admitted > 0) running.push({ pass: admitted, probe: circuit.state === "half-open", at: clock.now });
        } else if (running.length > 0) {
          const [ended] = running.splice(which % running.length, 1);
          circuit[what](ended!.pass);
        }
        const { state } = circuit;
        if (state === "open" && before !== "open") openUntil = clock.now + 2000;
        if (state === "half-open") {
          // Of one round: those that a later one replaced had all the time that they get.
          const recent = running.filter(({ probe, at }) => probe && at > clock.now - 2000);
          const current = recent.filter(({ pass: phase }) => phase === Math.max(...recent.map((each) => each.pass)));
          expect(current.length).toBeLessThanOrEqual(2 * probes);
        }
        expect(one.state).toBe(other.state);
      }
    }),
    { numRuns: 300 },
  );
});

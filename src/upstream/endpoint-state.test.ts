import { describe, expect, test } from "bun:test";
import { EndpointState, privateMemory, Status, sharedCells, TIME_CELLS } from "./endpoint-state.ts";
import { stateIn } from "./testing.ts";

describe("status", () => {
  test("0 is usable; each reason is a bit of its own, seen by all processes", () => {
    const memory = privateMemory(1, 2);
    const [one, other] = [stateIn(memory, 0, 0), stateIn(memory, 0, 1)];
    expect(one.status).toBe(0);
    one.mark(Status.down);
    other.mark(Status.ejected);
    expect(one.status).toBe(Status.down | Status.ejected);
    other.unmark(Status.down);
    expect(one.status).toBe(Status.ejected);
  });

  test("one of those who mark at once made the mark, and one of those who unmark took it", () => {
    const memory = privateMemory(1, 2);
    const [one, other] = [stateIn(memory, 0, 0), stateIn(memory, 0, 1)];
    expect([one.mark(Status.ejected), other.mark(Status.ejected)]).toEqual([true, false]);
    expect([other.unmark(Status.ejected), one.unmark(Status.ejected)]).toEqual([true, false]);
  });
});

describe("exchanges in flight", () => {
  test("are counted per process and read as one number", () => {
    const memory = privateMemory(1, 3);
    const states = [0, 1, 2].map((slot) => stateIn(memory, 0, slot));
    for (const state of states) state.begin();
    states[0]!.begin();
    expect(states.map(({ inFlight }) => inFlight)).toEqual([4, 4, 4]);
    states[2]!.end();
    expect(states[0]!.inFlight).toBe(3);
  });

  test("never exceed a limit that is asked for, over all processes", () => {
    const memory = privateMemory(1, 2);
    const [one, other] = [stateIn(memory, 0, 0), stateIn(memory, 0, 1)];
    expect([one.tryBegin(2), other.tryBegin(2), one.tryBegin(2), other.tryBegin(2)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    one.end();
    expect(other.tryBegin(2)).toBe(true);
  });

  test("of a process that died are cleared, and the others' stay", () => {
    const memory = privateMemory(1, 2);
    const [one, other] = [stateIn(memory, 0, 0), stateIn(memory, 0, 1)];
    one.begin();
    other.begin();
    other.begin();
    one.clearSlot(1);
    expect(other.inFlight).toBe(1);
  });
});

test("endpoints beside each other share nothing, and one is reset alone", () => {
  const memory = privateMemory(3, 2);
  const states = [0, 1, 2].map((index) => stateIn(memory, index, 1));
  for (const state of states) {
    state.mark(Status.draining);
    state.begin();
    state.addFailure();
    state.countInWindow(true);
    state.ejections = 3;
    state.ejectedUntil = 4;
    state.rampSince = 5;
    state.lastFailureAt = 6;
    state.observeLatency(7, 8);
    state.countTypical(9);
  }
  const untouched = JSON.stringify([facts(states[0]!), facts(states[2]!)]);
  states[1]!.reset();
  expect(facts(states[1]!)).toEqual(facts(new EndpointState(privateMemory(1, 1), { shared: 0, times: 0 }, 0)));
  expect(JSON.stringify([facts(states[0]!), facts(states[2]!)])).toBe(untouched);
});

test("a record has room for all its cells", () => {
  const memory = privateMemory(2, 5);
  expect(memory.shared.length).toBe(2 * sharedCells(5));
  const [first, second] = [stateIn(memory, 0, 4), stateIn(memory, 1, 0)];
  first.begin();
  first.countTypical(9);
  expect(facts(second)).toEqual(facts(stateIn(privateMemory(1, 5))));
  expect(memory.times.length).toBe(2 * TIME_CELLS);
});

describe("failures", () => {
  test("in a row are counted over all processes until one clears them", () => {
    const memory = privateMemory(1, 2);
    const [one, other] = [stateIn(memory, 0, 0), stateIn(memory, 0, 1)];
    expect([one.addFailure(), other.addFailure(), one.addFailure()]).toEqual([1, 2, 3]);
    other.clearFailures();
    expect(one.consecutiveFailures).toBe(0);
  });

  test("in a window are counted with its requests, and forgotten with the next", () => {
    const state = stateIn(privateMemory());
    state.startWindow(100);
    for (const failed of [true, false, false]) state.countInWindow(failed);
    state.addWindowFailure();
    expect([state.windowRequests, state.windowFailures]).toEqual([3, 2]);
    state.startWindow(200);
    expect([state.windowStart, state.windowRequests, state.windowFailures]).toEqual([200, 0, 0]);
  });

  test("after a head: the head that was cut does not count, those since do, and a cleared row forgets them", () => {
    const state = stateIn(privateMemory());
    expect(state.headsSinceCut).toBe(0);
    state.addCut();
    expect(state.headsSinceCut).toBe(1);
    expect([state.addHeadSinceCut(), state.addHeadSinceCut()]).toEqual([2, 3]);
    state.addCut();
    expect(state.headsSinceCut).toBe(2);
    state.clearFailures();
    expect(state.headsSinceCut).toBe(0);
  });
});

describe("latency", () => {
  test("the peak goes up at once and comes down by its time constant of 10 s", () => {
    const state = stateIn(privateMemory());
    state.observeLatency(10, 0);
    state.observeLatency(1000, 1);
    expect(state.peakMs).toBe(1000);
    state.observeLatency(10, 10_001);
    expect(state.peakMs).toBeCloseTo(10 + 990 / Math.E, 6);
    state.observeLatency(10, 110_001);
    expect(state.peakMs).toBeCloseTo(10, 1);
  });

  test("the average moves little by what came a moment ago", () => {
    const state = stateIn(privateMemory());
    state.observeLatency(10, 0);
    state.observeLatency(1000, 1);
    expect(state.latencyMs).toBeCloseTo(10 + 990 * (1 - Math.exp(-0.0001)), 6);
  });

  test("the typical one is that of the window, and a few that take a minute do not make it", () => {
    const state = stateIn(privateMemory());
    for (let i = 0; i < 1000; i++) state.countTypical(i % 20 === 0 ? 60_000 : 20);
    expect(state.typicalMs).toBeGreaterThan(20);
    expect(state.typicalMs).toBeLessThan(40);
    state.startWindow(1);
    expect(state.typicalMs).toBe(0);
    state.countTypical(0);
    state.countTypical(200);
    expect(state.typicalMs).toBeCloseTo(Math.sqrt(0.01 * 200), 6);
  });
});

function facts(state: EndpointState): unknown[] {
  const { status, inFlight, consecutiveFailures, ejections, windowRequests, windowFailures, headsSinceCut } = state;
  const { windowStart, ejectedUntil, rampSince, lastFailureAt, latencyMs, latencyAt, peakMs, typicalMs } = state;
  return [
    ...[status, inFlight, consecutiveFailures, ejections, windowRequests, windowFailures, headsSinceCut],
    ...[windowStart, ejectedUntil, rampSince, lastFailureAt, latencyMs, latencyAt, peakMs, typicalMs],
  ];
}

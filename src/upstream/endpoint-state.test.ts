import { afterAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { privateMemory, type StateMemory, Status, sharedCells, TIME_CELLS } from "./endpoint-state.ts";
import { stateIn } from "./testing.ts";

/** The same endpoint as processes in these slots see it. */
const seenFrom = (memory: StateMemory, ...slots: number[]) => slots.map((slot) => stateIn(memory, 1, slot));

test("what one process writes the others read, and the neighbours in memory keep what is theirs", () => {
  const memory = privateMemory(3, 2);
  const [one, other] = seenFrom(memory, 0, 1);
  one!.mark(Status.down);
  one!.begin();
  one!.addFailure();
  one!.observeLatency(20, 5);
  one!.rampSince = 7;
  expect(other!).toMatchObject({
    status: 4,
    inFlight: 1,
    consecutiveFailures: 1,
    latencyMs: 20,
    peakMs: 20,
    rampSince: 7,
  });
  for (const index of [0, 2]) {
    expect(stateIn(memory, index)).toMatchObject({ status: 0, inFlight: 0, latencyMs: 0, rampSince: 0 });
  }
  other!.reset();
  expect(one!).toMatchObject({ status: 0, inFlight: 0, consecutiveFailures: 0, latencyMs: 0, rampSince: 0 });
});

test("marks are independent of each other, and say whether they were new", () => {
  const state = stateIn(privateMemory());
  expect([state.mark(Status.down), state.mark(Status.ejected), state.mark(Status.down)]).toEqual([true, true, false]);
  expect([state.unmark(Status.down), state.unmark(Status.down), state.status]).toEqual([true, false, Status.ejected]);
});

test("the slot of a worker that died is cleared, the others' are not", () => {
  const memory = privateMemory(2, 3);
  const [a, b] = seenFrom(memory, 0, 2);
  for (const state of [a!, a!, b!]) state.begin();
  expect(a!.inFlight).toBe(3);
  b!.clearSlot(0);
  expect(a!.inFlight).toBe(1);
});

test("no more begin than the limit allows, over all slots", () => {
  const [a, b] = seenFrom(privateMemory(2, 2), 0, 1);
  expect([a!.tryBegin(2), b!.tryBegin(2), a!.tryBegin(2), b!.tryBegin(2)]).toEqual([true, true, false, false]);
  a!.end();
  expect([b!.tryBegin(2), b!.inFlight]).toEqual([true, 2]);
});

describe("threads that begin and end at the same time", () => {
  const file = join(tmpdir(), `lintel-begin-${crypto.randomUUID()}.ts`);
  afterAll(() => rmSync(file, { force: true }));

  test("never pass the limit together, and lose no count", async () => {
    const [threads, limit, index] = [3, 2, 1];
    await Bun.write(
      file,
      `import { stateIn } from ${JSON.stringify(join(import.meta.dir, "testing.ts"))};
       declare const self: Worker;
       self.onmessage = ({ data: { shared, times, slots, slot, inside } }) => {
         const state = stateIn({ shared, times, slots }, ${index}, slot);
         let most = 0;
         let begun = 0;
         // The others may be stopped where they have taken all there is.
         for (let i = 0; i < 100_000 || begun === 0; i++) {
           if (!state.tryBegin(${limit})) continue;
           begun++;
           most = Math.max(most, Atomics.add(inside, 0, 1) + 1);
           Atomics.sub(inside, 0, 1);
           state.end();
         }
         postMessage({ most, begun });
       };`,
    );
    const shared = new Int32Array(new SharedArrayBuffer(2 * sharedCells(threads) * 4));
    const times = new Float64Array(new SharedArrayBuffer(2 * TIME_CELLS * 8));
    const inside = new Int32Array(new SharedArrayBuffer(4));
    const results = await Promise.all(
      Array.from({ length: threads }, async (_, slot) => {
        const worker = new Worker(file);
        const said = new Promise<{ most: number; begun: number }>((resolve, reject) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(new Error(message));
        });
        worker.postMessage({ shared, times, slots: threads, slot, inside });
        return said.finally(() => worker.terminate());
      }),
    );
    expect(Math.max(...results.map(({ most }) => most))).toBeLessThanOrEqual(limit);
    for (const { begun } of results) expect(begun).toBeGreaterThan(0);
    expect(stateIn({ shared, times, slots: threads }, index).inFlight).toBe(0);
  }, 30_000);
});

import { expect, test } from "bun:test";
import { privateMemory, type StateMemory } from "../endpoint-state.ts";
import type { Race } from "./testing-race.ts";

const ENDPOINTS = 8;

test("two workers that eject at the same instant never eject more than the share together", async () => {
  const own = privateMemory(ENDPOINTS, 2);
  const memory: StateMemory = {
    shared: new Int32Array(new SharedArrayBuffer(own.shared.byteLength)),
    times: new Float64Array(new SharedArrayBuffer(own.times.byteLength)),
    slots: 2,
  };
  const arrivals = new Int32Array(new SharedArrayBuffer(8));
  const threads = [0, 1].map(() => new Worker(`${import.meta.dir}/testing-race.ts`));
  try {
    const most = threads.map(
      (thread) =>
        new Promise<number>((resolve, reject) => {
          thread.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
          thread.onerror = ({ message }) => reject(new Error(message));
        }),
    );
    for (const [slot, thread] of threads.entries()) {
      const config = {
        ...{ failures: 1, window: 10_000, rate: null, rateRequests: 20, statuses: [], latency: null },
        ...{ ejectFor: 60_000, ejectMax: 60_000, maxEjected: 0.5 },
      };
      const race: Race = { memory, arrivals, slot, endpoints: ENDPOINTS, rounds: 1000, config };
      thread.postMessage(race);
    }
    // Both may step back, so fewer are possible; in some round of a thousand it is as many as may be.
    expect(await Promise.all(most)).toEqual([4, 4]);
  } finally {
    for (const thread of threads) thread.terminate();
  }
}, 60_000);

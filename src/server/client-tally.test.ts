import { expect, test } from "bun:test";
import { ClientTally } from "./client-tally.ts";
import type { ToWorker } from "./ipc.ts";

test("reports of all workers are added up as rates, and go stale", () => {
  const sent: ToWorker[] = [];
  let now = 0;
  const tally = new ClientTally(
    (message) => sent.push(message),
    () => now,
  );
  expect(tally.ask()).toEqual([]);
  expect(sent).toEqual([{ kind: "watch-clients", forMs: 5000 }]);
  const count = { over: 0, errors: 0, octets: 100 };
  tally.report(0, { overMs: 1000, counts: [{ client: "10.0.0.1", requests: 10, ...count }] });
  tally.report(1, {
    overMs: 2000,
    counts: [
      { client: "10.0.0.1", requests: 10, ...count },
      { client: "10.0.0.2", requests: 60, ...count, errors: 2 },
    ],
  });
  expect(tally.ask()).toEqual([
    { client: "10.0.0.2", requestsPerSecond: 30, errorsPerSecond: 1, octetsPerSecond: 50 },
    { client: "10.0.0.1", requestsPerSecond: 15, errorsPerSecond: 0, octetsPerSecond: 150 },
  ]);
  now = 3500;
  expect(tally.ask()).toEqual([]);
});

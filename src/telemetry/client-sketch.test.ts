import { expect, test } from "bun:test";
import fc from "fast-check";
import { ClientSketch } from "./client-sketch.ts";

test("few clients are counted exactly, most requests first, and a take begins anew", () => {
  const sketch = new ClientSketch(4);
  sketch.count("a", false, 10);
  sketch.count("b", true, 1);
  sketch.count("b", false, 2);
  expect(sketch.take()).toEqual([
    { client: "b", requests: 2, over: 0, errors: 1, octets: 3 },
    { client: "a", requests: 1, over: 0, errors: 0, octets: 10 },
  ]);
  expect(sketch.take()).toEqual([]);
});

test("with more clients than room counts are never too low, and those with a share of 1/room are in it", () => {
  const clients = fc.array(fc.integer({ min: 0, max: 30 }).map(String), { maxLength: 300 });
  fc.assert(
    fc.property(clients, fc.integer({ min: 1, max: 12 }), (asked, room) => {
      const sketch = new ClientSketch(room);
      const exact = new Map<string, number>();
      for (const client of asked) {
        sketch.count(client, false, 0);
        exact.set(client, (exact.get(client) ?? 0) + 1);
      }
      const taken = sketch.take();
      expect(taken.length).toBeLessThanOrEqual(room);
      for (const { client, requests, over } of taken) {
        const times = exact.get(client)!;
        expect(requests).toBeGreaterThanOrEqual(times);
        expect(requests - over).toBeLessThanOrEqual(times);
      }
      const named = taken.map(({ client }) => client);
      for (const [client, times] of exact) if (times > asked.length / room) expect(named).toContain(client);
    }),
  );
});

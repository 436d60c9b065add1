import { describe, expect, test } from "bun:test";
import type { Paint } from "../../config/diagnostic.ts";
import { frame, type View } from "./frame.ts";
import { ratesOf, type Sample } from "./rates.ts";
import { sample } from "./testing.ts";

const same = (text: string) => text;
const PLAIN: Paint = { error: same, warning: same, strong: same, faint: same };
const VIEW: View = { width: 80, height: null, order: "requests", paint: PLAIN };

const before = sample({ requests: 1000, atMs: 0 });
const after = sample({ requests: 3000, atMs: 2000 });
const draw = (view: Partial<View> = {}, last: Sample = after) =>
  frame(last, ratesOf(before, last), { ...VIEW, ...view });

describe("rates", () => {
  test("are what happened between two looks, per second", () => {
    expect(ratesOf(before, after)).toMatchObject({
      requests: 1000,
      errors: 100,
      octetsOut: 1000 * 1024,
      accepted: 1000,
      connections: 12,
      cores: 0.5,
      routes: [
        { name: "main old", requests: 0, p50: null, p99: null },
        { name: "main api", requests: 1000, errors: 100, p50: 2, p99: 1024 },
      ],
      upstreams: [
        {
          name: "app",
          requests: 1000,
          errors: 200,
          inFlight: 3,
          endpoints: [
            { name: "10.0.0.1:80", requests: 1000, errors: 100 },
            { name: "10.0.0.2:80", requests: 0, condition: "down", p99: null },
          ],
        },
      ],
    });
  });

  test("are never negative: counters that are lower than before began anew", () => {
    const restarted = sample({ requests: 100, atMs: 3000 });
    expect(ratesOf(after, restarted)).toMatchObject({ requests: 100, errors: 10, accepted: 100 });
  });

  test("of a route that was not there before count from nothing", () => {
    const without = { ...before, stats: { ...before.stats, routes: [], upstreams: [] } };
    expect(ratesOf(without, after).routes[1]).toMatchObject({ requests: 1500, p50: 2 });
  });
});

describe("a frame", () => {
  test("shows load, endpoints, routes and clients", () => {
    expect(draw().join("\n")).toBe(
      [
        "lintel 1.2.3  up 1d 2h  lintel.yaml (version 7)",
        "requests 1000/s  errors 100/s  in 0 B/s  out 1000 KiB/s",
        "connections 12 (1000 new/s)  cpu 50%  memory 50.0 MiB  workers 1/1",
        "",
        "UPSTREAM, ENDPOINT             STATE    REQ/S    ERR/S IN FLIGHT     P50     P99",
        "app                                      1000      200         3     2ms   1.02s",
        "  10.0.0.1:80                     up     1000      100         3     2ms   1.02s",
        "  10.0.0.2:80                   down        0        0         0       -       -",
        "",
        "ROUTE                                   REQ/S    ERR/S     OUT/S     P50     P99",
        "main api                                 1000      100  1000 KiB     2ms   1.02s",
        "main old                                    0        0       0 B       -       -",
        "",
        "CLIENT                                                     REQ/S   ERR/S   OUT/S",
        "192.0.2.7                                                    120     1.5 2.0 KiB",
      ].join("\n"),
    );
  });

  test.each([
    [80, 24],
    [40, 10],
    [20, 5],
    [200, 60],
  ])("of %i columns and %i rows fits", (width, height) => {
    const many = Array.from({ length: 50 }, (_, i) => ({ ...after.stats.routes[1]!, route: `route-${"x".repeat(i)}` }));
    const lines = draw({ width, height }, { ...after, stats: { ...after.stats, routes: many } });
    expect(lines.length).toBeLessThanOrEqual(height);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
  });

  test("says how many rows there are beyond those shown, and gives room to who needs it", () => {
    const many = Array.from({ length: 50 }, (_, i) => ({ ...after.stats.routes[1]!, route: `route-${i}` }));
    const lines = draw({ height: 30 }, { ...after, stats: { ...after.stats, routes: many } });
    expect(lines).toHaveLength(30);
    expect(lines.find((line) => line.startsWith("ROUTE"))).toStartWith("ROUTE (15 of 50)");
    expect(lines.join("\n")).toContain("192.0.2.7");
  });

  test.each([
    ["errors", "flaky"],
    ["latency", "slow"],
    ["requests", "busy"],
  ] as const)("sorted by %s has %s first", (order, first) => {
    const route = (name: string, ok: number, bad: number, counts: number[]) => ({
      site: "s",
      route: name,
      responses: { "2xx": ok, "5xx": bad },
      requestOctets: 0,
      responseOctets: 0,
      durations: { counts, sumMs: 0 },
    });
    const routes = [
      route("slow", 10, 0, [0, 0, 10, 0]),
      route("busy", 1000, 0, [1000, 0, 0, 0]),
      route("flaky", 10, 10, [20, 0, 0, 0]),
    ];
    const lines = draw({ order }, { ...after, stats: { ...after.stats, routes } });
    const head = lines.findIndex((line) => line.startsWith("ROUTE"));
    expect(lines[head + 1]).toStartWith(`s ${first} `);
  });

  test("on a terminal has the keys in its last line, with the present order marked", () => {
    expect(draw({ height: 24, order: "errors" }).at(-1)).toBe(" r requests  [e errors]  l latency    q quit");
  });

  test("says why clients are not shown", () => {
    expect(draw({}, { ...after, clients: "not shown: over TCP it needs a token" }).at(-1)).toBe(
      "not shown: over TCP it needs a token",
    );
    expect(draw({}, { ...after, clients: [] }).at(-1)).toBe("nobody asked within the last second");
  });

  test("control characters in names cannot steer the terminal", () => {
    const routes = [{ ...after.stats.routes[1]!, route: "\x1b[2Jevil\r\n" }];
    expect(draw({}, { ...after, stats: { ...after.stats, routes } }).join("\n")).toContain("?[2Jevil??");
  });

  test("colours rows by how endpoints are", () => {
    const marks: Paint = { error: (text) => `E<${text}>`, warning: (text) => `W<${text}>`, strong: same, faint: same };
    const text = draw({ paint: marks }).join("\n");
    expect(text).toContain("E<  10.0.0.2:80 ");
    expect(text).toContain("W<  10.0.0.1:80 ");
  });
});

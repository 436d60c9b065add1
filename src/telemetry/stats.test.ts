import { expect, test } from "bun:test";
import { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import { Sequence } from "../state/placement.ts";
import { createZone } from "../state/zone.ts";
import type { ClientCount } from "./client-sketch.ts";
import { ClientWatch } from "./client-watch.ts";
import { GatewayMetrics } from "./metrics.ts";
import { ExchangeRecorder } from "./record.ts";
import { readStats } from "./stats.ts";
import { SAMPLE_CONFIG, sampleExchange } from "./testing.ts";

/** Two workers that count in the same zone. */
function workers() {
  clock.now = 1003;
  const placement = new Sequence();
  const all = [0, 1].map(() => GatewayMetrics.of(SAMPLE_CONFIG, new Sequence()));
  GatewayMetrics.of(SAMPLE_CONFIG, placement);
  const zone = createZone({ ...placement.sizes, totals: 5000, levels: 100, slots: 2 });
  for (const [slot, metrics] of all.entries()) {
    metrics.registry.attach(zone, slot);
    metrics.addEndpoint("app", "10.0.0.1:80", placement.sizes);
  }
  const recorders = all.map((metrics) => new ExchangeRecorder(metrics, null));
  return { metrics: all, recorders, read: () => readStats(all[0]!.registry, zone, 5) };
}

test("stats add up all workers, and leave out routes that answered nothing", () => {
  const { recorders, read } = workers();
  expect(read()).toMatchObject({ at: 5, routes: [], failures: {} });
  for (const recorder of recorders) recorder.record(sampleExchange());
  recorders[1]!.record(sampleExchange("/x", {}, 503));
  const { routes, bucketsMs } = read();
  expect(routes).toMatchObject([
    { site: "main", route: "shop", responses: { "2xx": 2, "5xx": 1 }, requestOctets: 0, responseOctets: 36 },
  ]);
  const { counts, sumMs } = routes[0]!.durations;
  expect(counts).toHaveLength(bucketsMs.length + 1);
  expect([counts.reduce((sum, one) => sum + one, 0), Math.round(sumMs)]).toEqual([3, 9]);
});

test("stats show each endpoint with its answers and connections, and its upstream's failures", () => {
  const { metrics, recorders, read } = workers();
  const exchange = sampleExchange();
  const moments = { hedge: false, reused: false, startedAt: 1000, connectedAt: 0 };
  const refused = new Failure("upstream-connect-refused", "no");
  exchange.attempts = [
    { endpoint: "10.0.0.1:80", ...moments, firstOctetAt: 0, status: 0, failure: refused },
    { endpoint: "10.0.0.1:80", ...moments, firstOctetAt: 1001, status: 200, failure: null },
  ];
  recorders[1]!.record(exchange);
  metrics[0]!.endpoint("app", "10.0.0.1:80")!.active.up();
  metrics[1]!.endpoint("app", "10.0.0.1:80")!.active.up();
  expect(read().upstreams).toMatchObject([
    {
      upstream: "app",
      failures: { "upstream-connect-refused": 1 },
      endpoints: [{ endpoint: "10.0.0.1:80", responses: { "2xx": 1 }, connections: { opened: 0, active: 2, idle: 0 } }],
    },
  ]);
});

test("clients are counted while they are watched, and reported each second", async () => {
  const reports: (readonly ClientCount[])[] = [];
  const { recorders } = workers();
  const recorder = recorders[0]!;
  const reported = Promise.withResolvers<void>();
  recorder.clients = new ClientWatch((_, counts) => {
    reports.push(counts);
    reported.resolve();
  });
  recorder.record(sampleExchange());
  recorder.clients.watch(500);
  recorder.record(sampleExchange());
  recorder.record(sampleExchange("/x", {}, 503));
  // The watch does not keep a process alive by itself.
  const alive = setInterval(() => {}, 100);
  await reported.promise;
  clearInterval(alive);
  recorder.record(sampleExchange());
  const { clientAddress } = sampleExchange();
  expect(reports).toEqual([[{ client: clientAddress, requests: 2, over: 0, errors: 1, octets: 24 }]]);
});

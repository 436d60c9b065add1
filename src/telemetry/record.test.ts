import { expect, test } from "bun:test";
import { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import { Sequence } from "../state/placement.ts";
import { createZone } from "../state/zone.ts";
import type { AccessLog } from "./access-log.ts";
import { renderMetrics } from "./exposition.ts";
import { jsonLine } from "./formats/json.ts";
import { ENDPOINT_LEVEL_CELLS, ENDPOINT_TOTAL_CELLS, GatewayMetrics } from "./metrics.ts";
import { ExchangeRecorder } from "./record.ts";
import { CLIENT, SAMPLE_CONFIG, sampleExchange } from "./testing.ts";

function setUp() {
  clock.now = 1003;
  const placement = new Sequence();
  const metrics = GatewayMetrics.of(SAMPLE_CONFIG, placement);
  const zone = createZone({ ...placement.sizes, totals: 5000, levels: 100, slots: 1 });
  metrics.registry.attach(zone, 0);
  for (const [i, address] of ["10.0.0.1:80", "10.0.0.2:80"].entries()) {
    const { totals, levels } = placement.sizes;
    metrics.addEndpoint("app", address, {
      totals: totals + i * ENDPOINT_TOTAL_CELLS,
      levels: levels + i * ENDPOINT_LEVEL_CELLS,
    });
  }
  const lines: string[] = [];
  const log = { record: (exchange) => lines.push(jsonLine(exchange)) } as Partial<AccessLog> as AccessLog;
  const scrape = () => renderMetrics(metrics.registry, zone).split("\n");
  return { zone, metrics, recorder: new ExchangeRecorder(metrics, log), lines, scrape };
}

test("a finished exchange is counted by listener, route and class of status, and logged once", () => {
  const { recorder, lines, scrape } = setUp();
  const exchange = sampleExchange();
  exchange.requestOctets = 5;
  recorder.record(exchange);
  recorder.record(sampleExchange("/x", {}, 404));
  expect(lines.length).toBe(2);
  expect(scrape()).toEqual(
    expect.arrayContaining([
      'lintel_requests_total{site="main",route="shop",listener="web",code="2xx"} 1',
      'lintel_requests_total{site="main",route="shop",listener="web",code="4xx"} 1',
      'lintel_request_content_octets_total{site="main",route="shop"} 5',
      'lintel_response_content_octets_total{site="main",route="shop"} 24',
      'lintel_request_duration_seconds_bucket{site="main",route="shop",le="0.002"} 0',
      'lintel_request_duration_seconds_bucket{site="main",route="shop",le="0.004"} 2',
      'lintel_requests_by_method_total{method="GET"} 2',
    ]),
  );
});

test("exchanges of a generation count by the number of their route, each on its own listener", () => {
  const { recorder, scrape } = setUp();
  const generation = { finished() {}, counters: [null, null] };
  const record = (route: string, routeNumber: number, listener = "web") => {
    const exchange = sampleExchange();
    recorder.record(Object.assign(exchange, { generation, route, routeNumber, client: { ...CLIENT, listener } }));
  };
  for (let i = 0; i < 3; i++) record("shop", 1);
  record("rest", 0);
  record("rest", 0, "inner");
  record("shop", 1, "inner");
  expect(scrape()).toEqual(
    expect.arrayContaining([
      'lintel_requests_total{site="main",route="shop",listener="web",code="2xx"} 3',
      'lintel_requests_total{site="main",route="shop",listener="inner",code="2xx"} 1',
      'lintel_requests_total{site="main",route="rest",listener="web",code="2xx"} 1',
      'lintel_requests_total{site="main",route="rest",listener="inner",code="2xx"} 1',
      'lintel_request_duration_seconds_count{site="main",route="shop"} 4',
    ]),
  );
});

test("an exchange that began before a reload counts where those of its route do after it", () => {
  const { recorder, zone, metrics, scrape } = setUp();
  const generation = { finished() {}, counters: [null] };
  const record = () => recorder.record(Object.assign(sampleExchange(), { generation, routeNumber: 0 }));
  record();
  const placement = new Sequence({ totals: 2000 });
  const after = GatewayMetrics.of(SAMPLE_CONFIG, placement);
  after.registry.attach(zone, 0);
  recorder.use(after, null);
  record();
  record();
  const line = (count: number) => `lintel_requests_total{site="main",route="shop",listener="web",code="2xx"} ${count}`;
  expect(scrape()).toContain(line(1));
  expect(renderMetrics(after.registry, zone)).toContain(line(2));
  expect(metrics).not.toBe(after);
});

test("each attempt counts for its endpoint", () => {
  const { recorder, scrape } = setUp();
  const exchange = sampleExchange();
  const refused = new Failure("upstream-connect-refused", "no");
  const moments = { hedge: false, reused: false, startedAt: 1000, connectedAt: 0 };
  exchange.attempts = [
    { endpoint: "10.0.0.1:80", ...moments, firstOctetAt: 0, status: 0, failure: refused },
    { endpoint: "10.0.0.2:80", ...moments, firstOctetAt: 1001, status: 503, failure: null },
  ];
  recorder.record(exchange);
  expect(scrape()).toEqual(
    expect.arrayContaining([
      'lintel_upstream_failures_total{upstream="app",code="upstream-connect-refused"} 1',
      'lintel_upstream_requests_total{upstream="app",endpoint="10.0.0.2:80",code="5xx"} 1',
      'lintel_upstream_first_octet_seconds_count{upstream="app"} 1',
      'lintel_endpoint_first_octet_seconds_count{upstream="app",endpoint="10.0.0.2:80"} 1',
    ]),
  );
});

test("a malformed request is logged and counted like any other", () => {
  const { recorder, lines, scrape } = setUp();
  recorder.recordMalformed(CLIENT, new Failure("request-malformed", "two Host fields"), 77);
  expect(JSON.parse(lines[0]!)).toMatchObject({
    client: "192.0.2.17",
    method: null,
    host: null,
    target: null,
    status: 400,
    requestOctets: 77,
    route: null,
    outcome: { by: "downstream", phase: "head", code: "request-malformed", message: "two Host fields" },
  });
  expect(scrape()).toEqual(
    expect.arrayContaining([
      'lintel_malformed_requests_total{reason="request-malformed"} 1',
      'lintel_failures_total{code="request-malformed"} 1',
      'lintel_requests_total{site="",route="",listener="web",code="4xx"} 1',
    ]),
  );
});

test("names that the config does not know make no new series", () => {
  const { metrics, recorder, scrape } = setUp();
  const before = [...metrics.registry.families].map(({ series }) => series.length);
  const exchange = sampleExchange();
  exchange.route = "unheard-of";
  exchange.upstream = "unheard-of";
  exchange.attempts = [
    {
      endpoint: "x",
      hedge: false,
      reused: true,
      startedAt: 0,
      connectedAt: 0,
      firstOctetAt: 1,
      status: 200,
      failure: null,
    },
  ];
  exchange.request.method = "BREW";
  recorder.record(exchange);
  expect([...metrics.registry.families].map(({ series }) => series.length)).toEqual(before);
  expect(scrape()).toContain('lintel_requests_total{site="",route="",listener="web",code="2xx"} 1');
  expect(scrape()).toContain('lintel_requests_by_method_total{method="other"} 1');
});

test("what ends after a reload to a config without listeners is counted and logged, though not by listener", () => {
  const { recorder, lines, zone } = setUp();
  const placement = new Sequence();
  const metrics = GatewayMetrics.of({ ...SAMPLE_CONFIG, listeners: [], sites: [], upstreams: [] }, placement);
  metrics.registry.attach(zone, 0);
  zone.totals[0]!.fill(0);
  recorder.use(metrics, { record: (exchange) => lines.push(jsonLine(exchange)) } as Partial<AccessLog> as AccessLog);
  recorder.record(sampleExchange());
  recorder.recordMalformed(CLIENT, new Failure("request-malformed", "two Host fields"), 77);
  expect(lines).toHaveLength(2);
  const shown = renderMetrics(metrics.registry, zone).split("\n");
  expect(shown).toEqual(
    expect.arrayContaining([
      'lintel_requests_by_method_total{method="GET"} 1',
      'lintel_request_duration_seconds_count{site="",route=""} 2',
      'lintel_malformed_requests_total{reason="request-malformed"} 1',
    ]),
  );
});

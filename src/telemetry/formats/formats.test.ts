import { beforeEach, describe, expect, test } from "bun:test";
import { Failure } from "../../base/failure.ts";
import { clock } from "../../base/timer.ts";
import { lineFormat } from "../access-log.ts";
import { sampleExchange } from "../testing.ts";
import { combinedLine } from "./combined.ts";
import { escapeControls, escapeQuoted, jsonString } from "./escape.ts";
import { jsonLine } from "./json.ts";

beforeEach(() => {
  clock.now = 1012.3456;
});

/** Everything that could end a line, a string, or steer a terminal. */
const NASTY = 'a"b\\c\r\nd\t\x00\x1b[31m\x7f\x85\x9b\u2028é😀\ud800';

describe("JSON lines", () => {
  test("hold what is known of a relayed exchange", () => {
    const exchange = sampleExchange("/shop?id=1", { "user-agent": "curl/8", referer: "http://a/" });
    exchange.attempts = [
      {
        endpoint: "10.0.0.1:80",
        hedge: false,
        reused: false,
        startedAt: 1001,
        connectedAt: 1003.5,
        firstOctetAt: 1010.007,
        status: 200,
        failure: null,
      },
    ];
    exchange.id = "abc";
    const { time, ...line } = JSON.parse(jsonLine(exchange));
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(60_000);
    expect(line).toEqual({
      client: "192.0.2.17",
      method: "GET",
      host: "example.com",
      target: "/shop?id=1",
      protocol: "HTTP/1.1",
      status: 200,
      requestOctets: 0,
      responseOctets: 12,
      durationMs: 12.346,
      site: "main",
      route: "shop",
      upstream: "app",
      endpoint: "10.0.0.1:80",
      attempts: 1,
      connectMs: 2.5,
      firstOctetMs: 9.007,
      userAgent: "curl/8",
      referer: "http://a/",
      requestId: "abc",
      outcome: { by: null, phase: "done", code: null },
    });
  });

  test("say who ended the exchange and in which phase", () => {
    const exchange = sampleExchange();
    exchange.response = null;
    exchange.phase = "connect";
    exchange.failure = new Failure("upstream-connect-refused", 'said "no"');
    expect(JSON.parse(jsonLine(exchange))).toMatchObject({
      status: 502,
      endpoint: null,
      connectMs: null,
      userAgent: null,
      outcome: { by: "upstream", phase: "connect", code: "upstream-connect-refused", message: 'said "no"' },
    });
    expect(jsonLine(exchange)).not.toContain("requestId");
  });

  test("an attempt that was never connected has no times", () => {
    const exchange = sampleExchange();
    exchange.attempts = [
      {
        endpoint: "10.0.0.1:80",
        hedge: false,
        reused: false,
        startedAt: 1001,
        connectedAt: 0,
        firstOctetAt: 0,
        status: 0,
        failure: null,
      },
    ];
    expect(JSON.parse(jsonLine(exchange))).toMatchObject({ attempts: 1, connectMs: null, firstOctetMs: null });
  });

  test("of several attempts each is shown; the one that decided is the exchange's own", () => {
    const exchange = sampleExchange();
    const common = { hedge: false, reused: false, startedAt: 1001, connectedAt: 1002, firstOctetAt: 0, status: 0 };
    exchange.attempts = [
      { ...common, endpoint: "a:80", failure: new Failure("upstream-reset", "gone") },
      { ...common, endpoint: "b:80", startedAt: 1003, connectedAt: 1003, status: 200, failure: null, reused: true },
      { ...common, endpoint: "c:80", startedAt: 1004, connectedAt: 0, failure: null, hedge: true },
    ];
    const start = exchange.startedAt;
    expect(JSON.parse(jsonLine(exchange))).toMatchObject({
      endpoint: "b:80",
      attempts: 3,
      tries: [
        {
          endpoint: "a:80",
          hedge: false,
          reused: false,
          afterMs: 1001 - start,
          connectMs: 1,
          status: null,
          code: "upstream-reset",
        },
        { endpoint: "b:80", hedge: false, reused: true, afterMs: 1003 - start, connectMs: 0, status: 200, code: null },
        {
          endpoint: "c:80",
          hedge: true,
          reused: false,
          afterMs: 1004 - start,
          connectMs: null,
          status: null,
          code: null,
        },
      ],
    });
  });

  test.each([0, 0.001, 0.02, 0.3, 5, 1234.5678])("a duration of %d ms reads back to the microsecond", (ms) => {
    clock.now = 1000 + ms;
    expect(JSON.parse(jsonLine(sampleExchange())).durationMs).toBe(Math.round(ms * 1000) / 1000);
  });
});

describe("combined lines", () => {
  test("are what Apache writes, with the outcome at the end", () => {
    const exchange = sampleExchange("/shop?id=1", { "user-agent": "curl/8" });
    expect(combinedLine(exchange)).toMatch(
      /^192\.0\.2\.17 - - \[\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/shop\?id=1 HTTP\/1\.1" 200 12 "-" "curl\/8" "done"$/,
    );
    exchange.phase = "response-content";
    exchange.failure = new Failure("client-closed", "gone");
    expect(combinedLine(exchange)).toEndWith('"curl/8" "downstream:response-content:client-closed"');
  });
});

describe("a value cannot break out of its line", () => {
  test("in JSON it reads back as it was", () => {
    expect(JSON.parse(jsonString(NASTY.slice(0, -1)))).toBe(NASTY.slice(0, -1));
    expect(jsonString(NASTY)).toMatch(/^[^\x00-\x1f\x7f-\x9f\ud800]+$/);
    expect(JSON.parse(jsonString("plain é"))).toBe("plain é");
  });

  test("between quotes controls, quotes and backslashes are escaped", () => {
    expect(escapeQuoted(NASTY.slice(0, -1))).toBe('a\\"b\\\\c\\x0d\\x0ad\\x09\\x00\\x1b[31m\\x7f\\x85\\x9b\u2028é😀');
    expect(escapeQuoted("plain")).toBe("plain");
  });

  test("in a template controls are escaped", () => {
    expect(escapeControls('"a"\r\nb')).toBe('"a"\\x0d\\x0ab');
    const exchange = sampleExchange();
    exchange.params = { name: "x\nforged line" };
    expect(lineFormat("{client.address} {param.name}")(exchange)).toBe("192.0.2.17 x\\x0aforged line");
  });
});

import { expect, test } from "bun:test";
import { Failure, type FailureCode } from "../base/failure.ts";
import { MemoryBody, NO_BODY } from "./body.ts";
import { failureResponse } from "./error-response.ts";
import { Exchange } from "./exchange.ts";
import { FieldSection } from "./field-section.ts";
import { grpcAnswer, grpcTimeoutMs, isGrpc, StreamReset, statusOfFailure } from "./grpc.ts";
import { HttpRequest, HttpResponse } from "./message.ts";

const call = (contentType = "application/grpc") =>
  new Exchange(
    { listener: "http", peer: "192.0.2.1", peerPort: 1, localAddress: "", localPort: 80, tls: null },
    "HTTP/2",
    new HttpRequest(
      "POST",
      "http",
      "a.test",
      "/pkg.Service/Method",
      FieldSection.of({ "content-type": contentType }),
      NO_BODY,
    ),
    0,
  );

test.each([
  ["application/grpc", true],
  ["application/grpc+proto", true],
  ["application/grpc;charset=utf-8", true],
  ["application/grpc-web", false],
  ["application/grpc-web+proto", false],
  ["application/grpcx", false],
  ["application/json", false],
])("content of type %s is gRPC: %p", (type, expected) => {
  expect(isGrpc(FieldSection.of({ "content-type": type }))).toBe(expected);
  expect(isGrpc(new FieldSection())).toBe(false);
});

test.each<[FailureCode, number]>([
  ["no-endpoint", 14],
  ["upstream-connect-refused", 14],
  ["upstream-connect-timeout", 14],
  ["upstream-truncated", 14],
  ["exchange-timeout", 4],
  ["upstream-first-octet-timeout", 4],
  ["forbidden", 7],
  ["no-route", 12],
  ["content-too-large", 8],
  ["internal", 13],
  ["request-malformed", 13],
])("failure %s is gRPC status %i", (code, status) => {
  expect(statusOfFailure(new Failure(code, ""))).toBe(status);
});

test.each([
  [0x8, "CANCELLED", 1],
  [0xb, "RESOURCE_EXHAUSTED", 8],
  [0xc, "PERMISSION_DENIED", 7],
  [0x2, "UNAVAILABLE: it says no more than that the stream ended", 14],
])("a stream that an origin server resets with code %i is %s", (code, _, status) => {
  for (const failure of ["upstream-reset", "upstream-truncated"] as const)
    expect(statusOfFailure(new Failure(failure, "", { cause: new StreamReset(code) }))).toBe(status);
});

test.each([
  [401, "16"],
  [403, "7"],
  [404, "12"],
  [429, "14"],
  [503, "14"],
  [418, "2"],
])("an error of the gateway's own with status %i is answered with gRPC status %s", (status, expected) => {
  const made = new HttpResponse(
    status,
    FieldSection.of({ "content-type": "text/html", "retry-after": "5" }),
    MemoryBody.text("<p>no"),
  );
  const { fields, ...answer } = grpcAnswer(call(), made)!;
  expect(answer).toMatchObject({ status: 200, body: NO_BODY });
  expect([fields.get("grpc-status"), fields.get("content-type"), fields.get("retry-after")]).toEqual([
    expected,
    "application/grpc",
    "5",
  ]);
  expect(fields.get("grpc-message")).toStartWith(String(status));
});

test("a failure's code is the message, and its own message stays in the log", () => {
  const exchange = call();
  exchange.failure = new Failure("no-endpoint", "10.0.0.1:80 is down: 100 % sure");
  const { fields } = grpcAnswer(exchange, failureResponse(exchange.failure))!;
  expect(fields.get("grpc-message")).toBe("no-endpoint");
  expect(fields.toString()).not.toContain("10.0.0.1");
});

test("what an origin server answered stays as it is", () => {
  const exchange = call();
  exchange.attempts = [{} as never];
  expect(grpcAnswer(exchange, new HttpResponse(503))).toBeNull();
  const own = new HttpResponse(404, FieldSection.of({ "grpc-status": "5" }));
  expect(grpcAnswer(call(), own)).toBeNull();
  expect(grpcAnswer(call(), new HttpResponse(204))).toBeNull();
});

const timeout = (value: string, type = "application/grpc") =>
  grpcTimeoutMs(FieldSection.of({ "content-type": type, "grpc-timeout": value }));

test.each([
  ["1S", 1000],
  ["64m", 64],
  ["101m", 101],
  ["1234567u", 1235],
  ["1n", 1],
  ["2M", 120_000],
])("grpc-timeout %s is %i ms, and at most a tenth more: the client knows first", (value, ms) => {
  expect(timeout(value)).toBeGreaterThanOrEqual(ms);
  expect(timeout(value)).toBeLessThanOrEqual(ms * 1.1);
});

test.each(["25H", "99999999H"])("a grpc-timeout of %s is none here", (value) => {
  expect(timeout(value)).toBe(Infinity);
});

test.each(["", "1", "S", "-1S", "1.5S", "123456789S", "1x"])("grpc-timeout %j says nothing", (value) => {
  expect(timeout(value)).toBe(Infinity);
});

test("what is not gRPC has no grpc-timeout", () => {
  expect(timeout("1S", "application/json")).toBe(Infinity);
});

test("clients can make few different limits", () => {
  const limits = new Set<number>();
  for (let ms = 1; ms <= 86_400_000; ms = Math.ceil(ms * 1.001)) if (ms < 1e8) limits.add(timeout(`${ms}m`));
  expect(limits.size).toBeLessThan(220);
});

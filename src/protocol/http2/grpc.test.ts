/** Calls of gRPC in the server engine: what a call's client gets when something goes wrong on the way. */
import { afterEach, describe, expect, test } from "bun:test";
import { Failure } from "../../base/failure.ts";
import { MemoryBody } from "../../http/body.ts";
import type { Handler } from "../../http/define.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { pass } from "../http1/testing.ts";
import { HandSink, HandSource } from "../http1/testing-bodies.ts";
import { FrameType } from "./frame.ts";
import type { Http2ServerSettings } from "./server-settings.ts";
import { TestClient } from "./testing.ts";

let clients: TestClient[] = [];

function client(handle: Handler, settings: Partial<Http2ServerSettings> = {}): TestClient {
  const made = new TestClient(handle, settings);
  clients.push(made);
  return made;
}

afterEach(() => {
  const all = clients;
  clients = [];
  for (const each of all) {
    if (each.closedCalls === 0) each.connection.lose();
    expect(each.finished).toHaveLength(each.exchanges.length);
    expect(each.faults).toEqual([]);
  }
});

const CALL = { ":path": "/pkg.Service/Method", "content-type": "application/grpc", te: "trailers" };
const messages = (source: HandSource) =>
  new HttpResponse(200, FieldSection.of({ "content-type": "application/grpc" }), source);

describe("an error of the gateway's own", () => {
  test("is a status without messages (Trailers-Only), one frame", () => {
    const peer = client(() => Promise.reject(new Failure("no-endpoint", "10.0.0.1 is down"))).post(1, CALL);
    expect(peer.stream(1)).toMatchObject({ content: "", ended: true });
    expect(peer.stream(1).heads).toEqual([
      expect.objectContaining({
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "14",
        "grpc-message": "no-endpoint",
        "proxy-status": "lintel; error=no-endpoint",
      }),
    ]);
    expect(peer.stream(1).heads[0]).not.toHaveProperty("content-length");
    expect(peer.framesOf(FrameType.data)).toEqual([]);
    expect(peer.exchanges[0]!.failure?.code).toBe("no-endpoint");
  });

  test("also where a middleware answered, and not where an origin server did", () => {
    const refusal = () =>
      new HttpResponse(403, FieldSection.of({ "content-type": "text/html" }), MemoryBody.text("no"));
    const peer = client((exchange) => {
      if (peer.exchanges.length === 2) exchange.attempts = [{} as never];
      return refusal();
    });
    peer.post(1, CALL).post(3, CALL);
    expect(peer.stream(1).heads[0]).toMatchObject({ ":status": "200", "grpc-status": "7" });
    expect(peer.stream(3)).toMatchObject({ content: "no", heads: [{ ":status": "403" }] });
  });

  test("within the messages is a status at their end, and the request is not wanted any more", () => {
    const source = new HandSource();
    const peer = client(() => messages(source)).post(1, CALL);
    source.write("message").abort(new Failure("upstream-truncated", "cut"));
    expect(peer.stream(1)).toMatchObject({ content: "message", ended: true, reset: 0 });
    expect(peer.stream(1).heads[1]).toEqual({ "grpc-status": "14", "grpc-message": "upstream-truncated" });
    expect(peer.exchanges[0]!.trailers?.get("grpc-status")).toBe("14");
  });

  test("is not said of other content: that is reset", () => {
    const source = new HandSource();
    const peer = client(() => new HttpResponse(200, undefined, source)).post(1, CALL);
    source.write("abc").abort(new Failure("upstream-truncated", "cut"));
    expect(peer.stream(1)).toMatchObject({ ended: false, reset: 2 });
  });

  test("is said when the server must stop in the middle of a call", () => {
    const source = new HandSource();
    const peer = client(() => messages(source)).post(1, CALL);
    source.write("message");
    peer.read().server.terminate(new Failure("shutting-down", "over"));
    expect(peer.stream(1).heads[1]).toEqual({ "grpc-status": "14", "grpc-message": "shutting-down" });
    expect(source.cancelled?.code).toBe("shutting-down");
  });
});

test("a call without messages ends with its head, as it came", () => {
  const fields = FieldSection.of({ "content-type": "application/grpc", "grpc-status": "5", "grpc-message": "none" });
  const peer = client(() => new HttpResponse(200, fields)).post(1, CALL);
  expect(peer.stream(1)).toMatchObject({ ended: true });
  expect(Object.keys(peer.stream(1).heads[0]!).sort()).toEqual([
    ":status",
    "content-type",
    "date",
    "grpc-message",
    "grpc-status",
  ]);
});

describe("time", () => {
  const sinking = (source: HandSource): Handler => {
    return ({ request }) => {
      request.body.sendTo(new HandSink());
      return messages(source);
    };
  };

  test("messages of a request may be small and rare: what the least rate is for, they are not", () => {
    const peer = client(
      ({ request }) => {
        request.body.sendTo(new HandSink());
        return new Promise(() => {});
      },
      { contentRate: 1000 },
    ).post(1, CALL);
    for (let turn = 0; turn < 20; turn++) {
      pass(2000);
      peer.data(1, "x");
    }
    expect(peer.stream(1)).toMatchObject({ heads: [], reset: null });
  });

  test("once there is a response, either side may be silent for timeouts.tunnelIdle", () => {
    const source = new HandSource();
    const peer = client(sinking(source)).post(1, CALL);
    pass(3_000_000);
    peer.data(1, "x");
    pass(3_000_000);
    source.write("y");
    pass(3_000_000);
    expect(peer.stream(1)).toMatchObject({ content: "y", ended: false, reset: null });
    pass(700_000);
    expect(peer.stream(1).heads[1]).toEqual({ "grpc-status": "14", "grpc-message": "tunnel-idle" });
  });

  test("when the request is complete, the response has the origin server's limits alone", () => {
    const source = new HandSource();
    const peer = client(sinking(source)).post(1, CALL).data(1, "x", true);
    pass(7_200_000);
    source.write("y");
    pass(7_200_000);
    source.end(FieldSection.of({ "grpc-status": "0" }));
    expect(peer.stream(1)).toMatchObject({ content: "y", ended: true, reset: null });
    expect(peer.stream(1).heads[1]).toEqual({ "grpc-status": "0" });
  });

  test("before that, request content has the route's own idle limit if there is one", () => {
    const peer = client((exchange) => {
      exchange.timeouts = { contentIdleMs: 100_000 };
      exchange.request.body.sendTo(new HandSink());
      return new Promise((_, reject) => exchange.onAbort(() => reject(exchange.failure)));
    }).post(1, CALL);
    pass(99_000);
    expect(peer.stream(1).heads).toEqual([]);
    pass(1001);
    expect(peer.stream(1).heads[0]).toMatchObject({
      ":status": "200",
      "grpc-status": "4",
      "grpc-message": "content-timeout",
    });
  });
});

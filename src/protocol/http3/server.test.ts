import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Failure } from "../../base/failure.ts";
import { clock, tickTimers } from "../../base/timer.ts";
import { DeclaredLength, MemoryBody, NO_BODY } from "../../http/body.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { H3Error } from "../../net/quic-runtime.ts";
import { queuedOctets } from "../../net/send-queue.ts";
import { HandSink, HandSource } from "../http1/testing-bodies.ts";
import { HoldBudget } from "./held-octets.ts";
import { type FakeStream, filesHeld, REQUEST, TestSession } from "./testing.ts";

let now = 0;
beforeEach(() => {
  now = clock.now;
});
afterEach(() => {
  tickTimers(now + 10 * 3_600_000);
  clock.now = now;
});
const later = (ms: number) => tickTimers(clock.now + ms);
const text = (content: string, fields: Record<string, string | string[]> = {}) =>
  new HttpResponse(200, FieldSection.of(fields), MemoryBody.text(content));

describe("a request", () => {
  test("is an exchange with the client's target and HTTP/3 as its protocol", () => {
    const at = new TestSession();
    const stream = at.get({ "user-agent": "test", cookie: ["a=1", "b=2"] });
    const { request, protocol, host } = at.exchange;
    expect([protocol, host, request.method, request.scheme, request.authority, request.target]).toEqual([
      "HTTP/3",
      "shop.example",
      "GET",
      "https",
      "shop.example",
      "/x?y=1",
    ]);
    expect(request.body).toBe(NO_BODY);
    expect(request.fields.get("host")).toBe("shop.example");
    expect(request.fields.get("cookie")).toBe("a=1; b=2");
    expect(stream.status).toBe("204");
    expect(at.hooks.finished).toEqual([at.exchange]);
    expect(at.exchange.phase).toBe("done");
  });

  test.each([
    ["no :method", { ":method": undefined }],
    ["no :scheme", { ":scheme": undefined }],
    ["no :path", { ":path": undefined }],
    ["an empty :path", { ":path": "" }],
    ["a :path that does not begin with a slash", { ":path": "x" }],
    ["a space in :path", { ":path": "/a b" }],
    ["a control octet in :path", { ":path": "/a\x01" }],
    ["a line break in :path", { ":path": "/a HTTP/1.1\r\nx: y" }],
    ["a :method that is no token", { ":method": "GE T" }],
    ["two :methods", { ":method": ["GET", "POST"] }],
    ["two :paths", { ":path": ["/a", "/b"] }],
    ["another :scheme", { ":scheme": "ftp" }],
    ["an unknown pseudo-field", { ":x": "1" }],
    [":status", { ":status": "200" }],
    [":protocol without CONNECT", { ":protocol": "websocket" }],
    ["neither :authority nor Host", { ":authority": undefined }],
    ["another Host than :authority", { host: "other.example" }],
    ["two Hosts", { host: ["shop.example", "shop.example"] }],
    ["a user in :authority", { ":authority": "user@shop.example" }],
    ["CR LF in a value", { "x-a": "a\r\nb: c" }],
    ["LF in a value", { "x-a": "a\nb" }],
    ["NUL in a value", { "x-a": "a\0" }],
    ["a character that is no octet", { "x-a": "\u4e2d" }],
    ["white space around a value", { "x-a": " a" }],
    ["a name with capital letters", { "X-A": "a" }],
    ["a name that is no token", { "x a": "a" }],
    ["an empty name", { "": "a" }],
    ["Connection", { connection: "close" }],
    ["Transfer-Encoding", { "transfer-encoding": "chunked" }],
    ["Upgrade", { upgrade: "websocket" }],
    ["Keep-Alive", { "keep-alive": "5" }],
    ["Proxy-Connection", { "proxy-connection": "close" }],
    ["another TE than trailers", { te: "gzip" }],
    ["two Content-Lengths", { "content-length": ["1", "1"] }],
    ["a Content-Length that is no number", { "content-length": "+1" }],
  ])("with %s is malformed: its stream is reset with H3_MESSAGE_ERROR (RFC 9114 §4.1.2)", (_, fields) => {
    const at = new TestSession();
    const stream = at.get(fields);
    expect([stream.reset, at.hooks.exchanges.length]).toEqual([H3Error.message, 0]);
    expect(at.hooks.malformedHeads.map(({ code }) => code)).toEqual(["request-malformed"]);
  });

  test.each([
    ["414", { ":path": `/${"a".repeat(10_000)}` }],
    ["431", { "x-a": "a".repeat(10_000) }],
    ["431", Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x-${i}`, "a".repeat(1000)]))],
    ["431", Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`x-${i}`, "a"]))],
    // Crumbs become one line, but the runtime counts each, and leaves those out that are too many.
    ["431", { cookie: Array.from({ length: 500 }, (_, i) => `a${i}=1`) }],
    ["417", { expect: "the impossible" }],
    ["400", { ":path": "/../x" }],
  ])("is answered %s when it is understood and not accepted", (status, fields) => {
    const at = new TestSession();
    const stream = at.get(fields);
    expect([stream.status, stream.isComplete, at.hooks.exchanges.length]).toEqual([status, true, 0]);
    expect(at.hooks.malformedHeads).toHaveLength(1);
  });

  test("has numbers for names, and :method behind them in the runtime's object", () => {
    const at = new TestSession();
    at.get({ 10: "ten", 2: "two" });
    expect([at.exchange.request.fields.get("10"), at.exchange.request.fields.get("2")]).toEqual(["ten", "two"]);
  });

  test.each([
    ["GET", "204", "1"],
    ["HEAD", "204", "1"],
    ["POST", "425", undefined],
    ["DELETE", "425", undefined],
  ])("%s in early data is answered %s; origin servers are told (RFC 8470 §5)", (method, status, told) => {
    const at = new TestSession();
    const stream = at.open();
    stream.isEarly = true;
    stream.taker.onHead({ ...REQUEST, ":method": method });
    stream.taker.onEnd(null);
    expect(stream.status).toBe(status);
    expect(at.hooks.exchanges[0]?.request.fields.get("early-data")).toBe(told!);
  });

  test("that never gets a head is given up after timeouts.head", () => {
    const at = new TestSession();
    const stream = at.open();
    later(30_001);
    expect([stream.reset, at.hooks.malformedHeads[0]?.code]).toEqual([H3Error.requestIncomplete, "head-timeout"]);
  });
});

describe("request content", () => {
  test("goes to its taker with its trailers, without those that must not come after it", () => {
    const at = new TestSession(() => new Promise(() => {}));
    const stream = at.post({ "content-length": "10" });
    const { body } = at.exchange.request;
    expect(body.length).toBe(10);
    const sink = new HandSink();
    body.sendTo(sink);
    stream.send("hello").send("world");
    stream.taker.onEnd({ "x-sum": "1", host: "evil.example" });
    expect([sink.text, sink.ended, sink.trailers]).toEqual(["helloworld", "end", "x-sum: 1\r\n"]);
    expect(at.exchange.requestOctets).toBe(10);
  });

  test("that comes before there is a taker, and while it is full, is held in order: in memory, then in a file", () => {
    const held = new HoldBudget(10_000_000);
    const at = new TestSession(() => new Promise(() => {}), { held });
    const stream = at.post();
    const sent: Buffer[] = [];
    for (let i = 0; i < 50; i++) {
      const piece = Buffer.alloc(16_384, 0x61 + (i % 26));
      sent.push(piece);
      stream.send(piece);
    }
    expect(held.octets).toBe(50 * 16_384 - 256 * 1024);
    const sink = new HandSink();
    let pieces = 0;
    sink.onWrite = ({ flow }) => {
      if (++pieces % 3 === 0) flow.pause();
    };
    at.exchange.request.body.sendTo(sink);
    stream.send("last");
    stream.taker.onEnd(null);
    while (sink.ended === "") sink.flow.resume();
    expect(sink.text === Buffer.concat([...sent, Buffer.from("last")]).toString("latin1")).toBe(true);
    expect(held.octets).toBe(0);
  });

  test("for which there is no room any more is refused with 503, and what was held is given back", () => {
    const held = new HoldBudget(100_000);
    const at = new TestSession(() => new Promise(() => {}), { held });
    const stream = at.post();
    for (let i = 0; i < 40; i++) stream.send(Buffer.alloc(16_384));
    expect([stream.status, stream.stopped]).toEqual(["503", H3Error.none]);
    expect([at.exchange.failure?.code, held.octets]).toEqual(["content-not-held", 0]);
  });

  /** More than what is held in memory. */
  const spill = (stream: FakeStream): void => {
    for (let i = 0; i < 40; i++) stream.send(Buffer.alloc(16_384));
  };

  test("that was held in a file, and then flowed, leaves no file behind", () => {
    const at = new TestSession(() => new Promise(() => {}));
    const stream = at.post();
    spill(stream);
    expect(filesHeld()).toBe(1);
    const sink = new HandSink();
    at.exchange.request.body.sendTo(sink);
    stream.send("live").taker.onEnd(null);
    expect([sink.text.length, sink.ended, filesHeld()]).toEqual([40 * 16_384 + 4, "end", 0]);
  });

  test.each([
    ["nobody takes", false],
    ["its taker is too full for", true],
  ])("that is complete, and %s before the response is over, is dropped", async (_, isTaken) => {
    const before = queuedOctets();
    const held = new HoldBudget(10_000_000);
    const answer = Promise.withResolvers<HttpResponse>();
    const at = new TestSession(() => answer.promise, { held });
    const stream = at.post();
    const sink = new HandSink();
    if (isTaken) {
      at.exchange.request.body.sendTo(sink);
      sink.flow.pause();
    }
    spill(stream);
    stream.taker.onEnd(null);
    expect([filesHeld(), held.octets > 0, queuedOctets() > before]).toEqual([1, true, true]);
    answer.resolve(text("too large"));
    await answer.promise;
    expect([stream.content, stream.isComplete, stream.stopped]).toEqual(["too large", true, null]);
    expect([filesHeld(), held.octets, queuedOctets() - before]).toEqual([0, 0, 0]);
    expect(sink.ended).toBe(isTaken ? "client-closed" : "");
    expect(at.hooks.finished).toHaveLength(1);
  });

  test("that stops coming is answered 408 after timeouts.contentIdle", () => {
    const at = new TestSession(() => new Promise(() => {}));
    const stream = at.post();
    at.exchange.request.body.sendTo(new HandSink());
    later(31_001);
    expect([stream.status, at.exchange.failure?.code]).toEqual(["408", "content-timeout"]);
  });

  test("with Expect: 100-continue is asked for by us if nobody else does (RFC 9110 §10.1.1)", () => {
    const at = new TestSession(() => new Promise(() => {}));
    const stream = at.post({ expect: "100-continue" });
    at.exchange.request.body.sendTo(new HandSink());
    expect(stream.heads).toEqual([]);
    later(1001);
    expect(stream.heads.map((fields) => fields[":status"])).toEqual(["100"]);
  });

  test("that its response does not wait for is stopped with H3_NO_ERROR (RFC 9114 §4.1)", () => {
    const at = new TestSession(() => text("done"));
    const stream = at.post();
    expect([stream.content, stream.isComplete, stream.stopped]).toEqual(["done", true, H3Error.none]);
    expect(at.hooks.finished).toHaveLength(1);
  });

  test.each([
    ["CR LF in a value", { "x-a": "a\r\nb" }],
    ["a pseudo-field", { ":path": "/" }],
  ])("with trailers that have %s is cut", (_, trailers) => {
    const at = new TestSession(() => new Promise(() => {}));
    const stream = at.post();
    const sink = new HandSink();
    at.exchange.request.body.sendTo(sink);
    stream.send("a").taker.onEnd(trailers);
    expect([stream.reset, sink.ended]).toEqual([H3Error.message, "request-malformed"]);
  });
});

describe("a response", () => {
  test("has its fields in lower case, a Date, a length of our own, and nothing about connections (RFC 9114 §4.2)", () => {
    const fields = {
      "Content-Type": "text/plain",
      Connection: "close",
      "Keep-Alive": "5",
      "Set-Cookie": ["a=1", "b=2"],
    };
    const at = new TestSession(() => text("hello", { ...fields, "Content-Length": "99", "Transfer-Encoding": "x" }));
    const stream = at.get();
    const { date, ...rest } = stream.fields;
    expect(date).toBeString();
    expect({ ...rest }).toEqual({
      ":status": "200",
      "content-type": "text/plain",
      "content-length": "5",
      "set-cookie": ["a=1", "b=2"],
    });
    expect([stream.content, stream.isComplete]).toEqual(["hello", true]);
  });

  test("says what the listener tells everybody, unless it has an Alt-Svc of its own", () => {
    const listenerFields = FieldSection.of({ "alt-svc": 'h3=":443"; ma=60' }).seal();
    const at = new TestSession(({ path }) => text("", path === "/own" ? { "alt-svc": "clear" } : {}), {
      listenerFields,
    });
    expect(at.get().fields["alt-svc"]).toBe('h3=":443"; ma=60');
    expect(at.get({ ":path": "/own" }).fields["alt-svc"]).toBe("clear");
  });

  test("with a name twice that the runtime takes once has it in one line", () => {
    const at = new TestSession(() => text("", { vary: ["a", "b"], "set-cookie": ["a=1", "b=2"] }));
    const stream = at.open();
    stream.single.add("vary");
    stream.taker.onHead(REQUEST);
    stream.taker.onEnd(null);
    expect([stream.fields["vary"], stream.fields["set-cookie"]]).toEqual(["a, b", ["a=1", "b=2"]]);
  });

  test.each([
    ["HEAD", 200, "1000"],
    ["GET", 304, "1000"],
    ["GET", 204, undefined],
  ])("to %s with status %i ends with its head", (method, status, length) => {
    const at = new TestSession(() => new HttpResponse(status, new FieldSection(), new DeclaredLength(1000)));
    const stream = at.get({ ":method": method });
    expect([stream.isComplete, stream.content, stream.fields["content-length"]]).toEqual([true, "", length!]);
  });

  test("has interim responses before it, and none that would open a tunnel (RFC 9114 §4.5)", () => {
    const at = new TestSession((exchange) => {
      exchange.inform(103, FieldSection.of({ link: "</s.css>" }));
      exchange.inform(101, new FieldSection());
      return text("x");
    });
    const stream = at.get();
    expect(stream.heads.map((fields) => fields[":status"])).toEqual(["103", "200"]);
  });

  test("has its trailers at the end", () => {
    const source = new HandSource();
    const at = new TestSession(() => new HttpResponse(200, new FieldSection(), source));
    const stream = at.get();
    source.write("a").end(FieldSection.of({ "grpc-status": "0" }));
    expect([stream.content, stream.isComplete, { ...stream.trailers }]).toEqual(["a", true, { "grpc-status": "0" }]);
    expect(at.exchange.trailers?.get("grpc-status")).toBe("0");
  });

  test("to a call of gRPC is a status instead of an error page", () => {
    const at = new TestSession(() => {
      throw new Failure("no-endpoint", "all down");
    });
    const stream = at.get({ ":method": "POST", "content-type": "application/grpc" });
    expect([stream.status, stream.fields["grpc-status"], stream.content, stream.isComplete]).toEqual([
      "200",
      "14",
      "",
      true,
    ]);
    expect(stream.fields["content-length"]).toBeUndefined();
  });

  test("to a client that takes nothing pauses its source, and no more than one piece is kept", () => {
    const source = new HandSource();
    const at = new TestSession(() => new HttpResponse(200, new FieldSection(), source));
    const stream = at.get();
    stream.room = 4;
    source.write("abcd");
    expect([source.paused, stream.isAwaited]).toEqual([true, true]);
    // What was read already still comes.
    source.write("efgh");
    source.end();
    expect([stream.content, stream.isComplete]).toEqual(["abcd", false]);
    stream.take(100);
    expect([stream.content, stream.isComplete]).toEqual(["abcdefgh", true]);
    expect(at.hooks.finished).toHaveLength(1);
  });

  test("goes on when the client takes more", () => {
    const source = new HandSource();
    const at = new TestSession(() => new HttpResponse(200, new FieldSection(), source));
    const stream = at.get();
    stream.room = 1;
    source.write("abcd");
    stream.take(100);
    expect([source.paused, stream.isAwaited]).toEqual([false, false]);
    source.write("efgh").end();
    expect([stream.content, stream.isComplete]).toEqual(["abcdefgh", true]);
  });

  test("that the client does not take for timeouts.send is cut", () => {
    const source = new HandSource();
    const at = new TestSession(() => new HttpResponse(200, new FieldSection(), source));
    const stream = at.get();
    stream.room = 1;
    source.write("abcd");
    later(60_001);
    expect([stream.reset, at.exchange.failure?.code, source.cancelled?.code]).toEqual([
      H3Error.requestCancelled,
      "client-stalled",
      "client-stalled",
    ]);
  });

  test("that is cut looks incomplete: its stream is reset with H3_INTERNAL_ERROR", () => {
    const source = new HandSource(10);
    const at = new TestSession(() => new HttpResponse(200, new FieldSection(), source));
    const stream = at.get();
    source.write("abc");
    source.abort(new Failure("upstream-truncated", "cut"));
    expect([stream.isComplete, stream.reset, at.exchange.failure?.code]).toEqual([
      false,
      H3Error.internal,
      "upstream-truncated",
    ]);
  });

  test.each([
    ["shorter", (source: HandSource) => source.write("abc").end()],
    ["longer", (source: HandSource) => source.write("abcdefghijk")],
  ])("with content %s than its length is cut, since it would end the session (RFC 9114 §4.1.2)", (_, send) => {
    const source = new HandSource(10);
    const at = new TestSession(() => new HttpResponse(200, new FieldSection(), source));
    const stream = at.get();
    send(source);
    expect([stream.isComplete, stream.reset]).toEqual([false, H3Error.internal]);
  });

  test("of a handler that fails is the answer to its failure", () => {
    const at = new TestSession(() => {
      throw new Failure("no-route", "nothing here");
    });
    expect(at.get().status).toBe("404");
    expect(at.hooks.finished[0]?.failure?.code).toBe("no-route");
  });

  test("of a handler with a fault is 500, and the fault is told", () => {
    const at = new TestSession(() => {
      throw new Error("a bug");
    });
    expect(at.get().status).toBe("500");
    expect(at.hooks.faults).toHaveLength(1);
  });
});

describe("a tunnel", () => {
  const CONNECT = { ":method": "CONNECT", ":protocol": "websocket" };

  test("is a GET with Upgrade inside, and 200 outside (RFC 9220)", async () => {
    const { createHash } = await import("node:crypto");
    const source = new HandSource();
    const sink = new HandSink();
    const at = new TestSession(({ request }) => {
      const key = request.fields.get("sec-websocket-key")!;
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      const response = new HttpResponse(101, FieldSection.of({ "sec-websocket-accept": accept }), source);
      response.tunnel = { accept: (fromClient) => fromClient.sendTo(sink) };
      return response;
    });
    const stream = at.post({ ...CONNECT });
    expect([at.exchange.request.method, at.exchange.request.upgrade]).toEqual(["GET", "websocket"]);
    expect([stream.status, stream.fields["sec-websocket-accept"], stream.isComplete]).toEqual([
      "200",
      undefined,
      false,
    ]);
    source.write("from the origin");
    stream.send("from the client").taker.onEnd(null);
    source.end();
    expect([stream.content, sink.text, sink.ended, stream.isComplete]).toEqual([
      "from the origin",
      "from the client",
      "end",
      true,
    ]);
    expect(at.hooks.finished).toHaveLength(1);
  });

  test("brings what the client said last to its other end after both halves have ended", () => {
    const source = new HandSource();
    const sink = new HandSink();
    const at = new TestSession(() => {
      const response = new HttpResponse(200, new FieldSection(), source);
      response.tunnel = { accept: (fromClient) => fromClient.sendTo(sink) };
      return response;
    });
    const stream = at.post({ ":method": "CONNECT", ":protocol": "x" });
    sink.flow.pause();
    stream.send("the rest").taker.onEnd(null);
    source.end();
    expect([stream.isComplete, at.hooks.finished.length]).toEqual([true, 1]);
    sink.flow.resume();
    expect([sink.text, sink.ended]).toEqual(["the rest", "end"]);
  });

  test("that is refused has the answer as any other request", () => {
    const at = new TestSession(() => new HttpResponse(403));
    expect(at.post({ ...CONNECT }).status).toBe("403");
  });

  test("is not opened by a 200 (RFC 9220 §3)", () => {
    const at = new TestSession(() => text("hello"));
    expect(at.post({ ...CONNECT }).status).toBe("502");
  });
});

describe("the end", () => {
  test("of a stream by the client aborts its exchange", () => {
    const at = new TestSession(() => new Promise(() => {}));
    const stream = at.post();
    const sink = new HandSink();
    at.exchange.request.body.sendTo(sink);
    let aborted = false;
    at.exchange.onAbort(() => {
      aborted = true;
    });
    stream.taker.onClosed("reset");
    expect([aborted, sink.ended, at.hooks.finished[0]?.failure?.code]).toEqual([
      true,
      "client-closed",
      "client-closed",
    ]);
  });

  test("of a stream by the client cancels the content of its response", () => {
    const source = new HandSource();
    const at = new TestSession(() => new HttpResponse(200, new FieldSection(), source));
    at.get().taker.onClosed("stopped");
    expect([source.cancelled?.code, at.hooks.finished.length]).toEqual(["client-closed", 1]);
  });

  test("of a response that comes too late is not noticed", async () => {
    const late = Promise.withResolvers<HttpResponse>();
    const at = new TestSession(() => late.promise);
    const stream = at.get();
    stream.taker.onClosed("gone");
    const source = new HandSource();
    late.resolve(new HttpResponse(200, new FieldSection(), source));
    await late.promise;
    await Promise.resolve();
    expect([stream.heads, source.cancelled?.code]).toEqual([[], "client-closed"]);
  });

  test("of a session ends all that is in it", () => {
    const at = new TestSession(() => new Promise(() => {}));
    at.get();
    at.post();
    at.server.onSessionClosed("idle");
    expect(at.hooks.finished.map(({ failure }) => failure?.code)).toEqual(["client-closed", "client-closed"]);
    expect(at.hooks.isClosed).toBe(true);
  });

  test("of a session that rests for timeouts.keepAlive is told first (RFC 9114 §5.2)", () => {
    const at = new TestSession();
    at.get();
    later(75_001);
    expect([at.session.hasSaidGoodbye, at.session.ended]).toEqual([true, null]);
    later(501);
    expect([at.session.ended, at.hooks.isClosed]).toEqual([H3Error.none, true]);
  });

  test("by a drain waits for what is in work", () => {
    const source = new HandSource();
    const at = new TestSession(() => new HttpResponse(200, new FieldSection(), source));
    const stream = at.get();
    at.server.drain();
    later(10_000);
    expect([at.session.hasSaidGoodbye, at.session.ended]).toEqual([true, null]);
    source.write("x").end();
    later(501);
    expect([stream.content, at.session.ended]).toEqual(["x", H3Error.none]);
  });

  test("by force answers who has no response yet with 503 and cuts the others", () => {
    const source = new HandSource();
    const at = new TestSession(({ path }) =>
      path === "/answering" ? new HttpResponse(200, new FieldSection(), source) : new Promise(() => {}),
    );
    const waiting = at.get();
    const answering = at.get({ ":path": "/answering" });
    at.server.terminate(new Failure("shutting-down", "now"));
    expect([waiting.status, answering.reset, source.cancelled?.code]).toEqual([
      "503",
      H3Error.requestCancelled,
      "shutting-down",
    ]);
    later(501);
    expect(at.session.ended).toBe(H3Error.none);
  });

  test("comes to who cancels one request after the other (CVE-2023-44487)", () => {
    const at = new TestSession(() => new Promise(() => {}));
    for (let i = 0; i < 250; i++) at.get().taker.onClosed("cancelled");
    expect([at.session.ended, at.hooks.malformedHeads.at(-1)?.code]).toEqual([H3Error.excessiveLoad, "flooding"]);
    expect(at.hooks.isClosed).toBe(true);
  });
});

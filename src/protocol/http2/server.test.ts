import { afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { Failure } from "../../base/failure.ts";
import { timerList } from "../../base/timer.ts";
import { DeclaredLength, MemoryBody, NO_BODY } from "../../http/body.ts";
import type { Handler } from "../../http/define.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { queuedOctets } from "../../net/send-queue.ts";
import { pass } from "../http1/testing.ts";
import { HandSink, HandSource } from "../http1/testing-bodies.ts";
import { FrameType, Setting } from "./frame.ts";
import type { Http2ServerSettings } from "./server-settings.ts";
import { SETTINGS, TestClient, word } from "./testing.ts";

let clients: TestClient[] = [];

/** A client that is checked at the end: nothing of it is left. */
function client(handle: Handler, settings: Partial<Http2ServerSettings> = {}, greeted = true): TestClient {
  const made = new TestClient(handle, settings, greeted);
  clients.push(made);
  return made;
}

afterEach(() => {
  const all = clients;
  clients = [];
  for (const each of all) {
    if (each.closedCalls === 0) each.connection.lose();
    expect(each.closedCalls).toBe(1);
    expect(each.finished).toHaveLength(each.exchanges.length);
    expect(each.server.idle).toBe(true);
    expect(each.faults).toEqual([]);
  }
});

const text = (content: string, status = 200): HttpResponse =>
  new HttpResponse(status, FieldSection.of({ server: "x" }), MemoryBody.text(content));
const hello: Handler = () => text("hello");

/** A handler whose answers the test gives. */
class Answers {
  readonly #settle: ((response: HttpResponse) => void)[] = [];
  readonly handle: Handler = () => new Promise((resolve) => this.#settle.push(resolve));

  give(response: HttpResponse): void {
    this.#settle.shift()!(response);
  }
}

describe("responses", () => {
  test("content of known length: one head, one frame, which is the end", () => {
    const peer = client(hello).get(1);
    expect(peer.stream(1)).toMatchObject({ content: "hello", ended: true, reset: null });
    expect(peer.stream(1).heads[0]).toMatchObject({ ":status": "200", server: "x", "content-length": "5" });
    expect(peer.framesOf(FrameType.data)).toHaveLength(1);
    expect(peer.exchanges[0]).toMatchObject({ protocol: "HTTP/2", phase: "done", responseOctets: 5, host: "a.test" });
  });

  test.each([
    ["204", () => new HttpResponse(204), undefined],
    ["304 with the length that 200 would have", () => new HttpResponse(304, undefined, new DeclaredLength(7)), "7"],
    ["no content", () => new HttpResponse(200, undefined, NO_BODY), "0"],
  ])("%s ends with its head", (_, answer, length) => {
    const peer = client(answer).get(1);
    expect(peer.stream(1)).toMatchObject({ content: "", ended: true });
    expect(peer.stream(1).heads[0]!["content-length"]).toBe(length as string);
    expect(peer.framesOf(FrameType.data)).toHaveLength(0);
  });

  test("HEAD gets the head alone (RFC 9110 §9.3.2)", () => {
    const peer = client(hello).get(1, { ":method": "HEAD" });
    expect(peer.stream(1)).toMatchObject({ content: "", ended: true, heads: [{ "content-length": "5" }] });
  });

  test("content of unknown length, with trailers", () => {
    const source = new HandSource();
    const peer = client(() => new HttpResponse(200, undefined, source)).get(1);
    source.write("ab");
    expect(peer.stream(1)).toMatchObject({ content: "ab", ended: false });
    source.write("cd").end(FieldSection.of({ "x-sum": "1", "transfer-encoding": "chunked" }));
    expect(peer.stream(1)).toMatchObject({ content: "abcd", ended: true });
    expect(peer.stream(1).heads[1]).toEqual({ "x-sum": "1" });
  });

  test("the end that comes with the last octets costs no frame of its own, one that comes later does", () => {
    const sources = [new HandSource(), new HandSource()];
    const peer = client(() => new HttpResponse(200, undefined, sources[peer.exchanges.length - 1]!));
    peer.get(1).get(3);
    sources[0]!.write("ab").end();
    sources[1]!.write("ab");
    peer.read();
    sources[1]!.end();
    peer.read();
    expect([peer.stream(1).ended, peer.stream(3).ended]).toEqual([true, true]);
    const frames = peer.framesOf(FrameType.data).map(({ streamId, payload }) => [streamId, payload.length]);
    expect(frames).toEqual([
      [1, 2],
      [3, 2],
      [3, 0],
    ]);
  });

  test("what is cut is reset, and never looks complete", () => {
    const source = new HandSource();
    const peer = client(() => new HttpResponse(200, undefined, source)).get(1);
    source.write("ab").abort(new Failure("upstream-truncated", "cut"));
    expect(peer.stream(1)).toMatchObject({ content: "ab", ended: false, reset: 2 });
    expect(peer.exchanges[0]!.failure?.code).toBe("upstream-truncated");
  });

  test.each([
    ["more", "abcdef"],
    ["less", "abc"],
  ])("%s content than declared is reset", (_, content) => {
    const source = new HandSource(4);
    const peer = client(() => new HttpResponse(200, undefined, source)).get(1);
    source.write(content);
    if (source.cancelled === null) source.end();
    expect(peer.stream(1)).toMatchObject({ ended: false, reset: 2 });
  });

  test("fields of an HTTP/1 connection are not sent (RFC 9113 §8.2.2)", () => {
    const fields = FieldSection.of({
      Connection: "close",
      "Keep-Alive": "timeout=5",
      "Transfer-Encoding": "chunked",
      Upgrade: "h2c",
      "Proxy-Connection": "close",
      "Content-Length": "99",
      "X-Kept": "yes",
    });
    const head = client(() => new HttpResponse(200, fields, MemoryBody.text("hi")))
      .get(1)
      .stream(1).heads[0]!;
    expect(Object.keys(head).sort()).toEqual([":status", "content-length", "date", "x-kept"]);
    expect(head["content-length"]).toBe("2");
  });

  test("interim responses come before the final one", () => {
    const peer = client((exchange) => {
      exchange.inform(103, FieldSection.of({ link: "</a>" }));
      return text("hello");
    }).get(1);
    expect(peer.stream(1).heads.map((head) => head[":status"])).toEqual(["103", "200"]);
  });

  test("a head larger than a frame is continued", () => {
    const fields = FieldSection.of({ a: "x".repeat(20_000), b: "y".repeat(20_000) });
    const peer = client(() => new HttpResponse(200, fields)).get(1);
    peer.connection.handler.onRoom();
    expect(() => peer.read()).toThrow("a head in several frames");
    expect(peer.frames.at(-1)).toMatchObject({ type: FrameType.headers, streamId: 1 });
  });

  test("a handler that fails answers with what failed", () => {
    const peer = client(() => {
      throw new Failure("no-route", "nothing there");
    }).get(1);
    expect(peer.status(1)).toBe(404);
  });
});

describe("requests", () => {
  test("cookie crumbs become one field (RFC 9113 §8.2.3)", () => {
    const peer = client(hello);
    peer.send(
      peer.frame(
        FrameType.headers,
        5,
        1,
        peer.block([
          [":method", "GET"],
          [":scheme", "http"],
          [":authority", "A.Test:8080"],
          [":path", "/x?y"],
          ["cookie", "a=1"],
          ["x-between", "1"],
          ["cookie", "b=2"],
        ]),
      ),
    );
    const { request } = peer.exchanges[0]!;
    expect(request).toMatchObject({ authority: "a.test:8080", target: "/x?y", method: "GET" });
    expect([...request.fields]).toEqual([
      ["x-between", "1"],
      ["host", "a.test:8080"],
      ["cookie", "a=1; b=2"],
    ]);
  });

  test("content goes to its taker as it comes", () => {
    const sink = new HandSink();
    const answers = new Answers();
    const peer = client((exchange) => {
      exchange.request.body.sendTo(sink);
      return answers.handle(exchange);
    });
    peer.post(1, { "content-length": "6" }).data(1, "abc");
    expect(sink.text).toBe("abc");
    peer.data(1, "def", true);
    expect(sink).toMatchObject({ text: "abcdef", ended: "end" });
    answers.give(text("ok"));
    expect(peer.stream(1)).toMatchObject({ content: "ok", ended: true, reset: null });
    expect(peer.exchanges[0]!.requestOctets).toBe(6);
  });

  test("a response before the request is complete ends it without an error (RFC 9113 §8.1)", () => {
    const peer = client(hello).post(1).data(1, "abc");
    expect(peer.stream(1)).toMatchObject({ content: "hello", ended: true, reset: 0 });
    // What was on its way is ignored.
    peer.data(1, "def").data(1, "", true);
    expect(peer.goneWith).toBeNull();
  });

  test("a path that origin servers would read in two ways is answered 400", () => {
    const peer = client(hello).get(1, { ":path": "/a/..;/b" });
    expect(peer.status(1)).toBe(400);
    expect(peer.exchanges).toHaveLength(0);
  });

  test.each([
    [431, "fields-too-large", { "x-large": "x".repeat(9000) }],
    [414, "request-line-too-long", { ":path": `/${"x".repeat(9000)}` }],
    [417, "expectation-failed", { expect: "more" }],
  ])("a head is answered %i (%s), and the connection goes on", (status, code, fields) => {
    const peer = client(hello).get(1, fields as Record<string, string>);
    expect(peer.status(1)).toBe(status);
    expect(peer.refused[0]!.code).toBe(code as "internal");
    expect(peer.get(3).status(3)).toBe(200);
  });
});

describe("flow control", () => {
  const large =
    (octets: number): Handler =>
    () =>
      new HttpResponse(200, undefined, new MemoryBody(Buffer.alloc(octets, "x")));

  test("content waits for the stream's window and for the connection's (RFC 9113 §6.9)", () => {
    const peer = client(large(200_000)).get(1);
    expect(peer.stream(1).content).toHaveLength(65_535);
    peer.window(1, 100_000);
    expect(peer.stream(1).content).toHaveLength(65_535);
    peer.window(0, 1000);
    expect(peer.stream(1).content).toHaveLength(66_535);
    peer.window(0, 1_000_000);
    expect(peer.stream(1).content).toHaveLength(165_535);
    peer.window(1, 1_000_000);
    expect(peer.stream(1)).toMatchObject({ ended: true });
    expect(peer.stream(1).content).toHaveLength(200_000);
  });

  test("streams take turns in the connection's window", () => {
    const peer = client(large(60_000)).settings(Setting.initialWindowSize, 1_000_000);
    peer.get(1).get(3).get(5);
    peer.read();
    const before = peer.frames.length;
    peer.window(0, 16_384 * 4).read();
    const turns = peer.frames.slice(before).filter(({ type }) => type === FrameType.data);
    expect(new Set(turns.slice(0, 2).map(({ streamId }) => streamId)).size).toBe(2);
  });

  test("an upload that the window holds up is given a larger one; one that nobody takes is not", () => {
    const sinks = [new HandSink(), new HandSink()];
    const settings = { streamWindowOctets: 1 << 20, connectionWindowOctets: 1 << 22 };
    const peer = client(({ request }) => {
      request.body.sendTo(sinks[peer.exchanges.length - 1]!);
      return new Promise(() => {});
    }, settings);
    const given = (id: number) =>
      peer
        .framesOf(FrameType.windowUpdate)
        .filter(({ streamId }) => streamId === id)
        .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
    peer.post(1).post(3);
    sinks[1]!.flow.pause();
    for (const id of [1, 3]) for (let sent = 0; sent < 8; sent++) peer.data(id, "x".repeat(16_384));
    expect([given(1), given(3)]).toEqual([(128 + 256) * 1024, 0]);
  });

  describe("priorities (RFC 9218)", () => {
    /** Streams whose frames come as the connection's window grows, after another has used it up. @returns their numbers */
    function order(peer: TestClient, frames: number): number[] {
      const before = peer.read().frames.length;
      peer.window(0, 16_384 * frames).read();
      return peer.frames
        .slice(before)
        .filter(({ type }) => type === FrameType.data)
        .map(({ streamId }) => streamId);
    }
    const update = (peer: TestClient, id: number, value: string) =>
      peer.send(peer.frame(FrameType.priorityUpdate, 0, 0, Buffer.concat([word(id), Buffer.from(value)])));
    /** A client whose connection's window is used up. */
    function waiting(handle: Handler = large(16_384 * 2)): TestClient {
      const peer = client((exchange) => (exchange.path === "/first" ? large(65_535)(exchange) : handle(exchange)));
      return peer.settings(Setting.initialWindowSize, 1_000_000).get(1, { ":path": "/first" });
    }

    test("of requests: the more urgent responses come first, and others in their order", () => {
      const peer = waiting().get(3, { priority: "u=5" }).get(5, { priority: "u=1" }).get(7, { priority: "u=1" });
      expect(order(peer, 6)).toEqual([5, 5, 7, 7, 3, 3]);
    });

    test("that are incremental take turns", () => {
      const peer = waiting().get(3, { priority: "u=1, i" }).get(5, { priority: "u=1, i" });
      expect(order(peer, 4)).toEqual([3, 5, 3, 5]);
    });

    test("of the origin server go over the client's", () => {
      const handle: Handler = ({ path }) =>
        new HttpResponse(
          200,
          path === "/urgent" ? FieldSection.of({ priority: "u=0" }) : undefined,
          new MemoryBody(Buffer.alloc(16_384)),
        );
      const peer = waiting(handle).get(3, { priority: "u=1" }).get(5, { ":path": "/urgent", priority: "u=7" });
      expect(order(peer, 2)).toEqual([5, 3]);
      expect(peer.stream(5).heads[0]!["priority"]).toBe("u=0");
    });

    test("change by PRIORITY_UPDATE, while a response waits and before its request", () => {
      const peer = waiting();
      update(peer, 7, "u=0");
      peer.get(3, { priority: "u=1" }).get(5, { priority: "u=2" }).get(7, { priority: "u=7" });
      update(peer, 3, "u=6");
      expect(order(peer, 6)).toEqual([7, 7, 5, 5, 3, 3]);
    });

    test("a PRIORITY_UPDATE of a stream that a client cannot open ends the connection (RFC 9218 §7.1)", () => {
      expect(update(client(hello), 2, "u=0").goneWith).toBe(1);
      expect(update(client(hello), 0, "u=0").goneWith).toBe(1);
    });

    test("one that is cancelled while it waits has no turn", () => {
      const peer = waiting().get(3, { priority: "u=0" }).get(5).reset(3);
      expect(order(peer, 2)).toEqual([5, 5]);
      expect(peer.stream(3).content).toBe("");
    });
  });

  test("a source is not even begun on a stream without a window, and paused when it is used up", () => {
    const source = new HandSource();
    const peer = client(() => new HttpResponse(200, undefined, source)).settings(Setting.initialWindowSize, 0);
    peer.get(1);
    expect(source.paused).toBe(true);
    peer.window(1, 10);
    expect(source.paused).toBe(false);
    source.write("0123456789abcdef");
    expect(source.paused).toBe(true);
    expect(peer.stream(1).content).toBe("0123456789");
    peer.window(1, 4);
    expect(source.paused).toBe(true);
    peer.window(1, 4);
    expect(source.paused).toBe(false);
    source.end();
    expect(peer.stream(1)).toMatchObject({ content: "0123456789abcdef", ended: true });
  });

  test("a window may become negative, and content waits until it is not (RFC 9113 §6.9.2)", () => {
    const source = new HandSource();
    const peer = client(() => new HttpResponse(200, undefined, source)).settings(Setting.initialWindowSize, 10);
    peer.get(1);
    source.write("01234");
    peer.settings(Setting.initialWindowSize, 0);
    source.write("56789");
    expect(peer.stream(1).content).toBe("01234");
    peer.window(1, 5);
    expect(peer.stream(1).content).toBe("01234");
    peer.window(1, 2);
    expect(peer.stream(1).content).toBe("0123456");
    peer.settings(Setting.initialWindowSize, 100);
    source.end();
    expect(peer.stream(1)).toMatchObject({ content: "0123456789", ended: true });
  });

  test("a full connection pauses all, and each has its turn when there is room", () => {
    const sources = [new HandSource(), new HandSource()];
    const peer = client(() => new HttpResponse(200, undefined, sources[peer.exchanges.length - 1]!));
    peer.get(1).get(3);
    peer.connection.stall();
    for (const source of sources) source.write("a");
    peer.read();
    for (const source of sources) source.write("b");
    expect(sources.map(({ paused }) => paused)).toEqual([true, true]);
    peer.connection.giveRoom();
    expect(sources.map(({ paused }) => paused)).toEqual([false, false]);
    for (const source of sources) source.end();
    expect([peer.stream(1).content, peer.stream(3).content]).toEqual(["ab", "ab"]);
  });

  test("a taker that pauses withholds the stream's window, not the connection's", () => {
    const sink = new HandSink();
    const peer = client((exchange) => {
      exchange.request.body.sendTo(sink);
      sink.flow.pause();
      return new Promise(() => {});
    });
    peer.post(1).read();
    for (let i = 0; i < 4; i++) peer.data(1, "x".repeat(16_000));
    expect(sink.text).toBe("");
    expect(peer.framesOf(FrameType.windowUpdate).filter(({ streamId }) => streamId === 1)).toHaveLength(0);
    sink.flow.resume();
    expect(sink.text).toHaveLength(64_000);
    peer.read();
    expect(peer.framesOf(FrameType.windowUpdate).filter(({ streamId }) => streamId === 1)).toHaveLength(1);
    expect(peer.data(1, "y".repeat(16_000)).goneWith).toBeNull();
    expect(sink.text).toHaveLength(80_000);
  });

  /** What the client may send on all streams, as the server says. */
  const given = (peer: TestClient): number =>
    peer
      .framesOf(FrameType.windowUpdate)
      .filter(({ streamId }) => streamId === 0)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 65_535);

  test.each([
    ["nobody takes", false],
    ["its taker is too full for", true],
  ])("complete content that %s before the response is over is dropped, its window given back", (_, isTaken) => {
    const before = queuedOctets();
    const answers = new Answers();
    const sinks: HandSink[] = [];
    const peer = client((exchange) => {
      if (isTaken) {
        const sink = new HandSink();
        sinks.push(sink);
        exchange.request.body.sendTo(sink);
        sink.flow.pause();
      }
      return answers.handle(exchange);
    });
    const first = given(peer);
    for (const stream of [1, 3]) {
      peer.post(stream);
      for (let i = 0; i < 4; i++) peer.data(stream, "x".repeat(16_000), i === 3);
      expect(queuedOctets() - before).toBe(64_000);
      answers.give(text("no", 413));
      expect(peer.stream(stream)).toMatchObject({ heads: [{ ":status": "413" }], ended: true, reset: null });
      expect(queuedOctets()).toBe(before);
    }
    // 128,000 octets in one step: it is more than half of the window.
    expect(given(peer) - first).toBe(128_000);
    expect(sinks.map(({ ended }) => ended)).toEqual(isTaken ? ["client-closed", "client-closed"] : []);
  });

  test("padding counts, and is given back (RFC 9113 §6.1)", () => {
    const answers = new Answers();
    const sink = new HandSink();
    const peer = client((exchange) => {
      exchange.request.body.sendTo(sink);
      return answers.handle(exchange);
    });
    peer.post(1);
    const padded = Buffer.concat([Buffer.of(255), Buffer.from("a"), Buffer.alloc(255)]);
    for (let i = 0; i < 1000; i++) peer.send(peer.frame(FrameType.data, 8, 1, padded));
    expect(sink.text).toBe("a".repeat(1000));
    expect(peer.goneWith).toBeNull();
  });
});

describe("tunnels", () => {
  /** Answers like an origin server that speaks HTTP/1.1. */
  const upgraded =
    (source: HandSource, sink: HandSink): Handler =>
    ({ request }) => {
      const key = request.fields.get("sec-websocket-key")!;
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      const fields = FieldSection.of({ connection: "upgrade", upgrade: "websocket", "sec-websocket-accept": accept });
      const response = new HttpResponse(101, fields, source);
      response.tunnel = { accept: (body) => body.sendTo(sink) };
      return response;
    };
  const EXTENDED = { ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", "sec-websocket-version": "13" };

  test("a WebSocket is the GET with Upgrade that HTTP/1.1 would have (RFC 8441 §5)", () => {
    const source = new HandSource();
    const sink = new HandSink();
    const peer = client(upgraded(source, sink)).post(1, EXTENDED);
    const { request, phase } = peer.exchanges[0]!;
    expect(request).toMatchObject({ method: "GET", target: "/chat", upgrade: "websocket", body: NO_BODY });
    expect(phase).toBe("tunnel");
    expect(peer.stream(1).heads[0]).toEqual({ ":status": "200" });
    peer.data(1, "to origin");
    source.write("to client");
    expect(sink.text).toBe("to origin");
    expect(peer.stream(1)).toMatchObject({ content: "to client", ended: false });
    peer.data(1, "", true);
    expect(sink.ended).toBe("end");
    source.end();
    expect(peer.stream(1)).toMatchObject({ ended: true, reset: null });
    expect(peer.finished).toHaveLength(1);
  });

  test("a tunnel that breaks at its other end is reset with CONNECT_ERROR (RFC 9113 §8.5)", () => {
    const source = new HandSource();
    const peer = client(upgraded(source, new HandSink())).post(1, EXTENDED);
    source.write("x").abort(new Failure("upstream-reset", "broken"));
    expect(peer.stream(1)).toMatchObject({ content: "x", ended: false, reset: 10 });
  });

  test("what the client said last still arrives after both halves have ended", () => {
    const [source, sink] = [new HandSource(), new HandSink()];
    const peer = client(upgraded(source, sink)).post(1, EXTENDED);
    sink.flow.pause();
    peer.data(1, "the rest", true);
    source.end();
    expect(peer.stream(1)).toMatchObject({ ended: true, reset: null });
    sink.flow.resume();
    expect([sink.text, sink.ended]).toEqual(["the rest", "end"]);
  });

  test("that breaks while what the client said last still waits is broken to its other end too", () => {
    const before = queuedOctets();
    const [source, sink] = [new HandSource(), new HandSink()];
    const peer = client(upgraded(source, sink)).post(1, EXTENDED);
    sink.flow.pause();
    peer.data(1, "the rest", true);
    source.abort(new Failure("upstream-reset", "broken"));
    expect([peer.stream(1).reset, sink.ended, queuedOctets() - before]).toEqual([10, "upstream-reset", 0]);
  });

  test("an answer to another handshake is refused", () => {
    const peer = client(() => {
      const response = new HttpResponse(101, FieldSection.of({ "sec-websocket-accept": "x" }));
      response.tunnel = { accept() {} };
      return response;
    }).post(1, EXTENDED);
    expect(peer.status(1)).toBe(502);
  });

  test("200 without a tunnel does not open one", () => {
    expect(client(hello).post(1, EXTENDED).status(1)).toBe(502);
  });

  test("a refusal goes to the client", () => {
    expect(
      client(() => text("no", 403))
        .post(1, EXTENDED)
        .status(1),
    ).toBe(403);
  });

  test("a tunnel in which nothing passes ends", () => {
    const peer = client(upgraded(new HandSource(), new HandSink()), { tunnelIdleTime: timerList(5000) });
    peer.post(1, EXTENDED);
    pass(4000);
    peer.data(1, "x");
    pass(4000);
    expect(peer.stream(1).reset).toBeNull();
    pass(1001);
    expect(peer.stream(1).reset).toBe(8);
    expect(peer.exchanges[0]!.failure?.code).toBe("tunnel-idle");
  });
});

describe("times", () => {
  test("no request in time: the connection ends", () => {
    const peer = client(hello);
    pass(30_001);
    expect(peer.goneWith).toBe(0);
    expect(peer.connection.fate).toBe("lingering");
  });

  test("not even a preface", () => {
    const peer = client(hello, {}, false);
    pass(10_001);
    expect(peer.goneWith).toBe(4);
  });

  test("no ACK of our SETTINGS in time (RFC 9113 §6.5.3)", () => {
    const peer = client(hello, {}, false);
    peer.send(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), peer.frame(FrameType.settings, 0, 0));
    pass(10_001);
    expect(peer.goneWith).toBe(4);
  });

  test("a connection that rests ends, one with a stream does not", () => {
    const source = new HandSource();
    const peer = client(() => new HttpResponse(200, undefined, source)).get(1);
    source.write("x");
    pass(80_000);
    expect(peer.goneWith).toBeNull();
    source.end();
    peer.read();
    pass(74_000);
    expect(peer.goneWith).toBeNull();
    pass(1001);
    expect(peer.goneWith).toBe(0);
  });

  test("a head that is not continued in time", () => {
    const peer = client(hello).send();
    peer.send(peer.frame(FrameType.headers, 1, 1, peer.block([[":method", "GET"]])));
    pass(30_001);
    expect(peer.goneWith).toBe(11);
    expect(peer.refused[0]!.code).toBe("head-timeout");
  });

  test("content that does not come is answered 408", () => {
    const sink = new HandSink();
    const peer = client((exchange) => {
      exchange.request.body.sendTo(sink);
      return new Promise((_, reject) => exchange.onAbort(() => reject(exchange.failure)));
    }).post(1);
    peer.data(1, "abc");
    pass(31_001);
    expect(peer.status(1)).toBe(408);
    expect(peer.stream(1).reset).toBe(0);
    expect(sink.ended).toBe("content-timeout");
  });

  test("content that comes too slowly is answered 408", () => {
    const peer = client(
      (exchange) => {
        exchange.request.body.sendTo(new HandSink());
        return new Promise((_, reject) => exchange.onAbort(() => reject(exchange.failure)));
      },
      { contentRate: 100 },
    ).post(1);
    for (let i = 0; i < 4 && peer.status(1) === 0; i++) {
      pass(2000);
      peer.data(1, "x");
    }
    expect(peer.status(1)).toBe(408);
    expect(peer.exchanges[0]!.failure?.code).toBe("content-too-slow");
  });

  test("a client that wants to hear 100 hears it from us if nobody else says it (RFC 9110 §10.1.1)", () => {
    const sink = new HandSink();
    const answers = new Answers();
    const peer = client((exchange) => {
      exchange.request.body.sendTo(sink);
      return answers.handle(exchange);
    }).post(1, { expect: "100-continue" });
    expect(peer.stream(1).heads).toEqual([]);
    pass(1001);
    expect(peer.stream(1).heads).toEqual([{ ":status": "100" }]);
    peer.data(1, "abc", true);
    answers.give(text("ok"));
    expect(peer.status(1)).toBe(200);
  });

  test("a client that takes nothing of a stream loses it", () => {
    const source = new HandSource();
    const peer = client(() => new HttpResponse(200, undefined, source)).settings(Setting.initialWindowSize, 3);
    peer.get(1);
    source.write("abcdef");
    pass(59_000);
    peer.window(1, 1);
    pass(59_000);
    expect(peer.stream(1)).toMatchObject({ content: "abcd", reset: null });
    pass(2000);
    expect(peer.stream(1).reset).toBe(8);
    expect(source.cancelled?.code).toBe("client-stalled");
    expect(peer.goneWith).toBeNull();
  });

  test("a client that takes nothing at all loses the connection", () => {
    const source = new HandSource();
    const peer = client(() => new HttpResponse(200, undefined, source)).get(1);
    peer.read().connection.stall();
    source.write("a");
    peer.read();
    source.write("b");
    pass(60_001);
    expect(peer.connection.fate).toBe("reset");
    expect(source.cancelled?.code).toBe("client-stalled");
  });

  test("after its greatest age a connection takes no new streams, and ends with its last", () => {
    const answers = new Answers();
    const peer = client(answers.handle, { maxAgeTimes: [timerList(300_000)!], keepAliveTime: null }).get(1);
    pass(300_001);
    expect(peer.goAways).toEqual([[2 ** 31 - 1, 0]]);
    pass(5001);
    expect(peer.goAways.at(-1)).toEqual([1, 0]);
    answers.give(text("ok"));
    expect(peer.status(1)).toBe(200);
    expect(peer.connection.fate).toBe("lingering");
  });
});

describe("ends", () => {
  test("drain: first a warning, then which stream was the last, then the end (RFC 9113 §6.8)", () => {
    const answers = new Answers();
    const peer = client(answers.handle).get(1);
    peer.server.drain();
    expect(peer.goAways).toEqual([[2 ** 31 - 1, 0]]);
    // On its way when the client heard of it: still taken.
    peer.get(3);
    const ping = peer.framesOf(FrameType.ping)[0]!;
    peer.send(peer.frame(FrameType.ping, 1, 0, ping.payload));
    expect(peer.goAways.at(-1)).toEqual([3, 0]);
    peer.get(5);
    expect(peer.exchanges).toHaveLength(2);
    answers.give(text("a"));
    answers.give(text("b"));
    expect([peer.stream(1).content, peer.stream(3).content]).toEqual(["a", "b"]);
    expect(peer.connection.fate).toBe("lingering");
  });

  test("drain of a connection that rests ends it once the client has heard of it", () => {
    const peer = client(hello).get(1);
    peer.server.drain();
    pass(4999);
    expect(peer.read().connection.fate).toBe("open");
    pass(2);
    expect(peer.read().connection.fate).toBe("lingering");
  });

  test("terminate: who waits gets an answer, what is in the middle is cut", () => {
    const source = new HandSource();
    const peer = client(({ path }) => {
      if (path !== "/slow") return new HttpResponse(200, undefined, source);
      return new Promise(() => {});
    });
    peer.get(1).get(3, { ":path": "/slow" });
    source.write("x");
    peer.server.terminate(new Failure("shutting-down", "the drain time is over"));
    expect(peer.stream(1)).toMatchObject({ content: "x", ended: false, reset: 8 });
    expect(peer.status(3)).toBe(503);
    expect(peer.goneWith).toBe(0);
    expect(peer.closedCalls).toBe(1);
  });

  test("a client that cancels a stream calls its exchange off", () => {
    const source = new HandSource();
    const aborted: string[] = [];
    const peer = client((exchange) => {
      exchange.onAbort(() => aborted.push(exchange.path));
      return exchange.path === "/" ? new HttpResponse(200, undefined, source) : text("hello");
    }).get(1);
    peer.reset(1);
    expect(source.cancelled?.code).toBe("client-closed");
    expect(aborted).toEqual(["/"]);
    expect(peer.get(3, { ":path": "/next" }).status(3)).toBe(200);
  });

  test("a response that comes after that is not wanted", () => {
    const answers = new Answers();
    const peer = client(answers.handle).get(1).reset(1);
    const source = new HandSource();
    answers.give(new HttpResponse(200, undefined, source));
    expect(peer.stream(1).heads).toEqual([]);
    expect(source.cancelled?.code).toBe("client-closed");
  });

  test("a client that goes away takes all of its exchanges with it", () => {
    const peer = client(() => new Promise(() => {}))
      .get(1)
      .get(3);
    peer.connection.end();
    expect(peer.finished.map(({ failure }) => failure?.code)).toEqual(["client-closed", "client-closed"]);
  });

  test("an error of the connection is told with the last stream, and ends all", () => {
    const peer = client(() => new Promise(() => {})).get(1);
    peer.send(peer.frame(FrameType.data, 0, 0, "x"));
    expect(peer.goAways).toEqual([[1, 1]]);
    expect(peer.refused.map(({ code }) => code)).toEqual(["protocol-error"]);
    expect(peer.finished[0]!.failure?.code).toBe("protocol-error");
    expect(peer.connection.fate).toBe("lingering");
  });

  test("a fault of ours costs the connection", () => {
    const peer = client(hello);
    peer.server.onFault(new Error("broken"));
    expect(peer.connection.fate).toBe("reset");
    expect(peer.faults.splice(0)).toHaveLength(1);
  });

  test("more streams than allowed are refused, so that they can be tried again (RFC 9113 §5.1.2)", () => {
    const peer = client(() => new Promise(() => {}), { maxStreams: 2 });
    peer.get(1).get(3).get(5);
    expect(peer.stream(5).reset).toBe(7);
    expect(peer.exchanges).toHaveLength(2);
    peer.reset(1).get(7);
    expect(peer.exchanges).toHaveLength(3);
  });
});

test("SETTINGS say what is allowed", () => {
  const peer = client(hello);
  const { payload } = peer.framesOf(FrameType.settings)[0]!;
  const said = new Map<number, number>();
  for (let at = 0; at < payload.length; at += 6) said.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
  expect(said.get(Setting.maxConcurrentStreams)).toBe(SETTINGS.maxStreams);
  expect(said.get(Setting.maxHeaderListSize)).toBe(SETTINGS.head.fieldSectionOctets);
  expect(said.get(Setting.enableConnectProtocol)).toBe(1);
  expect(peer.framesOf(FrameType.windowUpdate)[0]!.payload.readUInt32BE(0)).toBe(200_000 - 65_535);
});

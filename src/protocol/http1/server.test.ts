import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../../base/failure.ts";
import { clock, timerList } from "../../base/timer.ts";
import { type BodySource, collect, DeclaredLength, MemoryBody, NO_BODY } from "../../http/body.ts";
import type { Handler } from "../../http/define.ts";
import type { ClientInfo, Exchange } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import type { ExchangeHooks } from "../exchange-hooks.ts";
import { Http1ServerConnection } from "./server.ts";
import type { Http1ServerSettings } from "./server-settings.ts";
import {
  CONTENT_LIMITS,
  cut,
  everySplit,
  FakeConnection,
  HEAD_LIMITS,
  latin1,
  pass,
  RUNS,
  settle,
  wire,
} from "./testing.ts";
import { HandSink, HandSource, readMessages } from "./testing-bodies.ts";

const CLIENT: ClientInfo = {
  listener: "http",
  peer: "192.0.2.1",
  peerPort: 50_000,
  localAddress: "192.0.2.2",
  localPort: 80,
  tls: null,
};

const SETTINGS: Http1ServerSettings = {
  scheme: "http",
  head: HEAD_LIMITS,
  content: CONTENT_LIMITS,
  headTime: timerList(30_000),
  keepAliveTime: timerList(75_000),
  contentIdleTime: timerList(31_000),
  sendTime: timerList(60_000),
  continueTime: timerList(1000),
  tunnelIdleTime: timerList(3_600_000),
  contentRate: 0,
};

/** One client, and what the engine told about it. */
class Server implements ExchangeHooks {
  readonly client = new FakeConnection();
  readonly engine: Http1ServerConnection;
  readonly exchanges: Exchange[] = [];
  readonly finished: Exchange[] = [];
  readonly refused: Failure[] = [];
  readonly faults: unknown[] = [];
  closedCalls = 0;
  draining = false;
  readonly #handle: Handler;
  #received = "";

  constructor(handle: Handler, settings: Partial<Http1ServerSettings> = {}) {
    this.#handle = handle;
    this.engine = new Http1ServerConnection(this.client, CLIENT, { ...SETTINGS, ...settings }, this);
    this.client.handler = this.engine;
    servers.push(this);
  }

  readonly handle = (exchange: Exchange): HttpResponse | PromiseLike<HttpResponse> => {
    this.exchanges.push(exchange);
    return this.#handle(exchange);
  };

  finish(exchange: Exchange): void {
    if (this.finished.includes(exchange)) throw new Error("finished twice");
    this.finished.push(exchange);
  }

  malformed(_client: ClientInfo, failure: Failure): void {
    this.refused.push(failure);
  }

  closed(): void {
    this.closedCalls++;
  }

  fault(thrown: unknown): void {
    this.faults.push(thrown);
  }

  get exchange(): Exchange {
    return this.exchanges.at(-1)!;
  }

  /** All that the client received, without Date. */
  get received(): string {
    this.#received += this.client.taken();
    return this.#received.replaceAll(/date: [^\r]*\r\n/g, "");
  }

  get responses() {
    return readMessages(
      this.received,
      this.exchanges.map(({ request }) => request.method),
    ).messages;
  }

  /** An engine that has let go of its connection has no exchange left, and told so once. */
  check(): void {
    if (this.client.fate === "open" && this.closedCalls === 0) this.client.lose();
    expect(this.closedCalls).toBe(1);
    expect(this.finished).toHaveLength(this.exchanges.length);
    expect(this.engine.idle).toBe(true);
  }
}

let servers: Server[] = [];

afterEach(() => {
  const all = servers;
  servers = [];
  for (const server of all) server.check();
});

const text = (body: string, status = 200): HttpResponse => new HttpResponse(status, undefined, MemoryBody.text(body));
const hello: Handler = () => text("hello");
/** Answers with the method, the target and the content. */
const echo: Handler = async ({ request }) => {
  const content = await collect(request.body, 1e6, () => new Failure("content-too-large", "too large"));
  return text(`${request.method} ${request.target} ${content.toString("latin1")}`);
};

/** A handler whose answer the test gives. */
class Pending {
  #settle: ((response: HttpResponse) => void)[] = [];
  #fail: ((why: unknown) => void)[] = [];

  readonly handle: Handler = () =>
    new Promise((resolve, reject) => {
      this.#settle.push(resolve);
      this.#fail.push(reject);
    });

  answer(response: HttpResponse, index = 0): void {
    this.#settle[index]!(response);
    settle();
  }

  fail(why: unknown, index = 0): void {
    this.#fail[index]!(why);
    settle();
  }
}

const get = (target = "/", ...lines: string[]): string => wire(`GET ${target} HTTP/1.1`, "Host: a", ...lines, "", "");
const post = (...lines: string[]): string => wire("POST / HTTP/1.1", "Host: a", ...lines, "", "");
const cutFailure = (): Failure => new Failure("upstream-truncated", "cut");

describe("one request (RFC 9112 §2)", () => {
  test("gets its response", () => {
    const server = new Server(hello);
    server.client.arrive(get("/x?y", "A: b"));
    expect(server.received).toBe(wire("HTTP/1.1 200 OK", "content-length: 5", "", "hello"));
    expect(server.client.fate).toBe("open");
    expect(server.exchange.request).toMatchObject({ method: "GET", authority: "a", target: "/x?y", body: NO_BODY });
    expect(server.finished).toEqual([server.exchange]);
  });

  test("has a Date, unless the origin server gave one (RFC 9110 §6.6.1)", () => {
    const server = new Server(() => new HttpResponse(200, FieldSection.of({ Date: "then" })));
    server.client.arrive(get());
    expect(server.client.taken()).toBe(wire("HTTP/1.1 200 OK", "Date: then", "content-length: 0", "", ""));
    const other = new Server(hello);
    other.client.arrive(get());
    expect(other.client.taken()).toMatch(/\r\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/);
  });

  test("is the same however its octets are cut, and so is the next", () => {
    const octets = latin1(
      get("/1") +
        wire("POST /2 HTTP/1.1", "Host: a", "Content-Length: 3", "", "abc") +
        wire("POST /3 HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "", "3;x", "def", "0", "A: b", "", "") +
        get("/4"),
    );
    for (const pieces of everySplit(octets)) {
      const server = new Server(echo);
      server.client.arrive(...pieces.filter((piece) => piece.length > 0));
      expect(server.responses.map(({ content }) => content)).toEqual([
        "GET /1 ",
        "POST /2 abc",
        "POST /3 def",
        "GET /4 ",
      ]);
      server.check();
      servers.pop();
    }
  });

  test("fields for one connection stay there, both ways (RFC 9110 §7.6.1)", () => {
    const fields = {
      Connection: "close, X-Mine",
      "Keep-Alive": "timeout=5",
      "Proxy-Connection": "x",
      "Transfer-Encoding": "chunked",
      "Content-Length": "99",
      Upgrade: "x",
      TE: "y",
      Kept: "z",
    };
    const server = new Server(() => new HttpResponse(200, FieldSection.of(fields), MemoryBody.text("hello")));
    server.client.arrive(get("/", "Connection: keep-alive, X-Mine", "X-Mine: a", "X-Other: b"));
    expect(server.exchange.request.fields.get("x-mine")).toBeUndefined();
    expect(server.exchange.request.fields.get("x-other")).toBe("b");
    expect(server.received).toBe(wire("HTTP/1.1 200 OK", "Kept: z", "content-length: 5", "", "hello"));
  });
});

describe("keep-alive (RFC 9112 §9.3)", () => {
  test.each([
    ["HTTP/1.1", [], "open", undefined],
    ["HTTP/1.1", ["Connection: keep-alive"], "open", undefined],
    ["HTTP/1.1", ["Connection: close"], "closed", "close"],
    ["HTTP/1.1", ["Connection: x, Close"], "closed", "close"],
    ["HTTP/1.1", ["Connection: keep-alive", "Connection: close"], "closed", "close"],
    ["HTTP/1.0", [], "closed", "close"],
    ["HTTP/1.0", ["Connection: keep-alive"], "open", "keep-alive"],
    ["HTTP/1.0", ["Connection: keep-alive, close"], "closed", "close"],
  ])("%s with %j: %s", (version, lines, fate, option) => {
    const server = new Server(hello);
    server.client.arrive(wire(`GET / ${version}`, "Host: a", ...lines, "", ""));
    expect(server.client.fate as string).toBe(fate);
    expect(server.responses[0]!.fields["connection"]).toBe(option as string);
  });

  test("a request after `close` is not read", () => {
    const server = new Server(hello);
    server.client.arrive(get("/", "Connection: close") + get());
    expect(server.exchanges).toHaveLength(1);
    expect(server.client.fate).toBe("closed");
  });

  test("while the server stops, the response says close", () => {
    const server = new Server(hello);
    server.draining = true;
    server.client.arrive(get());
    expect(server.responses[0]!.fields["connection"]).toBe("close");
    // The next request may be on its way: no reset may overtake the response (RFC 9112 §9.6).
    expect(server.client.fate).toBe("lingering");
  });

  test("an idle connection is closed after its time, without a word", () => {
    const server = new Server(hello);
    server.client.arrive(get());
    pass(74_999);
    expect(server.client.fate).toBe("open");
    server.client.arrive(get());
    pass(74_999);
    expect(server.client.fate).toBe("open");
    pass(1);
    expect(server.client.fate).toBe("closed");
    expect(server.responses).toHaveLength(2);
  });

  test("closeIdle leaves a running exchange its end", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(get());
    server.engine.closeIdle();
    expect(server.client.fate).toBe("open");
    pending.answer(text("late"));
    expect(server.responses[0]).toMatchObject({ content: "late", fields: { connection: "close" } });
    expect(server.client.fate).toBe("lingering");
  });
});

describe("pipelining (RFC 9112 §9.3.2)", () => {
  test("requests are worked on one after the other, and answered in order", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(get("/1") + get("/2") + get("/3"));
    expect(server.exchanges).toHaveLength(1);
    expect(server.client.paused).toBe(true);
    pending.answer(text("1"), 0);
    expect(server.exchanges).toHaveLength(2);
    pending.answer(text("2"), 1);
    pending.answer(text("3"), 2);
    expect(server.responses.map(({ content }) => content)).toEqual(["1", "2", "3"]);
    expect(server.client.paused).toBe(false);
  });

  test("1,000 in one read need no deep stack", () => {
    const count = 1000;
    const all = Array.from({ length: count }, (_, i) => get(`/${i}`)).join("");
    for (const handle of [({ request }: Exchange) => text(request.target), echo]) {
      const server = new Server(handle);
      server.client.arrive(all);
      expect(server.responses.map(({ content }) => Number(/\d+/.exec(content)![0]))).toEqual(
        Array.from({ length: count }, (_, i) => i),
      );
    }
  });

  test("one that follows content in the same read waits for it", () => {
    const server = new Server(echo);
    server.client.arrive(`${post("Content-Length: 2")}ab${get("/next")}`);
    expect(server.responses.map(({ content }) => content)).toEqual(["POST / ab", "GET /next "]);
  });

  test("a client that takes no responses gets no further ones: they do not pile up", () => {
    const server = new Server(() => text("x".repeat(1000)));
    server.client.stall();
    server.client.arrive(get().repeat(100));
    server.client.arrive(get());
    expect(server.exchanges).toHaveLength(1);
    expect(server.client.paused).toBe(true);
    server.client.giveRoom();
    expect(server.exchanges).toHaveLength(101);
    expect(server.responses).toHaveLength(101);
  });

  test("half a request waits until its rest is there", () => {
    const server = new Server(hello);
    server.client.arrive(get() + get().slice(0, 20));
    expect(server.responses).toHaveLength(1);
    expect(server.client.paused).toBe(false);
    server.client.arrive(get().slice(20));
    expect(server.responses).toHaveLength(2);
  });
});

describe("framing of the response (RFC 9112 §6, RFC 9110 §6.4.1)", () => {
  const respond = (body: BodySource, status = 200) => new Server(() => new HttpResponse(status, undefined, body));

  test("unknown length goes in chunks", () => {
    const source = new HandSource();
    const server = respond(source);
    server.client.arrive(get());
    source.write("hello").write("").write("x".repeat(17)).end();
    expect(server.received).toBe(
      wire("HTTP/1.1 200 OK", "transfer-encoding: chunked", "", "5", "hello", "11", "x".repeat(17), "0", "", ""),
    );
    expect(server.exchange.responseOctets).toBe(22);
    expect(server.client.fate).toBe("open");
  });

  test("unknown length ends an HTTP/1.0 connection", () => {
    const source = new HandSource();
    const server = respond(source);
    server.client.arrive(wire("GET / HTTP/1.0", "Connection: keep-alive", "", ""));
    source.write("hello");
    expect(server.client.fate).toBe("open");
    source.end();
    expect(server.received).toBe(wire("HTTP/1.1 200 OK", "connection: close", "", "hello"));
    expect(server.client.fate).toBe("lingering");
  });

  test("trailers go to a client that takes them (RFC 9110 §6.5.1)", () => {
    for (const [lines, trailers] of [
      [["TE: trailers"], "A: b\r\n"],
      [[], ""],
    ] as const) {
      const source = new HandSource();
      const server = respond(source);
      server.client.arrive(get("/", ...lines));
      source.write("x").end(FieldSection.of({ A: "b", "Content-Length": "7" }));
      expect(server.responses[0]).toMatchObject({ content: "x", trailers });
    }
  });

  test.each([
    ["HEAD", 200, "7", new DeclaredLength(7)],
    ["HEAD", 200, "0", new DeclaredLength(0)],
    ["HEAD", 200, undefined, NO_BODY],
    ["HEAD", 200, "5", MemoryBody.text("hello")],
    ["GET", 200, "0", NO_BODY],
    ["GET", 204, undefined, NO_BODY],
    ["GET", 204, undefined, new DeclaredLength(7)],
    ["GET", 304, undefined, NO_BODY],
    ["GET", 304, "7", new DeclaredLength(7)],
    ["GET", 205, "0", NO_BODY],
    ["POST", 404, "0", NO_BODY],
  ])("%s answered %i has no content; length %p", (method, status, length, body) => {
    const server = respond(body, status);
    server.client.arrive(wire(`${method} / HTTP/1.1`, "Host: a", "", ""));
    expect(server.received).toMatch(/\r\n\r\n$/);
    expect(server.responses[0]!.fields["content-length"]).toBe(length as string);
    expect(server.responses[0]!.fields["transfer-encoding"]).toBeUndefined();
    expect(server.client.fate).toBe("open");
  });

  test("content nobody may see is cancelled: HEAD", () => {
    const source = new HandSource();
    const server = respond(source);
    server.client.arrive(wire("HEAD / HTTP/1.1", "Host: a", "", "") + get());
    expect(source.cancelled).not.toBeNull();
    expect(server.received).toStartWith("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n");
    // The same source cannot be sent twice: the second exchange failed.
    expect(server.faults).toHaveLength(1);
  });

  test("content shorter than declared is cut, never filled up (RFC 9112 §8)", () => {
    const source = new HandSource(10);
    const server = respond(source);
    server.client.arrive(get() + get());
    source.write("hello").end();
    expect(server.received).toBe(wire("HTTP/1.1 200 OK", "content-length: 10", "", "hello"));
    expect(server.client.fate).not.toBe("open");
    expect(server.exchange.failure?.code).toBe("internal");
  });

  test.each([
    ["in one piece", ["hello!"], "", 0],
    ["in a later piece", ["hello", "!"], "hello", 0],
  ])("content longer than declared is never sent: %s", (_what, pieces, sent) => {
    const source = new HandSource(5);
    const server = respond(source);
    server.client.arrive(get());
    for (const piece of pieces) source.write(piece);
    expect(source.cancelled?.code).toBe("internal");
    expect(server.received).toBe(wire("HTTP/1.1 200 OK", "content-length: 5", "", sent));
    expect(server.client.fate).not.toBe("open");
  });

  test.each([
    ["HTTP/1.1", null, "transfer-encoding: chunked", "5\r\nhello\r\n", "closed"],
    ["HTTP/1.1", 10, "content-length: 10", "hello", "closed"],
    ["HTTP/1.0", 10, "content-length: 10", "hello", "closed"],
    // Only a reset tells that it is cut.
    ["HTTP/1.0", null, "connection: close", "hello", "reset"],
  ])("cut content never looks complete: %s of length %p", (version, length, _field, content, fate) => {
    const source = new HandSource(length);
    const server = respond(source);
    server.client.arrive(wire(`GET / ${version}`, "Host: a", "", ""));
    source.write("hello").abort(cutFailure());
    expect(server.received).toEndWith(`\r\n\r\n${content}`);
    expect(server.client.fate as string).toBe(fate);
    expect(server.exchange).toMatchObject({ failure: { code: "upstream-truncated" }, phase: "response-content" });
  });
});

describe("request content", () => {
  /** Takes the content by hand. */
  function taking(settings: Partial<Http1ServerSettings> = {}) {
    const sink = new HandSink();
    const pending = new Pending();
    const server = new Server((exchange) => {
      exchange.request.body.sendTo(sink);
      return pending.handle(exchange);
    }, settings);
    return { sink, pending, server };
  }

  test("reaches its taker as it comes, with its trailers", () => {
    const { sink, pending, server } = taking();
    server.client.arrive(post("Transfer-Encoding: chunked"), "5\r\nhe");
    expect([sink.text, sink.ended]).toEqual(["he", ""]);
    server.client.arrive("llo\r\n0\r\nA: b\r\n\r\n");
    expect([sink.text, sink.ended, sink.trailers]).toEqual(["hello", "end", "A: b\r\n"]);
    expect(server.exchange.requestOctets).toBe(5);
    pending.answer(text("ok"));
    expect(server.client.fate).toBe("open");
  });

  test.each([
    [["Content-Length: 5"], 5, false],
    [["Transfer-Encoding: chunked"], null, false],
    [["Content-Length: 0"], 0, true],
    [[], 0, false],
  ])("%j has length %p", (lines, length, hasEmptyContent) => {
    const server = new Server(new Pending().handle);
    server.client.arrive(post(...lines));
    expect(server.exchange.request.body.length).toBe(length as number);
    expect(server.exchange.request.hasEmptyContent).toBe(hasEmptyContent);
  });

  test("waits in the kernel until somebody takes it", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(`${post("Content-Length: 9")}abc`, "def", "ghi");
    expect(server.client.paused).toBe(true);
    expect(server.client.waiting).toBe(6);
    const sink = new HandSink();
    server.exchange.request.body.sendTo(sink);
    settle();
    expect([sink.text, sink.ended]).toEqual(["abcdefghi", "end"]);
    pending.answer(text("ok"));
  });

  test("a full taker pauses the client, and nothing is lost or doubled", () => {
    const { sink, pending, server } = taking();
    sink.onWrite = ({ flow }) => flow.pause();
    server.client.arrive(`${post("Transfer-Encoding: chunked")}3\r\nabc\r\n3\r\ndef\r\n`, "0\r\n\r\n");
    expect([sink.text, server.client.paused]).toEqual(["abc", true]);
    sink.flow.resume();
    settle();
    expect([sink.text, server.client.paused]).toEqual(["abcdef", true]);
    sink.onWrite = () => {};
    sink.flow.resume();
    settle();
    expect(sink.ended).toBe("end");
    pending.answer(text("ok"));
  });

  test("a taker that was full at the last octets does not stop the next request", () => {
    const { sink, pending, server } = taking();
    sink.onWrite = ({ flow }) => flow.pause();
    server.client.arrive(`${post("Content-Length: 3")}abc`);
    expect(sink.ended).toBe("end");
    pending.answer(text("ok"));
    expect(server.client.paused).toBe(false);
    server.client.arrive(get());
    expect(server.exchanges).toHaveLength(2);
  });

  test("a taker that pauses and goes on within one call gets the rest", () => {
    const { sink, pending, server } = taking();
    sink.onWrite = ({ flow }) => {
      flow.pause();
      flow.resume();
    };
    server.client.arrive(`${post("Content-Length: 6")}abc`, "def");
    expect([sink.text, sink.ended]).toEqual(["abcdef", "end"]);
    pending.answer(text("ok"));
  });

  test("a taker that comes after the client has gone learns it", () => {
    const server = new Server(new Pending().handle);
    server.client.arrive(`${post("Content-Length: 9")}abc`);
    const { body } = server.exchange.request;
    server.client.lose();
    const sink = new HandSink();
    body.sendTo(sink);
    expect(sink.ended).toBe("client-closed");
  });

  test("bad chunks in the middle of it end the exchange with 400", () => {
    const { sink, server } = taking();
    server.client.arrive(`${post("Transfer-Encoding: chunked")}3\r\nabc\r\n`, "x\r\n");
    expect([sink.text, sink.ended]).toEqual(["abc", "request-malformed"]);
    expect(server.responses[0]).toMatchObject({
      startLine: "HTTP/1.1 400 Bad Request",
      fields: { connection: "close" },
    });
    expect(server.client.fate).toBe("lingering");
    expect(server.exchange.failure?.code).toBe("request-malformed");
  });

  test("bad chunks after the response has begun end the connection", () => {
    const { sink, pending, server } = taking();
    const source = new HandSource();
    server.client.arrive(post("Transfer-Encoding: chunked"));
    pending.answer(new HttpResponse(200, undefined, source));
    source.write("hello");
    server.client.arrive("x");
    expect(sink.ended).toBe("request-malformed");
    expect(source.cancelled?.code).toBe("request-malformed");
    expect(server.client.fate).toBe("reset");
    expect(server.received).toEndWith("5\r\nhello\r\n");
  });

  test("stops after the idle limit: 408 (RFC 9110 §15.5.9)", () => {
    const { sink, server } = taking();
    server.client.arrive(`${post("Content-Length: 9")}abc`);
    pass(30_999);
    server.client.arrive("d");
    pass(30_999);
    expect(sink.ended).toBe("");
    pass(1);
    expect(sink.ended).toBe("content-timeout");
    expect(server.responses[0]!.startLine).toBe("HTTP/1.1 408 Request Timeout");
    expect(server.client.fate).toBe("lingering");
  });

  test("the idle limit does not run while its taker is full", () => {
    const { sink, pending, server } = taking();
    server.client.arrive(`${post("Content-Length: 9")}abc`);
    sink.flow.pause();
    pass(100_000);
    expect(sink.ended).toBe("");
    sink.flow.resume();
    settle();
    server.client.arrive("defghi");
    expect(sink.ended).toBe("end");
    pending.answer(text("ok"));
  });

  test("slower than its least rate for more than 5 s: 408", () => {
    const { sink, server } = taking({ contentRate: 10 });
    server.client.arrive(post("Content-Length: 1000"));
    for (let second = 0; second < 5; second++) {
      pass(1000);
      server.client.arrive("x");
    }
    expect(sink.ended).toBe("");
    pass(1000);
    server.client.arrive("x");
    expect(sink.ended).toBe("content-too-slow");
    expect(server.responses[0]!.startLine).toBe("HTTP/1.1 408 Request Timeout");
  });

  test("the rate counts without an idle limit too", () => {
    const { sink, server } = taking({ contentRate: 10, contentIdleTime: null });
    server.client.arrive(post("Content-Length: 1000"));
    pass(6000);
    server.client.arrive("x");
    expect(sink.ended).toBe("content-too-slow");
  });

  test("the time in which its taker was full does not count for the rate", () => {
    const { sink, server } = taking({ contentRate: 10 });
    server.client.arrive(post("Content-Length: 1000"));
    sink.flow.pause();
    pass(60_000);
    sink.flow.resume();
    pass(1000);
    server.client.arrive("x".repeat(20));
    expect(sink.ended).toBe("");
  });

  test("a taker that is full from the start does not count for the rate", () => {
    clock.now += 100_000;
    const sink = new HandSink();
    const begin = sink.begin.bind(sink);
    sink.begin = (flow) => {
      begin(flow);
      flow.pause();
    };
    const server = new Server(
      (exchange) => {
        exchange.request.body.sendTo(sink);
        return new Pending().handle(exchange);
      },
      { contentRate: 10 },
    );
    server.client.arrive(post("Content-Length: 1000"));
    sink.flow.resume();
    pass(1000);
    server.client.arrive("x");
    expect(sink.ended).toBe("");
  });
});

describe("a response that does not wait for the request's content (RFC 9112 §9.6)", () => {
  test("a short rest is read over and the connection goes on", () => {
    const server = new Server(({ request }) => text(request.target, 413));
    server.client.arrive(post("Content-Length: 6"), "abc");
    expect(server.responses[0]!.fields["connection"]).toBeUndefined();
    server.client.arrive(`def${get("/next")}`);
    expect(server.responses.map(({ content }) => content)).toEqual(["/", "/next"]);
  });

  test("so are the rest's chunks and trailers", () => {
    const server = new Server(({ request }) => text(request.target));
    server.client.arrive(post("Transfer-Encoding: chunked"), "3\r\nab", `c\r\n0\r\nA: b\r\n\r\n${get("/next")}`);
    expect(server.responses.map(({ content }) => content)).toEqual(["/", "/next"]);
  });

  test("a long rest is not awaited: close", () => {
    const server = new Server(hello);
    server.client.arrive(post("Content-Length: 65537"));
    expect(server.responses[0]!.fields["connection"]).toBe("close");
    expect(server.client.fate).toBe("lingering");
  });

  test("a rest of unknown length is read within bounds", () => {
    const server = new Server(hello);
    const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
    server.client.arrive(post("Transfer-Encoding: chunked"), chunk, chunk, chunk);
    expect(server.client.fate).toBe("open");
    server.client.arrive(chunk, chunk);
    expect(server.client.fate).toBe("lingering");
    expect(server.responses).toHaveLength(1);
  });

  test("a rest that does not come does not keep the connection", () => {
    const server = new Server(hello);
    server.client.arrive(post("Content-Length: 6"));
    pass(31_000);
    // It may come yet: no reset may overtake the response.
    expect(server.client.fate).toBe("lingering");
    expect(server.responses).toHaveLength(1);
  });

  test("a rest that is malformed ends the connection, without a second response to one request", () => {
    const server = new Server(hello);
    server.client.arrive(post("Transfer-Encoding: chunked"), "x");
    expect(server.client.fate).not.toBe("open");
    expect(server.received.match(/HTTP\/1.1/g)).toHaveLength(1);
  });

  test("a taker of the content is told", () => {
    const sink = new HandSink();
    const pending = new Pending();
    const server = new Server((exchange) => {
      exchange.request.body.sendTo(sink);
      return pending.handle(exchange);
    });
    server.client.arrive(`${post("Content-Length: 6")}abc`);
    pending.answer(text("early"));
    expect([sink.text, sink.ended]).toEqual(["abc", "client-closed"]);
    server.client.arrive(`def${get("/next")}`);
    expect(server.exchanges).toHaveLength(2);
  });

  test("content goes on while the response flows", () => {
    const sink = new HandSink();
    const source = new HandSource();
    const server = new Server((exchange) => {
      exchange.request.body.sendTo(sink);
      return new HttpResponse(200, undefined, source);
    });
    server.client.arrive(post("Content-Length: 6"));
    source.write("a");
    server.client.arrive("abc");
    source.write("b");
    server.client.arrive("def");
    expect([sink.text, sink.ended]).toEqual(["abcdef", "end"]);
    source.end();
    expect(server.responses[0]!.content).toBe("ab");
    expect(server.client.fate).toBe("open");
  });
});

describe("Expect: 100-continue (RFC 9110 §10.1.1)", () => {
  const expecting = post("Expect: 100-continue", "Content-Length: 3");
  const interim = "HTTP/1.1 100 Continue\r\n\r\n";

  function expectingServer(settings: Partial<Http1ServerSettings> = {}) {
    const sink = new HandSink();
    const pending = new Pending();
    const server = new Server((exchange) => {
      exchange.request.body.sendTo(sink);
      return pending.handle(exchange);
    }, settings);
    server.client.arrive(expecting);
    return { sink, pending, server };
  }

  test("100 from the origin server is relayed, once", () => {
    const { pending, server } = expectingServer();
    server.exchange.inform(100, new FieldSection());
    server.exchange.inform(100, new FieldSection());
    expect(server.received).toBe(interim);
    server.client.arrive("abc");
    pending.answer(text("ok"));
    expect(server.received).toBe(`${interim}${wire("HTTP/1.1 200 OK", "content-length: 2", "", "ok")}`);
    expect(server.client.fate).toBe("open");
  });

  test("without it the client is told to begin after a while", () => {
    const { sink, pending, server } = expectingServer();
    pass(999);
    expect(server.received).toBe("");
    pass(1);
    expect(server.received).toBe(interim);
    server.client.arrive("abc");
    expect(sink.text).toBe("abc");
    pending.answer(text("ok"));
    expect(server.client.fate).toBe("open");
  });

  test("then the idle limit counts", () => {
    const { sink, server } = expectingServer();
    pass(1000);
    pass(30_999);
    expect(sink.ended).toBe("");
    pass(1);
    expect(sink.ended).toBe("content-timeout");
    expect(server.responses.at(-1)!.startLine).toBe("HTTP/1.1 408 Request Timeout");
  });

  test.each(["after the fallback", "after a relayed 100", "with content that did not wait"])(
    "without an idle limit it lasts, %s",
    (when) => {
      const { sink, pending, server } = expectingServer({ contentIdleTime: null });
      if (when === "after the fallback") pass(1000);
      else if (when === "after a relayed 100") server.exchange.inform(100, new FieldSection());
      else server.client.arrive("a");
      pass(100_000);
      expect(sink.ended).toBe("");
      server.client.arrive("abc".slice(sink.text.length));
      pending.answer(text("ok"));
      expect(server.client.fate).toBe("open");
    },
  );

  test("a client that does not wait needs no 100", () => {
    const { pending, server } = expectingServer();
    server.client.arrive("a");
    server.exchange.inform(100, new FieldSection());
    pass(2000);
    server.client.arrive("bc");
    pending.answer(text("ok"));
    expect(server.received).toStartWith("HTTP/1.1 200 OK");
    expect(server.client.fate).toBe("open");
  });

  test("a final response instead closes: nobody knows whether the content comes", () => {
    const { pending, server } = expectingServer();
    pending.answer(text("no", 417));
    expect(server.responses[0]).toMatchObject({ content: "no", fields: { connection: "close" } });
    expect(server.client.fate).toBe("lingering");
  });

  test("HTTP/1.0 clients get no interim response (RFC 9110 §15.2)", () => {
    const server = new Server(new Pending().handle);
    server.client.arrive(wire("POST / HTTP/1.0", "Expect: 100-continue", "Content-Length: 3", "", ""));
    server.exchange.request.body.sendTo(new HandSink());
    pass(2000);
    expect(server.exchange.informer).toBeNull();
    expect(server.received).toBe("");
  });
});

describe("interim responses (RFC 9110 §15.2)", () => {
  test("103 goes ahead of the final one, without fields for one connection", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(get());
    server.exchange.inform(103, FieldSection.of({ Link: "</a>", Connection: "x", "Content-Length": "5" }));
    pending.answer(text("ok"));
    expect(server.received).toStartWith(wire("HTTP/1.1 103 Early Hints", "Link: </a>", "", "HTTP/1.1 200 OK", ""));
  });

  test("none comes after the final one has begun, or without an exchange", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(get());
    const { exchange } = server;
    const source = new HandSource();
    pending.answer(new HttpResponse(200, undefined, source));
    exchange.inform(103, new FieldSection());
    source.end();
    exchange.inform(103, new FieldSection());
    expect(server.received).not.toContain("103");
  });
});

describe("a client that does not take its response", () => {
  test("pauses the source until there is room", () => {
    const source = new HandSource();
    const server = new Server(() => new HttpResponse(200, undefined, source));
    server.client.arrive(get());
    server.client.stall();
    source.write("a");
    expect(source.paused).toBe(true);
    server.client.giveRoom();
    expect(source.paused).toBe(false);
    source.write("b").end();
    expect(server.responses[0]!.content).toBe("ab");
  });

  test("that is full from the start pauses the source before its first octet", () => {
    const source = new HandSource();
    const server = new Server(() => new HttpResponse(200, undefined, source));
    server.client.stall();
    server.client.arrive(get());
    expect(source.paused).toBe(true);
    server.client.giveRoom();
    expect(source.paused).toBe(false);
    source.end();
  });

  test("for too long is given up", () => {
    const source = new HandSource();
    const server = new Server(() => new HttpResponse(200, undefined, source));
    server.client.arrive(get());
    server.client.stall();
    source.write("a");
    pass(59_999);
    expect(server.client.fate).toBe("open");
    pass(1);
    expect(source.cancelled?.code).toBe("client-stalled");
    expect(server.client.fate).toBe("reset");
    expect(server.finished[0]!.failure?.code).toBe("client-stalled");
  });
});

describe("ends", () => {
  test("a client that half-closes after its request gets its response", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(get()).end();
    pending.answer(text("ok"));
    expect(server.responses[0]).toMatchObject({ content: "ok", fields: { connection: "close" } });
    expect(server.client.fate).toBe("closed");
  });

  test("so does one that half-closes after several", () => {
    const server = new Server(echo);
    server.client.arrive(get("/1") + get("/2")).end();
    expect(server.responses.map(({ content }) => content)).toEqual(["GET /1 ", "GET /2 "]);
    expect(server.client.fate).toBe("closed");
  });

  test("one that half-closes while it is idle is closed", () => {
    const server = new Server(hello);
    server.client.arrive(get()).end();
    expect(server.client.fate).toBe("closed");
    expect(server.refused).toEqual([]);
  });

  test("one that half-closes in the middle of a head is told about", () => {
    const server = new Server(hello);
    server.client.arrive("GET / HT").end();
    expect(server.client.fate).toBe("closed");
    expect(server.refused.map(({ code }) => code)).toEqual(["client-closed"]);
  });

  test("one that half-closes in the middle of its content is given up", () => {
    const sink = new HandSink();
    const server = new Server((exchange) => {
      exchange.request.body.sendTo(sink);
      return new Pending().handle(exchange);
    });
    server.client.arrive(`${post("Content-Length: 9")}abc`).end();
    expect([sink.text, sink.ended]).toEqual(["abc", "client-closed"]);
    expect(server.client.fate).toBe("destroyed");
    expect(server.finished[0]!.failure?.code).toBe("client-closed");
  });

  test.each(["nothing", "half a head", "a whole request"])("a client lost after %s", (what) => {
    const server = new Server(what === "a whole request" ? hello : new Pending().handle);
    if (what === "half a head") server.client.arrive("GET / HT");
    if (what === "a whole request") server.client.arrive(get());
    server.client.lose();
    expect(server.closedCalls).toBe(1);
  });

  test("a client lost while the handler works: whoever waits is told, and a late answer is dropped", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(get());
    let aborted = 0;
    server.exchange.onAbort(() => aborted++);
    server.client.lose();
    expect([aborted, server.finished.length, server.exchange.failure?.code]).toEqual([1, 1, "client-closed"]);
    const source = new HandSource();
    pending.answer(new HttpResponse(200, undefined, source));
    expect(source.cancelled).not.toBeNull();
    expect(server.received).toBe("");
  });

  test("a client lost while the handler works, which then fails", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(get()).lose();
    pending.fail(new Failure("upstream-closed", "late"));
    expect([server.received, server.faults]).toEqual(["", []]);
  });

  test("a client lost in the middle of its content", () => {
    const sink = new HandSink();
    const server = new Server((exchange) => {
      exchange.request.body.sendTo(sink);
      return new Pending().handle(exchange);
    });
    server.client.arrive(`${post("Content-Length: 9")}abc`).lose();
    expect(sink.ended).toBe("client-closed");
  });

  test("a client lost in the middle of the response cancels its source", () => {
    const source = new HandSource();
    const server = new Server(() => new HttpResponse(200, undefined, source));
    server.client.arrive(get());
    source.write("a");
    server.client.lose();
    expect(source.cancelled?.code).toBe("client-closed");
    expect(server.exchange).toMatchObject({ phase: "response-content", failure: { code: "client-closed" } });
  });

  test("a server that stops closes what is idle, and lets what is in work or on its way finish", () => {
    const pending = new Pending();
    const idle = new Server(hello);
    const working = new Server(pending.handle);
    const arriving = new Server(hello);
    idle.client.arrive(get());
    working.client.arrive(get());
    arriving.client.arrive(get() + get().slice(0, 9));
    for (const server of [idle, working, arriving]) {
      server.draining = true;
      server.engine.drain();
    }
    expect([idle, working, arriving].map(({ client }) => client.fate)).toEqual(["closed", "open", "open"]);
    pending.answer(text("ok"));
    arriving.client.arrive(get().slice(9));
    for (const server of [working, arriving]) {
      expect(server.responses.at(-1)!.fields["connection"]).toBe("close");
      expect(server.client.fate).toBe("lingering");
    }
  });

  test("terminate answers what has no response yet", () => {
    const sink = new HandSink();
    const pending = new Pending();
    const server = new Server((exchange) => {
      exchange.request.body.sendTo(sink);
      return pending.handle(exchange);
    });
    server.client.arrive(`${post("Content-Length: 9")}abc`);
    let aborted = 0;
    server.exchange.onAbort(() => aborted++);
    server.engine.terminate(new Failure("shutting-down", "now"));
    expect(server.responses[0]).toMatchObject({
      startLine: "HTTP/1.1 503 Service Unavailable",
      fields: { connection: "close" },
    });
    expect([sink.ended, aborted, server.client.fate]).toEqual(["shutting-down", 1, "lingering"]);
    pending.answer(text("late"));
    expect(server.responses).toHaveLength(1);
  });

  test("terminate ends whatever is in work", () => {
    const source = new HandSource();
    const server = new Server(() => new HttpResponse(200, undefined, source));
    server.client.arrive(get());
    server.engine.terminate(new Failure("shutting-down", "now"));
    expect(source.cancelled?.code).toBe("shutting-down");
    expect(server.client.fate).toBe("reset");
  });
});

describe("what goes wrong", () => {
  test.each([
    ["garbage", "\x00", 400],
    ["no Host (RFC 9112 §3.2)", wire("GET / HTTP/1.1", "", ""), 400],
    ["two Hosts", get("/", "Host: a"), 400],
    ["a bad Host", wire("GET / HTTP/1.1", "Host: a b", "", ""), 400],
    ["a bad target", get("a"), 400],
    [
      "Content-Length and Transfer-Encoding (RFC 9112 §6.1)",
      post("Content-Length: 3", "Transfer-Encoding: chunked"),
      400,
    ],
    ["Transfer-Encoding and Content-Length", post("Transfer-Encoding: chunked", "Content-Length: 0"), 400],
    ["Transfer-Encoding in HTTP/1.0", wire("POST / HTTP/1.0", "Transfer-Encoding: chunked", "", ""), 400],
    [
      "content in CONNECT (RFC 9110 §9.3.6)",
      wire("CONNECT a:1 HTTP/1.1", "Host: a:1", "Content-Length: 1", "", "x"),
      400,
    ],
    ["chunks in CONNECT", wire("CONNECT a:1 HTTP/1.1", "Host: a:1", "Transfer-Encoding: chunked", "", ""), 400],
    ["a path above the root", get("/../a"), 400],
    ["a long request line", get(`/${"a".repeat(9000)}`), 414],
    ["a long field", get("/", `A: ${"b".repeat(9000)}`), 431],
    ["many fields", get("/", ...Array<string>(100).fill("A: b")), 431],
    ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
    ["another expectation", get("/", "Expect: x"), 417],
    ["another coding under the chunks (RFC 9112 §6.1)", post("Transfer-Encoding: gzip, chunked"), 501],
    ["two of them (RFC 9112 §6.1)", post("Transfer-Encoding: gzip, deflate, chunked"), 501],
    [
      "another coding and Content-Length (RFC 9112 §6.1)",
      post("Transfer-Encoding: gzip, chunked", "Content-Length: 3"),
      400,
    ],
    [
      "Content-Length and another coding (RFC 9112 §6.1)",
      post("Content-Length: 3", "Transfer-Encoding: gzip, deflate, chunked"),
      400,
    ],
    [
      "another coding in HTTP/1.0 (RFC 9112 §6.1)",
      wire("POST / HTTP/1.0", "Transfer-Encoding: gzip, chunked", "", ""),
      400,
    ],
    ["chunked under another coding (RFC 9112 §6.3)", post("Transfer-Encoding: gzip, chunked, deflate"), 400],
    ["chunked twice among others (RFC 9112 §6.1)", post("Transfer-Encoding: chunked, gzip, chunked"), 400],
  ])("%s: refused, and the connection ends", (_what, octets, status) => {
    const server = new Server(hello);
    server.client.arrive(octets + get());
    expect(server.exchanges).toHaveLength(0);
    expect(server.refused.map((failure) => failure.status)).toEqual([status]);
    const [response] = readMessages(server.received, ["GET"]).messages;
    expect(response!.startLine).toStartWith(`HTTP/1.1 ${status} `);
    expect(response!.fields).toMatchObject({ connection: "close" });
    expect(response!.content).toContain(server.refused[0]!.code);
    expect(server.client.fate).toBe("lingering");
  });

  test("a bad head after a good request is refused in its turn", () => {
    const pending = new Pending();
    const server = new Server(pending.handle);
    server.client.arrive(`${get()}\x00`);
    expect(server.received).toBe("");
    pending.answer(text("ok"));
    expect(readMessages(server.received, ["GET", "GET"]).messages.map(({ startLine }) => startLine)).toEqual([
      "HTTP/1.1 200 OK",
      "HTTP/1.1 400 Bad Request",
    ]);
  });

  test("a head that takes too long: 408, counted from its first octet", () => {
    const server = new Server(hello);
    server.client.arrive(get());
    pass(50_000);
    server.client.arrive("GET / ");
    pass(29_999);
    server.client.arrive("HTTP/1.1\r\n");
    expect(server.client.fate).toBe("open");
    pass(1);
    expect(readMessages(server.received, ["GET", "GET"]).messages[1]!.startLine).toBe("HTTP/1.1 408 Request Timeout");
    expect(server.refused.map(({ code }) => code)).toEqual(["head-timeout"]);
  });

  test("a client that says nothing is closed without a word", () => {
    const server = new Server(hello);
    pass(30_000);
    expect([server.client.fate, server.received, server.refused.length]).toEqual(["closed", "", 0]);
  });

  test.each(["throws", "rejects"])("a handler that %s a failure: its status", (how) => {
    const server = new Server(() => {
      const failure = new Failure("upstream-connect-refused", "10.0.0.1 refused");
      if (how === "throws") throw failure;
      return Promise.reject(failure);
    });
    server.client.arrive(get() + get());
    settle();
    expect(server.responses.map(({ startLine }) => startLine)).toEqual([
      "HTTP/1.1 502 Bad Gateway",
      "HTTP/1.1 502 Bad Gateway",
    ]);
    expect(server.received).not.toContain("10.0.0.1");
    expect(server.faults).toEqual([]);
    expect(server.exchange.failure?.code).toBe("upstream-connect-refused");
  });

  test.each(["throws", "rejects"])("a handler that %s anything else: 500, and a fault is told", (how) => {
    const server = new Server(() => {
      const fault = new RangeError("secret");
      if (how === "throws") throw fault;
      return Promise.reject(fault);
    });
    server.client.arrive(get());
    settle();
    expect(server.responses[0]!.startLine).toBe("HTTP/1.1 500 Internal Server Error");
    expect(server.received).not.toContain("secret");
    expect(server.faults).toHaveLength(1);
  });
});

describe("tunnels (RFC 9110 §7.8, §9.3.6)", () => {
  function tunnel(head = get("/", "Connection: Upgrade", "Upgrade: echo/1"), status = 101) {
    const pending = new Pending();
    const server = new Server(pending.handle);
    const fromClient = new HandSink();
    const fromOrigin = new HandSource();
    const open = (): void => {
      const response = new HttpResponse(
        status,
        FieldSection.of(status === 101 ? { Upgrade: "echo/1" } : {}),
        fromOrigin,
      );
      response.tunnel = { accept: (source) => source.sendTo(fromClient) };
      pending.answer(response);
    };
    server.client.arrive(head);
    return { server, fromClient, fromOrigin, open, pending };
  }

  test("octets pass both ways without framing", () => {
    const { server, fromClient, fromOrigin, open } = tunnel();
    expect(server.exchange.request.upgrade).toBe("echo/1");
    open();
    server.client.arrive("GET / HTTP/1.1\r\n\r\n");
    fromOrigin.write("\x00\xff");
    expect(fromClient.text).toBe("GET / HTTP/1.1\r\n\r\n");
    expect(server.received).toBe(
      wire("HTTP/1.1 101 Switching Protocols", "Upgrade: echo/1", "connection: upgrade", "", "\x00\xff"),
    );
  });

  test("octets that came before the answer wait for it", () => {
    const { server, fromClient, open } = tunnel(`${get("/", "Connection: Upgrade", "Upgrade: echo/1")}early`);
    server.client.arrive(" and more");
    expect(fromClient.text).toBe("");
    open();
    expect(fromClient.text).toBe("early and more");
  });

  test("octets that came before a refusal are the next request", () => {
    const { server, pending } = tunnel(get("/", "Connection: Upgrade", "Upgrade: echo/1") + get("/next"));
    pending.answer(text("no", 403));
    expect(server.exchanges.map(({ request }) => request.target)).toEqual(["/", "/next"]);
  });

  test("CONNECT opens one with any 2xx, which has no framing", () => {
    const { server, fromClient, fromOrigin, open } = tunnel(wire("CONNECT b:1 HTTP/1.1", "Host: b:1", "", ""), 200);
    open();
    fromOrigin.write("x");
    server.client.arrive("y");
    expect(server.received).toBe(wire("HTTP/1.1 200 OK", "", "x"));
    expect(fromClient.text).toBe("y");
  });

  test("a client that closes its half still gets the rest", () => {
    const { server, fromClient, fromOrigin, open } = tunnel();
    open();
    server.client.arrive("bye").end();
    expect([fromClient.text, fromClient.ended]).toEqual(["bye", "end"]);
    expect(server.client.fate).toBe("open");
    fromOrigin.write("rest").end();
    expect(server.received).toEndWith("rest");
    expect(server.client.fate).toBe("closed");
    expect(server.exchange).toMatchObject({ phase: "done", failure: null });
  });

  test("an origin server that closes its half still gets the rest", () => {
    const { server, fromClient, fromOrigin, open } = tunnel();
    open();
    fromOrigin.end();
    expect([server.client.writingEnded, server.client.fate]).toEqual([true, "open"]);
    server.client.arrive("rest").end();
    expect([fromClient.text, fromClient.ended]).toEqual(["rest", "end"]);
    expect(server.client.fate).toBe("closed");
    expect(server.finished).toHaveLength(1);
  });

  test("a client that had half-closed before the switch", () => {
    const { server, fromClient, fromOrigin, open } = tunnel();
    server.client.end();
    open();
    expect(fromClient.ended).toBe("end");
    fromOrigin.write("rest").end();
    expect(server.received).toEndWith("rest");
    expect(server.client.fate).toBe("closed");
  });

  test("one end lost is the other end's reset: a tunnel has no other way to say cut", () => {
    const { server, fromClient, fromOrigin, open } = tunnel();
    open();
    server.client.lose();
    expect(fromClient.ended).toBe("client-closed");
    expect(fromOrigin.cancelled?.code).toBe("client-closed");
    const other = tunnel();
    other.open();
    other.fromOrigin.abort(cutFailure());
    expect(other.server.client.fate).toBe("reset");
    expect(other.fromClient.ended).toBe("upstream-truncated");
  });

  test("is paused both ways", () => {
    const { server, fromClient, fromOrigin, open } = tunnel();
    open();
    fromClient.flow.pause();
    server.client.arrive("later");
    expect(fromClient.text).toBe("");
    fromClient.flow.resume();
    settle();
    expect(fromClient.text).toBe("later");
    server.client.stall();
    fromOrigin.write("x");
    expect(fromOrigin.paused).toBe(true);
    server.client.giveRoom();
    expect(fromOrigin.paused).toBe(false);
  });

  test("ends after its idle limit; any octet counts", () => {
    const { server, fromClient, fromOrigin, open } = tunnel();
    open();
    pass(3_599_999);
    server.client.arrive("x");
    pass(3_599_999);
    fromOrigin.write("x");
    pass(3_599_999);
    expect(server.client.fate).toBe("open");
    pass(1);
    expect(server.client.fate).not.toBe("open");
    expect(fromClient.ended).toBe("tunnel-idle");
    expect(server.exchange.failure?.code).toBe("tunnel-idle");
  });

  test.each([
    ["without the option", ["Upgrade: x"], null],
    ["without a protocol", ["Connection: upgrade"], null],
    ["with an empty protocol", ["Connection: upgrade", "Upgrade:"], null],
    ["h2c: nothing the gateway says would hold in it", ["Connection: upgrade", "Upgrade: h2c"], null],
    ["h2c in other case", ["Connection: upgrade", "Upgrade: H2C"], null],
    ["h2c in a list", ["Connection: upgrade", "Upgrade: websocket, h2c"], null],
    ["with content", ["Connection: upgrade", "Upgrade: x", "Content-Length: 1"], null],
    ["a list", ["Connection: upgrade", "Upgrade: x, y/2"], "x, y/2"],
    ["a name that only has h2c in it", ["Connection: upgrade", "Upgrade: xh2c"], "xh2c"],
  ])("an upgrade is asked for or not: %s", (_what, lines, upgrade) => {
    const server = new Server(new Pending().handle);
    server.client.arrive(get("/", ...lines));
    expect(server.exchange.request.upgrade).toBe(upgrade as string);
  });

  test("HTTP/1.0 cannot ask for one (RFC 9110 §7.8)", () => {
    const server = new Server(new Pending().handle);
    server.client.arrive(wire("GET / HTTP/1.0", "Connection: upgrade", "Upgrade: x", "", ""));
    expect(server.exchange.request.upgrade).toBeNull();
  });
});

// ── properties ───────────────────────────────────────────────────────────────────────────────

const rubbish = fc.constantFrom(
  get(),
  get("/x", "Connection: close"),
  `${post("Content-Length: 5")}hello`,
  `${post("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n\r\n`,
  wire("HEAD / HTTP/1.0", "", ""),
  post("Expect: 100-continue", "Content-Length: 2"),
  "0\r\n\r\n",
  "GET / HTTP/1.1\r\n",
  "Host: a\r\n\r\n",
  "\r\n",
  "\x00\xff",
  "x",
);

test("whatever arrives, however cut: no fault, each exchange ends once, and the answers are the same", () => {
  fc.assert(
    fc.property(
      fc.array(rubbish, { minLength: 1, maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 }),
      fc.constantFrom("end", "lose", "stay"),
      (pieces, cuts, last) => {
        const octets = latin1(pieces.join(""));
        const answers = [[octets], cut(octets, cuts)].map((split) => {
          const server = new Server(echo);
          server.client.arrive(...split);
          if (last === "end") server.client.end();
          else if (last === "lose") server.client.lose();
          expect(server.faults).toEqual([]);
          servers.pop();
          server.check();
          return server.received;
        });
        expect(answers[1]).toBe(answers[0]);
      },
    ),
    { numRuns: RUNS },
  );
});

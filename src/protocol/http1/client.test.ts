import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../../base/failure.ts";
import { timerList } from "../../base/timer.ts";
import { type BodySource, MemoryBody, NO_BODY } from "../../http/body.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpRequest, type HttpResponse } from "../../http/message.ts";
import type { ResponseTaker } from "../client-connection.ts";
import { type ClientOwner, Http1ClientConnection } from "./client.ts";
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
import { HandSink, HandSource } from "./testing-bodies.ts";

const FIRST_OCTET = timerList(20_000);
const IDLE = timerList(40_000);

/** One exchange, as the client engine tells about it. */
class Taker implements ResponseTaker {
  readonly interim: string[] = [];
  response: HttpResponse | null = null;
  readonly sink = new HandSink();
  /** Everything it was told, in order. */
  readonly told: string[] = [];
  /** Takes the content as soon as there is a response. */
  eager = true;
  onResponseTold: () => void = () => {};

  onInterim(status: number, fields: FieldSection): void {
    this.interim.push(`${status} ${fields.toString()}`);
  }

  onResponse(response: HttpResponse): void {
    this.told.push(String(response.status));
    this.response = response;
    this.onResponseTold();
    if (this.eager) this.take();
  }

  onFailed(failure: Failure): void {
    this.told.push(failure.code);
  }

  onComplete(failure: Failure | null): void {
    this.told.push(failure === null ? "complete" : failure.code);
  }

  take(): void {
    this.response!.body.sendTo(this.sink);
    settle();
  }

  /** Status, content, how it ended. */
  get result(): unknown[] {
    return [this.response?.status, this.sink.text, this.sink.ended];
  }
}

/** One connection to an endpoint that the test plays. */
class Upstream implements ClientOwner {
  readonly origin = new FakeConnection();
  readonly engine = new Http1ClientConnection(this.origin, { head: HEAD_LIMITS, content: CONTENT_LIMITS }, this);
  readonly faults: unknown[] = [];
  /** In the pool. */
  kept = false;
  goneCalls = 0;

  constructor() {
    this.origin.handler = this.engine;
    upstreams.push(this);
  }

  idle(): void {
    if (this.kept) throw new Error("idle twice");
    this.kept = true;
  }

  gone(): void {
    this.goneCalls++;
    this.kept = false;
  }

  fault(thrown: unknown): void {
    this.faults.push(thrown);
  }

  send(request: HttpRequest, taker = new Taker()): Taker {
    this.kept = false;
    this.engine.send(request, "origin:80", FIRST_OCTET, IDLE, taker);
    settle();
    return taker;
  }

  get(method = "GET"): Taker {
    return this.send(request({ method }));
  }
}

let upstreams: Upstream[] = [];

afterEach(() => {
  const all = upstreams;
  upstreams = [];
  for (const upstream of all) {
    if (upstream.origin.fate === "open") upstream.engine.stop(new Failure("shutting-down", "end of the test"));
    expect(upstream.goneCalls).toBe(1);
    expect(upstream.faults).toEqual([]);
  }
});

interface Parts {
  readonly method?: string;
  readonly target?: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: BodySource;
}

function request({ method = "GET", target = "/", fields = {}, body = NO_BODY }: Parts = {}): HttpRequest {
  return new HttpRequest(method, "http", "client.example", target, FieldSection.of(fields), body);
}

const ok = (...lines: string[]): string => wire("HTTP/1.1 200 OK", ...lines, "", "");

describe("the request's octets (RFC 9112 §3, §6)", () => {
  test("are a head of our own, with the endpoint's Host", () => {
    const upstream = new Upstream();
    upstream.send(request({ target: "/a?b", fields: { "X-Case": "Y" } }));
    expect(upstream.origin.taken()).toBe(wire("GET /a?b HTTP/1.1", "host: origin:80", "X-Case: Y", "", ""));
  });

  test("leave out what is for the client's connection (RFC 9110 §7.6.1)", () => {
    const upstream = new Upstream();
    const fields = {
      Host: "evil",
      Connection: "close",
      "Keep-Alive": "5",
      "Proxy-Connection": "x",
      "Transfer-Encoding": "chunked",
      "Content-Length": "7",
      Upgrade: "h2c",
      "HTTP2-Settings": "x",
      TE: "gzip",
      A: "b",
    };
    upstream.send(request({ fields }));
    expect(upstream.origin.taken()).toBe(wire("GET / HTTP/1.1", "host: origin:80", "A: b", "", ""));
  });

  test("say that trailers are taken, or which protocol is asked for (RFC 9110 §10.1.4, §7.8)", () => {
    const upstream = new Upstream();
    const trailers = request();
    trailers.acceptsTrailers = true;
    upstream.send(trailers);
    expect(upstream.origin.taken()).toEndWith(wire("te: trailers", "connection: te", "", ""));
    const upgrade = request();
    upgrade.upgrade = "websocket";
    const other = new Upstream();
    other.send(upgrade);
    expect(other.origin.taken()).toEndWith(wire("connection: upgrade", "upgrade: websocket", "", ""));
  });

  test("add the gateway's own fields after the client's", () => {
    const upstream = new Upstream();
    const one = request({ fields: { A: "b" } });
    one.gatewayFields = FieldSection.of({ via: "1.1 lintel" });
    upstream.send(one);
    expect(upstream.origin.taken()).toEndWith(wire("A: b", "via: 1.1 lintel", "", ""));
  });

  test.each([
    ["no content", NO_BODY, false, []],
    ["no content, declared", NO_BODY, true, ["content-length: 0"]],
    ["content of known length", MemoryBody.text("hello"), false, ["content-length: 5"]],
  ])("%s", (_what, body, hasEmptyContent, lines) => {
    const upstream = new Upstream();
    const post = request({ method: "POST", body });
    post.hasEmptyContent = hasEmptyContent;
    upstream.send(post);
    const content = body === NO_BODY ? "" : "hello";
    expect(upstream.origin.taken()).toBe(wire("POST / HTTP/1.1", "host: origin:80", ...lines, "", content));
  });

  test("content of unknown length goes in chunks, with its trailers", () => {
    const upstream = new Upstream();
    const source = new HandSource();
    upstream.send(request({ method: "POST", body: source }));
    source.write("hello").write("").write("x".repeat(16));
    source.end(FieldSection.of({ A: "b", "Content-Length": "9" }));
    expect(upstream.origin.taken()).toBe(
      wire("POST / HTTP/1.1", "host: origin:80", "transfer-encoding: chunked", "") +
        wire("", "5", "hello", "10", "x".repeat(16), "0", "A: b", "", ""),
    );
  });

  test.each([
    ["shorter", ["hell"]],
    ["longer", ["hell", "o!"]],
  ])("content %s than declared ends the connection: the next request must not begin in it", (_what, pieces) => {
    const upstream = new Upstream();
    const source = new HandSource(5);
    const taker = upstream.send(request({ method: "POST", body: source }));
    for (const piece of pieces) source.write(piece);
    if (source.cancelled === null) source.end();
    expect(upstream.origin.taken()).toEndWith("\r\n\r\nhell");
    expect(upstream.origin.fate).toBe("destroyed");
    expect(taker.told).toEqual(["internal"]);
  });

  test("content that is cut ends the connection, without a last chunk (RFC 9112 §8)", () => {
    const upstream = new Upstream();
    const source = new HandSource();
    const taker = upstream.send(request({ method: "POST", body: source }));
    source.write("hello").abort(new Failure("client-closed", "gone"));
    expect(upstream.origin.taken()).toEndWith("5\r\nhello\r\n");
    expect(upstream.origin.fate).toBe("destroyed");
    expect(taker.told).toEqual(["client-closed"]);
  });

  test("an endpoint that takes nothing pauses the content", () => {
    const upstream = new Upstream();
    const source = new HandSource();
    upstream.send(request({ method: "POST", body: source }));
    upstream.origin.stall();
    source.write("hello");
    expect(source.paused).toBe(true);
    upstream.origin.giveRoom();
    expect(source.paused).toBe(false);
  });
});

describe("the response's framing (RFC 9112 §6.3)", () => {
  test.each([
    ["a length", "GET", `${ok("Content-Length: 5")}hello`, "hello", true],
    ["length 0", "GET", ok("Content-Length: 0"), "", true],
    ["chunks", "GET", `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n\r\n`, "hello", true],
    ["no chunk but the last", "GET", `${ok("Transfer-Encoding: chunked")}0\r\n\r\n`, "", true],
    ["HEAD with a length", "HEAD", ok("Content-Length: 5"), "", true],
    ["HEAD with chunks", "HEAD", ok("Transfer-Encoding: chunked"), "", true],
    ["HEAD with both", "HEAD", ok("Transfer-Encoding: chunked", "Content-Length: 5"), "", true],
    ["204", "GET", wire("HTTP/1.1 204 No Content", "", ""), "", true],
    ["204 with a length", "GET", wire("HTTP/1.1 204 No Content", "Content-Length: 5", "", ""), "", true],
    ["304 with a length", "GET", wire("HTTP/1.1 304 Not Modified", "Content-Length: 5", "", ""), "", true],
    ["close", "GET", `${ok("Content-Length: 5", "Connection: close")}hello`, "hello", false],
    ["close in a list", "GET", `${ok("Content-Length: 5", "Connection: x, Close")}hello`, "hello", false],
    ["HTTP/1.0", "GET", `${wire("HTTP/1.0 200 OK", "Content-Length: 5", "", "")}hello`, "hello", false],
    [
      "HTTP/1.0 keep-alive",
      "GET",
      `${wire("HTTP/1.0 200 OK", "Content-Length: 5", "Connection: keep-alive", "", "")}hello`,
      "hello",
      true,
    ],
    // RFC 9112 §6.1: such framing is not to be trusted.
    [
      "HTTP/1.0 with chunks",
      "GET",
      `${wire("HTTP/1.0 200 OK", "Transfer-Encoding: chunked", "Connection: keep-alive", "", "")}0\r\n\r\n`,
      "",
      false,
    ],
  ])("%s", (_what, method, octets, content, kept) => {
    for (const pieces of everySplit(latin1(octets))) {
      const upstream = new Upstream();
      const taker = upstream.get(method);
      upstream.origin.arrive(...pieces.filter((piece) => piece.length > 0));
      expect(taker.sink.text).toBe(content);
      expect(taker.sink.ended).toBe("end");
      expect(taker.told.slice(1)).toEqual(["complete"]);
      expect([upstream.kept, upstream.origin.fate as string]).toEqual([kept, kept ? "open" : "closed"]);
      if (kept) upstream.engine.closeIdle();
      upstreams = [];
    }
  });

  test.each(["HEAD", "GET"])("a length without content is known: %s", (method) => {
    const upstream = new Upstream();
    const taker = upstream.get(method);
    upstream.origin.arrive(wire(`HTTP/1.1 ${method === "HEAD" ? 200 : 304} x`, "Content-Length: 5", "", ""));
    expect(taker.response!.body.length).toBe(5);
  });

  test("without framing it goes on until the end of the connection", () => {
    const upstream = new Upstream();
    const taker = upstream.get();
    upstream.origin.arrive(ok(), "hello", " world");
    expect(taker.result).toEqual([200, "hello world", ""]);
    upstream.origin.end();
    expect(taker.result).toEqual([200, "hello world", "end"]);
    expect([upstream.kept, upstream.origin.fate]).toEqual([false, "closed"]);
  });

  test("trailers come with its end", () => {
    const upstream = new Upstream();
    const taker = upstream.get();
    upstream.origin.arrive(`${ok("Transfer-Encoding: chunked")}1\r\nx\r\n0\r\nA: b\r\nSet-Cookie: c\r\n\r\n`);
    expect([taker.sink.text, taker.sink.trailers]).toEqual(["x", "A: b\r\n"]);
  });

  test("fields that Connection names are dropped (RFC 9110 §7.6.1)", () => {
    const upstream = new Upstream();
    const taker = upstream.get();
    upstream.origin.arrive(ok("Connection: X-Mine, keep-alive", "X-Mine: a", "X-Other: b", "Content-Length: 0"));
    expect(taker.response!.fields.has("x-mine")).toBe(false);
    expect(taker.response!.fields.get("x-other")).toBe("b");
  });

  test.each([
    ["both", "Content-Length: 5\r\nTransfer-Encoding: chunked"],
    ["two lengths", "Content-Length: 5\r\nContent-Length: 5"],
    ["no number", "Content-Length: x"],
    ["another coding", "Transfer-Encoding: gzip"],
    ["another coding under chunks", "Transfer-Encoding: gzip, chunked"],
    ["a folded line", "A: b\r\n c"],
    ["101 that nobody asked for", "101"],
  ])("refused: %s", (_what, lines) => {
    const upstream = new Upstream();
    const taker = upstream.get();
    upstream.origin.arrive(lines === "101" ? wire("HTTP/1.1 101 x", "Upgrade: x", "", "") : ok(lines));
    expect(taker.told).toEqual(["upstream-malformed"]);
    expect([upstream.goneCalls, upstream.origin.fate]).toEqual([1, "destroyed"]);
  });

  test("bad chunks in the middle of it cut the content", () => {
    const upstream = new Upstream();
    const taker = upstream.get();
    upstream.origin.arrive(`${ok("Transfer-Encoding: chunked")}1\r\nx\r\n`, "y\r\n");
    expect(taker.told).toEqual(["200", "upstream-malformed"]);
    expect(taker.result).toEqual([200, "x", "upstream-malformed"]);
  });
});

describe("reuse", () => {
  test("one connection carries requests after one another", () => {
    const upstream = new Upstream();
    for (const content of ["a", "b", "c"]) {
      const taker = upstream.get();
      upstream.origin.arrive(`${ok("Content-Length: 1")}${content}`);
      expect(taker.result).toEqual([200, content, "end"]);
      expect(upstream.kept).toBe(true);
    }
    expect(upstream.engine.requests).toBe(3);
  });

  test("a taker that was full at the last octets does not stop the next response", () => {
    const upstream = new Upstream();
    const taker = new Taker();
    taker.sink.onWrite = ({ flow }) => flow.pause();
    upstream.send(request(), taker);
    upstream.origin.arrive(`${ok("Content-Length: 1")}a`);
    expect(taker.sink.ended).toBe("end");
    expect([upstream.kept, upstream.origin.paused]).toEqual([true, false]);
    const next = upstream.get();
    upstream.origin.arrive(`${ok("Content-Length: 1")}b`);
    expect(next.result).toEqual([200, "b", "end"]);
  });

  test.each([
    ["a length", "GET", `${ok("Content-Length: 1")}x`],
    ["length 0", "GET", ok("Content-Length: 0")],
    ["chunks", "GET", `${ok("Transfer-Encoding: chunked")}1\r\nx\r\n0\r\n\r\n`],
    ["HEAD", "HEAD", ok("Content-Length: 1")],
    ["204", "GET", wire("HTTP/1.1 204 x", "", "")],
    ["304", "GET", wire("HTTP/1.1 304 x", "", "")],
  ])("octets after the response close the connection, in the same read or later: %s", (_what, method, octets) => {
    for (const pieces of [[`${octets}HTTP/1.1 200 OK\r\n`], [octets, "H"]]) {
      const upstream = new Upstream();
      const taker = upstream.get(method);
      upstream.origin.arrive(...pieces);
      expect(taker.told.slice(1)).toEqual(["complete"]);
      expect(taker.sink.ended).toBe("end");
      expect([upstream.kept, upstream.goneCalls]).toEqual([false, 1]);
    }
  });

  test("an idle connection that the endpoint closes leaves the pool", () => {
    for (const how of ["end", "lose"] as const) {
      const upstream = new Upstream();
      const taker = upstream.get();
      upstream.origin.arrive(ok("Content-Length: 0"));
      expect(upstream.kept).toBe(true);
      upstream.origin[how]();
      expect([upstream.kept, upstream.goneCalls]).toEqual([false, 1]);
      expect(taker.told).toEqual(["200", "complete"]);
    }
  });

  test("it rests for its time only", () => {
    const upstream = new Upstream();
    upstream.get();
    upstream.origin.arrive(ok("Content-Length: 0"));
    upstream.engine.rest(timerList(5000));
    pass(4999);
    expect(upstream.kept).toBe(true);
    pass(1);
    expect([upstream.kept, upstream.origin.fate]).toEqual([false, "closed"]);
  });

  test("the resting time does not run during the next exchange", () => {
    const upstream = new Upstream();
    upstream.get();
    upstream.origin.arrive(ok("Content-Length: 0"));
    upstream.engine.rest(timerList(5000));
    const taker = upstream.get();
    pass(10_000);
    upstream.origin.arrive(ok("Content-Length: 0"));
    expect(taker.told).toEqual(["200", "complete"]);
  });

  test("a final response before the request's end ends the connection, and the content with it", () => {
    for (const octets of [ok("Content-Length: 0"), `${ok("Content-Length: 1")}x`]) {
      const upstream = new Upstream();
      const source = new HandSource();
      const taker = upstream.send(request({ method: "POST", body: source }));
      source.write("a");
      upstream.origin.arrive(octets);
      expect(taker.told).toEqual(["200", "complete"]);
      expect([upstream.kept, upstream.origin.fate]).toEqual([false, "closed"]);
      source.write("b").end();
      expect(upstream.origin.taken()).toEndWith("1\r\na\r\n");
    }
  });

  test("a final response that is still flowing when the request ends keeps the connection", () => {
    const upstream = new Upstream();
    const source = new HandSource();
    const taker = upstream.send(request({ method: "POST", body: source }));
    upstream.origin.arrive(`${ok("Content-Length: 2")}x`);
    source.write("a").end();
    upstream.origin.arrive("y");
    expect(taker.result).toEqual([200, "xy", "end"]);
    expect(upstream.kept).toBe(true);
  });
});

describe("interim responses (RFC 9110 §15.2)", () => {
  test("come before the final one, however many", () => {
    const octets = latin1(
      wire("HTTP/1.1 100 Continue", "", "") +
        wire("HTTP/1.1 103 x", "Link: a", "Content-Length: 5", "Connection: B", "B: c", "", "") +
        wire("HTTP/1.1 199 x", "Transfer-Encoding: chunked", "", "") +
        `${ok("Content-Length: 1")}x`,
    );
    for (const pieces of everySplit(octets)) {
      const upstream = new Upstream();
      const taker = upstream.get();
      upstream.origin.arrive(...pieces.filter((piece) => piece.length > 0));
      expect(taker.interim.map((one) => one.slice(0, 3))).toEqual(["100", "103", "199"]);
      expect(taker.interim[1]).not.toContain("B: c");
      expect(taker.result).toEqual([200, "x", "end"]);
      expect(upstream.kept).toBe(true);
      upstream.engine.closeIdle();
      upstreams = [];
    }
  });

  test("a hundred for a request, and no more: each is kept for a client that does not read", () => {
    const hint = wire("HTTP/1.1 103 x", "Link: a", "", "");
    const upstream = new Upstream();
    for (const after of ["", hint]) {
      const taker = upstream.get();
      upstream.origin.arrive(hint.repeat(100) + after + (after === "" ? `${ok("Content-Length: 1")}x` : ""));
      expect(taker.interim).toHaveLength(100);
      if (after === "") expect(taker.result).toEqual([200, "x", "end"]);
      else expect(taker.told).toEqual(["upstream-malformed"]);
    }
    expect(upstream.origin.fate).not.toBe("open");
  });

  test("then nothing is not a response", () => {
    const upstream = new Upstream();
    const taker = upstream.get();
    upstream.origin.arrive(wire("HTTP/1.1 100 Continue", "", "")).end();
    expect(taker.told).toEqual(["upstream-closed"]);
  });
});

describe("content and its taker", () => {
  test("waits in the kernel until somebody takes it", () => {
    const upstream = new Upstream();
    const taker = new Taker();
    taker.eager = false;
    upstream.send(request(), taker);
    upstream.origin.arrive(`${ok("Content-Length: 9")}abc`, "def", "ghi");
    expect([upstream.origin.paused, upstream.origin.waiting]).toEqual([true, 6]);
    taker.take();
    expect(taker.result).toEqual([200, "abcdefghi", "end"]);
    expect(upstream.kept).toBe(true);
  });

  test("a taker that awaits the response gets the content in the same turn", () => {
    const upstream = new Upstream();
    const taker = new Taker();
    taker.eager = false;
    taker.onResponseTold = () => void Promise.resolve().then(() => taker.response!.body.sendTo(taker.sink));
    upstream.send(request(), taker);
    upstream.origin.arrive(`${ok("Content-Length: 3")}abc`);
    expect(taker.result).toEqual([200, "abc", "end"]);
  });

  test.each([
    ["ended", "end", "end"],
    ["was lost", "lose", "upstream-truncated"],
  ] as const)("a taker that comes after the connection %s learns it", (_what, how, ended) => {
    const upstream = new Upstream();
    const taker = new Taker();
    taker.eager = false;
    upstream.send(request(), taker);
    upstream.origin.arrive(ok());
    upstream.origin[how]();
    expect(taker.told.at(-1)).toBe(ended === "end" ? "complete" : ended);
    taker.take();
    expect(taker.sink.ended).toBe(ended);
  });

  test("a full taker pauses the endpoint, and nothing is lost or doubled", () => {
    const upstream = new Upstream();
    const taker = new Taker();
    taker.sink.onWrite = ({ flow }) => flow.pause();
    upstream.send(request(), taker);
    upstream.origin.arrive(`${ok("Transfer-Encoding: chunked")}3\r\nabc\r\n3\r\ndef\r\n`, "0\r\n\r\n");
    expect([taker.sink.text, upstream.origin.paused]).toEqual(["abc", true]);
    taker.sink.flow.resume();
    settle();
    expect(taker.sink.text).toBe("abcdef");
    taker.sink.flow.resume();
    settle();
    expect(taker.result).toEqual([200, "abcdef", "end"]);
  });

  test("a taker that pauses and goes on within one call gets the rest", () => {
    const upstream = new Upstream();
    const taker = new Taker();
    taker.sink.onWrite = ({ flow }) => {
      flow.pause();
      flow.resume();
    };
    upstream.send(request(), taker);
    upstream.origin.arrive(`${ok("Content-Length: 6")}abc`, "def");
    expect(taker.result).toEqual([200, "abcdef", "end"]);
  });

  test("a taker that wants no more closes the connection", () => {
    const upstream = new Upstream();
    const taker = upstream.get();
    upstream.origin.arrive(`${ok("Content-Length: 9")}abc`);
    taker.sink.flow.cancel(new Failure("client-closed", "gone"));
    expect([upstream.goneCalls, upstream.origin.fate]).toEqual([1, "destroyed"]);
    expect(taker.told).toEqual(["200", "client-closed"]);
    expect(taker.sink.ended).toBe("");
  });
});

describe("ends", () => {
  test.each([
    ["before a response", "", "end", ["upstream-closed"]],
    ["before a response", "", "lose", ["upstream-reset"]],
    ["in a head", "HTTP/1.1 200 OK\r\n", "end", ["upstream-closed"]],
    ["in a head", "HTTP/1.1 200 OK\r\n", "lose", ["upstream-reset"]],
    ["in content of known length", `${ok("Content-Length: 9")}abc`, "end", ["200", "upstream-truncated"]],
    ["in content of known length", `${ok("Content-Length: 9")}abc`, "lose", ["200", "upstream-truncated"]],
    ["in chunks", `${ok("Transfer-Encoding: chunked")}3\r\nabc\r\n`, "end", ["200", "upstream-truncated"]],
    ["before the last chunk's end", `${ok("Transfer-Encoding: chunked")}0\r\n`, "end", ["200", "upstream-truncated"]],
    ["in content up to the end of the connection", `${ok()}abc`, "lose", ["200", "upstream-truncated"]],
  ] as const)("%s (%j, %s): %j (RFC 9112 §8)", (_what, octets, how, told) => {
    const upstream = new Upstream();
    const taker = upstream.get();
    if (octets !== "") upstream.origin.arrive(octets);
    upstream.origin[how]();
    expect(taker.told).toEqual([...told]);
    expect(taker.sink.ended).toBe(told.length > 1 ? "upstream-truncated" : "");
    expect(upstream.goneCalls).toBe(1);
  });

  test("the request's content is cancelled when the endpoint goes", () => {
    const upstream = new Upstream();
    const source = new HandSource();
    const taker = upstream.send(request({ method: "POST", body: source }));
    source.write("a");
    upstream.origin.lose();
    expect(source.cancelled?.code).toBe("upstream-reset");
    expect(taker.told).toEqual(["upstream-reset"]);
  });

  test("an exchange that is called off closes the connection and hears nothing more", () => {
    const upstream = new Upstream();
    const source = new HandSource();
    const taker = upstream.send(request({ method: "POST", body: source }));
    upstream.engine.cancel();
    expect([upstream.goneCalls, upstream.origin.fate, taker.told]).toEqual([1, "destroyed", []]);
    source.write("late").end();
  });

  test("an endpoint that answers in time is waited for, and no longer", () => {
    const upstream = new Upstream();
    const taker = upstream.get();
    pass(19_999);
    expect(taker.told).toEqual([]);
    pass(1);
    expect(taker.told).toEqual(["upstream-first-octet-timeout"]);
    expect(upstream.origin.fate).toBe("destroyed");
  });

  test("a client's slow content is not the endpoint's fault, its own standstill is", () => {
    const upstream = new Upstream();
    const source = new HandSource();
    const taker = upstream.send(request({ method: "POST", body: source }));
    pass(100_000);
    source.write("a");
    pass(100_000);
    expect(taker.told).toEqual([]);
    upstream.origin.stall();
    source.write("b");
    pass(20_000);
    expect(taker.told).toEqual(["upstream-first-octet-timeout"]);
  });

  test("content that stops is waited for, and no longer; a full taker stops the clock", () => {
    const upstream = new Upstream();
    const taker = upstream.get();
    upstream.origin.arrive(ok("Content-Length: 9"));
    pass(39_999);
    upstream.origin.arrive("a");
    pass(39_999);
    taker.sink.flow.pause();
    pass(1_000_000);
    taker.sink.flow.resume();
    pass(39_999);
    expect(taker.sink.ended).toBe("");
    pass(1);
    expect(taker.sink.ended).toBe("upstream-idle-timeout");
  });

  test.each(["", "some"])(
    "content that nobody takes does not hold the connection for ever (%j came with the head)",
    (early) => {
      const upstream = new Upstream();
      const taker = new Taker();
      taker.eager = false;
      upstream.send(request(), taker);
      upstream.origin.arrive(ok("Content-Length: 9") + early);
      pass(40_000);
      expect(taker.told).toEqual(["200", "upstream-idle-timeout"]);
      expect(upstream.origin.fate).toBe("destroyed");
    },
  );
});

describe("tunnels (RFC 9110 §7.8, §9.3.6)", () => {
  function tunnel(early = "") {
    const upstream = new Upstream();
    const upgrade = request();
    upgrade.upgrade = "echo/1";
    const taker = new Taker();
    const fromClient = new HandSource();
    taker.onResponseTold = () => taker.response!.tunnel!.accept(fromClient);
    upstream.send(upgrade, taker);
    upstream.origin.taken();
    upstream.origin.arrive(
      wire("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: echo/1", "", early),
    );
    return { upstream, taker, fromClient };
  }

  test("octets pass both ways without framing", () => {
    const { upstream, taker, fromClient } = tunnel("early");
    fromClient.write("GET / HTTP/1.1\r\n\r\n");
    upstream.origin.arrive("HTTP/1.1 200 OK\r\n\r\n");
    expect(upstream.origin.taken()).toBe("GET / HTTP/1.1\r\n\r\n");
    expect(taker.sink.text).toBe("earlyHTTP/1.1 200 OK\r\n\r\n");
  });

  test("CONNECT opens one with any 2xx", () => {
    const upstream = new Upstream();
    const taker = new Taker();
    const fromClient = new HandSource();
    taker.onResponseTold = () => taker.response!.tunnel!.accept(fromClient);
    upstream.send(request({ method: "CONNECT", target: "a:1" }), taker);
    upstream.origin.arrive(`${ok("Content-Length: 0")}x`);
    fromClient.write("y");
    expect([taker.sink.text, upstream.origin.taken().slice(-1)]).toEqual(["x", "y"]);
  });

  test("a refused CONNECT is a response like any other", () => {
    const upstream = new Upstream();
    const taker = upstream.get("CONNECT");
    upstream.origin.arrive(`${wire("HTTP/1.1 403 No", "Content-Length: 2", "", "")}no`);
    expect(taker.result).toEqual([403, "no", "end"]);
    expect(upstream.kept).toBe(true);
  });

  test("the client's end is the endpoint's, and the rest still comes", () => {
    const { upstream, taker, fromClient } = tunnel();
    fromClient.write("bye").end();
    expect([upstream.origin.writingEnded, upstream.origin.fate]).toEqual([true, "open"]);
    upstream.origin.arrive("rest").end();
    expect(taker.result).toEqual([101, "rest", "end"]);
    expect([upstream.origin.fate, upstream.goneCalls]).toEqual(["closed", 1]);
  });

  test("the endpoint's end is the client's, and the rest still goes", () => {
    const { upstream, taker, fromClient } = tunnel();
    upstream.origin.end();
    expect([taker.sink.ended, upstream.origin.fate]).toEqual(["end", "open"]);
    fromClient.write("rest").end();
    expect(upstream.origin.taken()).toBe("rest");
    expect([upstream.origin.fate, upstream.goneCalls]).toEqual(["closed", 1]);
  });

  test("one end lost is the other end's reset", () => {
    const { upstream, fromClient } = tunnel();
    fromClient.abort(new Failure("client-closed", "gone"));
    expect(upstream.origin.fate).toBe("reset");
    const other = tunnel();
    other.upstream.origin.lose();
    expect(other.taker.sink.ended).toBe("upstream-truncated");
    expect(other.fromClient.cancelled?.code).toBe("upstream-truncated");
  });

  test("no limit of an ordinary exchange ends it", () => {
    const { upstream } = tunnel();
    pass(10_000_000);
    expect(upstream.origin.fate).toBe("open");
  });
});

// ── properties ───────────────────────────────────────────────────────────────────────────────

const piece = fc.constantFrom(
  ok("Content-Length: 5"),
  ok("Content-Length: 0"),
  ok("Transfer-Encoding: chunked"),
  ok(),
  wire("HTTP/1.1 100 Continue", "", ""),
  wire("HTTP/1.1 204 No Content", "", ""),
  wire("HTTP/1.0 200 OK", "", ""),
  "HTTP/1.1 200",
  "\r\n",
  "hello",
  "5\r\nhello\r\n",
  "0\r\n\r\n",
  "\x00",
);

test("whatever an endpoint sends, however cut: each exchange ends once, the connection too, and the same is heard", () => {
  fc.assert(
    fc.property(
      fc.array(piece, { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
      fc.constantFrom("GET", "HEAD"),
      (pieces, cuts, method) => {
        const octets = latin1(pieces.join(""));
        const heard = [[octets], cut(octets, cuts)].map((split) => {
          const upstream = new Upstream();
          const taker = upstream.get(method);
          upstream.origin.arrive(...split).end();
          const { told, interim, result } = taker;
          const final = told.filter((one) => one !== String(taker.response?.status));
          expect(final).toHaveLength(1);
          expect([upstream.goneCalls, upstream.faults]).toEqual([1, []]);
          upstreams = [];
          return { told, interim, result };
        });
        expect(heard[1]).toEqual(heard[0]!);
      },
    ),
    { numRuns: RUNS },
  );
});

describe("content that this process need not see", () => {
  /** Says how it takes octets. */
  class UnseeingSink extends HandSink {
    takesUnseen: boolean | undefined;
    writeUnseen(): void {}
  }

  const unseenBy = (sink: HandSink): number => {
    const upstream = new Upstream();
    const taker = new Taker();
    taker.eager = false;
    upstream.send(request(), taker);
    upstream.origin.arrive(ok("Content-Length: 1048576"));
    settle();
    taker.response!.body.sendTo(sink);
    return upstream.engine.unseen;
  };

  test("is offered to a sink that takes it", () => {
    expect(unseenBy(new UnseeingSink())).toBe(1_048_576);
  });

  test("is read for a sink that would have to encrypt it, and for one that looks at it", () => {
    const encrypting = new UnseeingSink();
    encrypting.takesUnseen = false;
    expect(unseenBy(encrypting)).toBe(0);
    expect(unseenBy(new HandSink())).toBe(0);
  });
});

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure, type FailureCode } from "../../base/failure.ts";
import { HeadDecoder, type HeadLimits } from "./head-decoder.ts";
import { everySplit, HEAD_LIMITS, latin1, RUNS, wire } from "./testing.ts";

type Side = "request" | "response";

const decoders = { request: new HeadDecoder("request"), response: new HeadDecoder("response") };

/** "incomplete", "complete", or the code of the failure. Anything else that is thrown fails the test. */
function verdict(side: Side, octets: Uint8Array, limits = HEAD_LIMITS): FailureCode | "complete" | "incomplete" {
  // Octets before and after must not matter.
  const room = Buffer.concat([latin1("\r\n"), octets, latin1("\r\n\r\nX: y")]);
  const end = 2 + octets.length;
  const decoder = decoders[side];
  try {
    const complete =
      side === "request" ? decoder.decodeRequest(room, 2, end, limits) : decoder.decodeResponse(room, 2, end, limits);
    if (complete) expect(decoder.end).toBeLessThanOrEqual(end);
    return complete ? "complete" : "incomplete";
  } catch (thrown) {
    if (thrown instanceof Failure) return thrown.code;
    throw thrown;
  }
}

/** Decodes a complete head; every beginning of it must be incomplete. */
function decoded(side: Side, head: string, limits = HEAD_LIMITS): HeadDecoder {
  const octets = latin1(head);
  for (let length = 0; length < octets.length; length++) {
    expect([length, verdict(side, octets.subarray(0, length), limits)]).toEqual([length, "incomplete"]);
  }
  expect(verdict(side, octets, limits)).toBe("complete");
  expect(decoders[side].end).toBe(2 + octets.length);
  return decoders[side];
}

/** The code of a bad head; once a beginning of it is refused, all longer ones are, with the same code. */
function refusal(side: Side, head: string, limits = HEAD_LIMITS): string {
  const octets = latin1(head);
  const verdicts = Array.from({ length: octets.length + 1 }, (_, length) =>
    verdict(side, octets.subarray(0, length), limits),
  );
  const first = verdicts.findIndex((one) => one !== "incomplete");
  expect(first).toBeGreaterThan(0);
  expect(new Set(verdicts.slice(first)).size).toBe(1);
  return verdicts[first]!;
}

const get = (...fieldLines: string[]): string => wire("GET / HTTP/1.1", ...fieldLines, "", "");
const ok = (...fieldLines: string[]): string => wire("HTTP/1.1 200 OK", ...fieldLines, "", "");

describe("request line (RFC 9112 §3)", () => {
  test.each([
    ["GET / HTTP/1.1", "GET", "/", 11],
    ["POST /a?b=c HTTP/1.1", "POST", "/a?b=c", 11],
    ["G / HTTP/1.0", "G", "/", 10],
    ["GETS / HTTP/1.1", "GETS", "/", 11],
    ["get / HTTP/1.1", "get", "/", 11],
    ["POS / HTTP/1.1", "POS", "/", 11],
    ["!#$%&'*+-.^_`|~9 / HTTP/1.1", "!#$%&'*+-.^_`|~9", "/", 11],
    ["OPTIONS * HTTP/1.1", "OPTIONS", "*", 11],
    ["GET http://a:80/b HTTP/1.1", "GET", "http://a:80/b", 11],
    ["CONNECT a:443 HTTP/1.1", "CONNECT", "a:443", 11],
    ["GET /%00%ff HTTP/1.1", "GET", "/%00%ff", 11],
    ["GET /{}|^`[]';:@!$&()*+,=~ HTTP/1.1", "GET", "/{}|^`[]';:@!$&()*+,=~", 11],
  ])("%j", (line, method, target, version) => {
    expect(decoded("request", wire(line, "", ""))).toMatchObject({ method, target, version, host: null });
  });

  test.each(["HTTP/1.2", "HTTP/1.9"])("%s is spoken as HTTP/1.1 (RFC 9110 §2.5)", (version) => {
    expect(decoded("request", wire(`GET / ${version}`, "", "")).version).toBe(11);
  });

  test("one empty line before it is ignored, a second is not (RFC 9112 §2.2)", () => {
    expect(decoded("request", `\r\n${get()}`).method).toBe("GET");
    expect(refusal("request", `\r\n\r\n${get()}`)).toBe("request-malformed");
    expect(refusal("request", `\n${get()}`)).toBe("request-malformed");
    expect(refusal("request", `\r${get()}`)).toBe("request-malformed");
  });

  test.each([
    ["HTTP/0.9", "GET /\r\n"],
    ["HTTP/0.9 with a space", "GET / \r\n"],
    ["HTTP/0.9 with a bare LF", "GET /\n"],
    ["no method", " / HTTP/1.1\r\n\r\n"],
    ["no target", "GET  HTTP/1.1\r\n\r\n"],
    ["nothing but a method", "GET\r\n\r\n"],
    ["two spaces before the target", "GET  / HTTP/1.1\r\n\r\n"],
    ["two spaces after the target", "GET /  HTTP/1.1\r\n\r\n"],
    ["a tab for a space", "GET\t/ HTTP/1.1\r\n\r\n"],
    ["a tab after the target", "GET /\tHTTP/1.1\r\n\r\n"],
    ["a vertical tab for a space", "GET\x0b/ HTTP/1.1\r\n\r\n"],
    ["a space before the method", " GET / HTTP/1.1\r\n\r\n"],
    ["a space after the version", "GET / HTTP/1.1 \r\n\r\n"],
    ["a space within the target", "GET /a b HTTP/1.1\r\n\r\n"],
    ["a bare LF at its end", "GET / HTTP/1.1\nHost: a\r\n\r\n"],
    ["a bare CR at its end", "GET / HTTP/1.1\rHost: a\r\n\r\n"],
    ["CR CR LF at its end", "GET / HTTP/1.1\r\r\n\r\n"],
    ["a bare CR in the target", "GET /a\rb HTTP/1.1\r\n\r\n"],
    ["a bare LF in the target", "GET /a\nb HTTP/1.1\r\n\r\n"],
    ["NUL in the target", "GET /\x00 HTTP/1.1\r\n\r\n"],
    ["DEL in the target", "GET /\x7f HTTP/1.1\r\n\r\n"],
    ["a raw 8-bit octet in the target", "GET /\xe4 HTTP/1.1\r\n\r\n"],
    ["raw UTF-8 in the target", "GET /\xc3\xa4 HTTP/1.1\r\n\r\n"],
    ["a lone surrogate as UTF-8 in the target", "GET /\xed\xa0\x80 HTTP/1.1\r\n\r\n"],
    ["a fragment", "GET /a#b HTTP/1.1\r\n\r\n"],
    ["a backslash", "GET /a\\b HTTP/1.1\r\n\r\n"],
    ["a quote", 'GET /a"b HTTP/1.1\r\n\r\n'],
    ["angle brackets", "GET /<b> HTTP/1.1\r\n\r\n"],
    ["NUL in the method", "G\x00T / HTTP/1.1\r\n\r\n"],
    ["an 8-bit octet in the method", "G\xc4T / HTTP/1.1\r\n\r\n"],
    ["a separator in the method", "G(T / HTTP/1.1\r\n\r\n"],
    ["a colon in the method", "GET: / HTTP/1.1\r\n\r\n"],
    ["the version in lower case", "GET / http/1.1\r\n\r\n"],
    ["another protocol", "GET / FTP/1.1\r\n\r\n"],
    ["two digits", "GET / HTTP/1.10\r\n\r\n"],
    ["two digits before the dot", "GET / HTTP/01.1\r\n\r\n"],
    ["one digit", "GET / HTTP/1\r\n\r\n"],
    ["no digit", "GET / HTTP/\r\n\r\n"],
    ["no slash", "GET / HTTP\r\n\r\n"],
    ["a letter in the version", "GET / HTTP/1.x\r\n\r\n"],
    ["a comma in the version", "GET / HTTP/1,1\r\n\r\n"],
    ["a TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["a response", "HTTP/1.1 200 OK\r\n\r\n"],
  ])("%s is refused", (_what, head) => {
    expect(refusal("request", head)).toBe("request-malformed");
  });

  test.each([
    ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["HTTP/2.0", "GET / HTTP/2.0\r\n\r\n"],
    ["HTTP/3.0", "GET / HTTP/3.0\r\n\r\n"],
    ["HTTP/0.9 by name", "GET / HTTP/0.9\r\n\r\n"],
    ["HTTP/2.0 and rubbish", "GET / HTTP/2.0 x"],
  ])("%s is answered 505 (RFC 9110 §15.6.6)", (_what, head) => {
    expect(refusal("request", head)).toBe("http-version-unsupported");
  });
});

describe("status line (RFC 9112 §4)", () => {
  test.each([
    ["HTTP/1.1 200 OK", 200, 11],
    ["HTTP/1.0 404 Not Found", 404, 10],
    ["HTTP/1.1 200 ", 200, 11],
    ["HTTP/1.1 200", 200, 11],
    ["HTTP/1.2 200 OK", 200, 11],
    ["HTTP/1.1 100 Continue", 100, 11],
    ["HTTP/1.1 103 Early Hints", 103, 11],
    ["HTTP/1.1 999 \xe4\t~", 999, 11],
    ["HTTP/1.1 200  two spaces", 200, 11],
  ])("%j", (line, status, version) => {
    expect(decoded("response", wire(line, "", ""))).toMatchObject({ status, version });
  });

  test.each([
    "HTTP/1.1 99 Low",
    "HTTP/1.1 099 Low",
    "HTTP/1.1 000 None",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2x0 OK",
    "HTTP/1.1 -20 OK",
    "HTTP/1.1  200 OK",
    "HTTP/1.1\t200 OK",
    "HTTP/1.1 200\tOK",
    "HTTP/1.1 200OK",
    "HTTP/1.1 OK 200",
    "HTTP/1.1",
    "HTTP/1.1 ",
    "HTTP/2.0 200 OK",
    "HTTP/2 200 OK",
    "http/1.1 200 OK",
    "ICY 200 OK",
    " HTTP/1.1 200 OK",
    "\r\nHTTP/1.1 200 OK",
    "HTTP/1.1 200 O\x00K",
    "HTTP/1.1 200 O\x7fK",
    "HTTP/1.1 200 OK\rX",
    "HTTP/1.1 200 O\nK",
    "<html>no HTTP at all</html>",
  ])("%j is refused", (line) => {
    expect(refusal("response", wire(line, "", ""))).toBe("upstream-malformed");
  });

  test("a bare LF is refused", () => {
    expect(refusal("response", "HTTP/1.1 200 OK\nA: b\n\n")).toBe("upstream-malformed");
  });

  test("one longer than the limit is refused", () => {
    const limits = { ...HEAD_LIMITS, requestLineOctets: 20 };
    expect(decoded("response", wire("HTTP/1.1 200 Perfect", "", ""), limits).status).toBe(200);
    expect(refusal("response", wire("HTTP/1.1 200 Perfectt", "", ""), limits)).toBe("upstream-malformed");
  });
});

describe("field lines (RFC 9112 §5, RFC 9110 §5.5, §5.6.2)", () => {
  test.each([
    ["A: b", "A: b"],
    ["A:b", "A: b"],
    ["A: \t b \t ", "A: b"],
    ["A:", "A: "],
    ["A: ", "A: "],
    ["A:  ", "A: "],
    ["A: b  c\td", "A: b  c\td"],
    ["A: \xe4\xff\x80", "A: \xe4\xff\x80"],
    ["A: \xa0b\xa0", "A: \xa0b\xa0"],
    ["A: b: c", "A: b: c"],
    ["A: :", "A: :"],
    ["A::", "A: :"],
    ["!#$%&'*+-.^_`|~0Az: b", "!#$%&'*+-.^_`|~0Az: b"],
    ['A: "b\\"c', 'A: "b\\"c'],
  ])("%j is written as %j", (line, canonical) => {
    for (const side of ["request", "response"] as const) {
      const head = side === "request" ? get(line, "Z: z") : ok(line, "Z: z");
      expect(decoded(side, head).fields.toString()).toBe(wire(canonical, "Z: z", ""));
    }
  });

  test.each([
    ["obs-fold (RFC 9112 §5.2)", "A: b\r\n c: d"],
    ["obs-fold by a tab", "A: b\r\n\tc: d"],
    ["obs-fold of a blank line", "A: b\r\n  "],
    ["a fold right after the start line", " A: b"],
    ["a space before the colon (RFC 9112 §5.1)", "A : b"],
    ["a tab before the colon", "A\t: b"],
    ["a space in the name", "A B: c"],
    ["no colon", "A"],
    ["no name", ": b"],
    ["a colon alone", ":"],
    ["a bare LF at its end", "A: b\nC: d"],
    ["a bare LF after the name", "A\nC: d"],
    ["a bare LF for the empty line", "A: b\r\n\nC: d"],
    ["a bare CR in the value", "A: b\rC: d"],
    ["a bare CR at the end of the value", "A: b\r\r\nC: d"],
    ["a bare CR at the start of a line", "A: b\r\n\rC: d"],
    ["a bare CR in the name", "A\rB: c"],
    ["NUL in the value", "A: b\x00c"],
    ["NUL in the name", "A\x00: b"],
    ["a control octet in the value", "A: b\x01"],
    ["a vertical tab before the value", "A:\x0bb"],
    ["a form feed after the value", "A: b\x0c"],
    ["DEL in the value", "A: \x7f"],
    ["ESC in the value", "A: \x1b[0m"],
    ["an 8-bit octet in the name", "\xc4: b"],
    ["a no-break space after the name", "A\xa0: b"],
    ["a parenthesis in the name", "A(b): c"],
    ["a quote in the name", '"A": b'],
    ["a slash in the name", "A/b: c"],
    ["a bracket in the name", "A[0]: b"],
    ["a second request line", "GET / HTTP/1.1"],
  ])("%s is refused", (_what, line) => {
    expect(refusal("request", get("Y: y", line, "Z: z"))).toBe("request-malformed");
    expect(refusal("request", get(line, "Z: z"))).toBe("request-malformed");
    expect(refusal("response", ok(line, "Z: z"))).toBe("upstream-malformed");
  });

  test("known names are known in any case, and only whole", () => {
    const { fields } = decoded("request", get("hOST: a", "Hos: b", "Hostt: c", "cOOkie: d", "X-rEAL-iP: e"));
    expect([...fields]).toEqual([
      ["host", "a"],
      ["hos", "b"],
      ["hostt", "c"],
      ["cookie", "d"],
      ["x-real-ip", "e"],
    ]);
    expect([fields.get("host"), fields.get("cookie"), fields.get("x-real-ip")]).toEqual(["a", "d", "e"]);
  });

  test("facts of one head do not leak into the next", () => {
    const full = get(
      "Host: a",
      "Content-Length: 5",
      "Connection: close, upgrade, x",
      "Upgrade: u",
      "TE: trailers",
      "Expect: 100-continue",
    );
    decoded("request", full);
    expect(decoded("request", get())).toMatchObject({
      host: null,
      contentLength: -1,
      chunked: false,
      hasTransferEncoding: false,
      close: false,
      keepAlive: false,
      upgradeOption: false,
      otherOptions: null,
      upgrade: null,
      expectContinue: false,
      teTrailers: false,
    });
  });
});

describe("Host (RFC 9112 §3.2)", () => {
  test("its value is kept as sent", () => {
    expect(decoded("request", get("Host: A.example:80 ")).host).toBe("A.example:80");
    expect(decoded("request", get("Host:")).host).toBe("");
  });

  test.each([
    ["equal", ["Host: a", "Host: a"]],
    ["unequal", ["Host: a", "Host: b"]],
    ["in other case", ["Host: a", "hOST: a"]],
    ["with others between", ["Host: a", "X: y", "Host: a"]],
    ["one of them empty", ["Host:", "Host: a"]],
  ])("two are refused: %s", (_what, lines) => {
    expect(refusal("request", get(...lines))).toBe("request-malformed");
  });

  test("in a response it means nothing", () => {
    expect(decoded("response", ok("Host: a", "Host: b")).host).toBeNull();
  });
});

describe("Content-Length (RFC 9112 §6.3, RFC 9110 §8.6)", () => {
  test.each([
    ["0", 0],
    ["5", 5],
    ["00000000000000000000005", 5],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ])("%s", (value, octets) => {
    expect(decoded("request", get(`Content-Length: ${value}`)).contentLength).toBe(octets);
    expect(decoded("response", ok(`content-length:\t${value} `)).contentLength).toBe(octets);
  });

  test.each([
    "",
    "+5",
    "-0",
    "-5",
    "5.0",
    "5e1",
    "0x5",
    "5 5",
    "5, 5",
    "5,5",
    "5;",
    '"5"',
    "1_0",
    "\xb2",
    "\xa05",
    "five",
    "9007199254740992",
    "9007199254740993",
    "18446744073709551616",
    "9".repeat(400),
  ])("%j is refused", (value) => {
    expect(refusal("request", get(`Content-Length: ${value}`))).toBe("request-malformed");
    expect(refusal("response", ok(`Content-Length: ${value}`))).toBe("upstream-malformed");
  });

  test.each([
    ["equal", "5"],
    ["unequal", "6"],
    ["equal in value", "05"],
  ])("two are refused: %s", (_what, second) => {
    expect(refusal("request", get("Content-Length: 5", `content-length: ${second}`))).toBe("request-malformed");
    expect(refusal("response", ok("Content-Length: 5", `content-length: ${second}`))).toBe("upstream-malformed");
  });
});

describe("Transfer-Encoding (RFC 9112 §6.1, §7)", () => {
  test.each(["chunked", "CHUNKED", "Chunked", " chunked\t"])("%j is chunked", (value) => {
    const fact = { chunked: true, hasTransferEncoding: true };
    expect(decoded("request", get(`Transfer-Encoding: ${value}`))).toMatchObject(fact);
    expect(decoded("response", ok(`Transfer-Encoding: ${value}`))).toMatchObject(fact);
  });

  test.each([
    "",
    "identity",
    "gzip",
    "chunked, chunked",
    "chunked,",
    ",chunked",
    "chunked, gzip",
    "chunked;q=1",
    '"chunked"',
    "chunke",
    "chunkedd",
    "x chunked",
    "chunked x",
    "\xa0chunked",
    "chunked\xa0",
    "chunked, identity",
    "gzip, chunked, chunked",
    "chunked, gzip, chunked",
    "chunked;q=1, chunked",
    "gzip, chunked;q=1",
    "gzip,, chunked",
    "gzip, deflate",
    "gzip deflate, chunked",
    'gzip;q="a, b", chunked',
    "gzip;q, chunked",
    "gzip, chunked, deflate",
  ])("%j is refused: where the message ends is not clear (RFC 9112 §6.1, §6.3)", (value) => {
    expect(refusal("request", get(`Transfer-Encoding: ${value}`))).toBe("request-malformed");
    expect(refusal("response", ok(`Transfer-Encoding: ${value}`))).toBe("upstream-malformed");
  });

  test.each([
    "gzip, chunked",
    "identity,chunked",
    "X-Own , chunked",
    "gzip, deflate, chunked",
    "gzip;level=9 ; x=y,\tDeflate,CHUNKED",
    "xchunked, chunkedx, chunked",
  ])("%j is one or more other codings under the chunks: 501 (RFC 9112 §6.1)", (value) => {
    expect(refusal("request", get(`Transfer-Encoding: ${value}`))).toBe("transfer-coding-unsupported");
    expect(refusal("response", ok(`Transfer-Encoding: ${value}`))).toBe("upstream-malformed");
  });

  test.each(["gzip, chunked", "gzip, deflate, chunked"])(
    "%j in a request whose framing is faulty besides is left to that (RFC 9112 §6.1, §6.3)",
    (value) => {
      const field = `Transfer-Encoding: ${value}`;
      const fact = { chunked: false, hasTransferEncoding: true };
      expect(decoded("request", get(field, "Content-Length: 3"))).toMatchObject({ ...fact, contentLength: 3 });
      expect(decoded("request", get("Content-Length: 3", field))).toMatchObject({ ...fact, contentLength: 3 });
      expect(decoded("request", get(field).replace("HTTP/1.1", "HTTP/1.0"))).toMatchObject({ ...fact, version: 10 });
      // And it says nothing about the next one.
      expect(refusal("request", get(field))).toBe("transfer-coding-unsupported");
      expect(decoded("request", get("A: b"))).toMatchObject({ chunked: false, hasTransferEncoding: false });
    },
  );

  test("two lines are refused", () => {
    const lines = ["Transfer-Encoding: chunked", "transfer-encoding: chunked"];
    expect(refusal("request", get(...lines))).toBe("request-malformed");
    expect(refusal("response", ok(...lines))).toBe("upstream-malformed");
    expect(refusal("request", get("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"))).toBe("request-malformed");
  });
});

describe("connection options (RFC 9110 §7.6.1)", () => {
  const none = { close: false, keepAlive: false, upgradeOption: false, otherOptions: null };

  test.each([
    [["close"], { close: true }],
    [["Close"], { close: true }],
    [["keep-alive"], { keepAlive: true }],
    [["Keep-Alive, Close"], { keepAlive: true, close: true }],
    [["keep-alive", "close"], { keepAlive: true, close: true }],
    [["Upgrade"], { upgradeOption: true }],
    [["upgrade, X-Mine, TE"], { upgradeOption: true, otherOptions: ["x-mine"] }],
    [["a", "B ,\tc"], { otherOptions: ["a", "b", "c"] }],
    [["closed"], { otherOptions: ["closed"] }],
    [["close\xa0"], { otherOptions: ["close\xa0"] }],
    [[""], {}],
    [[" , ,"], {}],
    [["te"], {}],
  ])("%j", (values, facts) => {
    const lines = values.map((value) => `Connection: ${value}`);
    expect(decoded("request", get(...lines))).toMatchObject({ ...none, ...facts });
    expect(decoded("response", ok(...lines))).toMatchObject({ ...none, ...facts });
  });
});

describe("Expect (RFC 9110 §10.1.1)", () => {
  test.each(["100-continue", "100-Continue"])("%s", (value) => {
    expect(decoded("request", get(`Expect: ${value}`)).expectContinue).toBe(true);
  });

  test.each(["", "200-ok", "100-continue, x", "100-continue;q=1", "100"])("%j is answered 417", (value) => {
    expect(refusal("request", get(`Expect: ${value}`))).toBe("expectation-failed");
  });

  test("in a response it means nothing", () => {
    expect(decoded("response", ok("Expect: anything")).expectContinue).toBe(false);
  });
});

describe("Upgrade and TE (RFC 9110 §7.8, §10.1.4)", () => {
  test("the protocols asked for", () => {
    expect(decoded("request", get("Upgrade: WebSocket, x/2")).upgrade).toBe("WebSocket, x/2");
  });

  test.each([
    [["trailers"], true],
    [["Trailers"], true],
    [["gzip, trailers"], true],
    [["trailers, gzip;q=0.5"], true],
    [["trailers", "gzip"], true],
    [["gzip", "trailers"], true],
    [["gzip"], false],
    [["xtrailers"], false],
    [["trailersx"], false],
    [[""], false],
  ])("TE: %j", (values, teTrailers) => {
    expect(decoded("request", get(...values.map((value) => `TE: ${value}`))).teTrailers).toBe(teTrailers);
  });
});

describe("trailers (RFC 9110 §6.5)", () => {
  test("are fields that say nothing about framing or the connection", () => {
    const decoder = new HeadDecoder("request");
    const octets = latin1(wire("Content-Length: x", "Host: a", "Host: b", "Expect: y", "Transfer-Encoding: z", "", ""));
    expect(decoder.decodeTrailers(octets, 0, octets.length, HEAD_LIMITS)).toBe(true);
    expect(decoder).toMatchObject({ host: null, contentLength: -1, hasTransferEncoding: false, end: octets.length });
    expect(decoder.fields.size).toBe(5);
  });
});

describe("limits", () => {
  const limits: HeadLimits = { requestLineOctets: 30, fieldLineOctets: 20, fieldSectionOctets: 60, fieldCount: 4 };
  const line = (octets: number): string => `A: ${"b".repeat(octets - 3)}`;
  const target = (octets: number): string => `GET /${"a".repeat(octets - 14)} HTTP/1.1`;

  test("request line: 414 (RFC 9110 §15.5.15)", () => {
    expect(decoded("request", wire(target(30), "", ""), limits).target).toBe(`/${"a".repeat(16)}`);
    expect(decoded("request", `\r\n${wire(target(30), "", "")}`, limits).method).toBe("GET");
    expect(refusal("request", wire(target(31), "", ""), limits)).toBe("request-line-too-long");
    expect(refusal("request", wire(target(300), "", ""), limits)).toBe("request-line-too-long");
    expect(refusal("request", `${"A".repeat(40)} / HTTP/1.1\r\n\r\n`, limits)).toBe("request-line-too-long");
    expect(refusal("request", `${"A".repeat(40)}\x00`, limits)).toBe("request-line-too-long");
    expect(refusal("request", `GET /${"a".repeat(40)}\x00`, limits)).toBe("request-line-too-long");
    expect(refusal("request", `GET /${"a".repeat(16)} HTTP/2.00`, limits)).toBe("http-version-unsupported");
  });

  test("an unfinished request line is refused as soon as it is sure to be too long", () => {
    expect(verdict("request", latin1("A".repeat(30)), limits)).toBe("incomplete");
    expect(verdict("request", latin1("A".repeat(31)), limits)).toBe("request-line-too-long");
    expect(verdict("request", latin1(`GET /${"a".repeat(25)}`), limits)).toBe("incomplete");
    expect(verdict("request", latin1(`GET /${"a".repeat(26)}`), limits)).toBe("request-line-too-long");
    expect(verdict("request", latin1(`${target(30)}\r`), limits)).toBe("incomplete");
  });

  test.each(["request", "response"] as const)("field line of a %s: 431 (RFC 6585 §5)", (side) => {
    const head = side === "request" ? get : ok;
    const code = side === "request" ? "fields-too-large" : "upstream-malformed";
    expect(decoded(side, head(line(20)), limits).fields.size).toBe(1);
    expect(refusal(side, head(line(21)), limits)).toBe(code);
    expect(refusal(side, head(`${"A".repeat(25)}: b`), limits)).toBe(code);
    expect(refusal(side, head(`A:${" ".repeat(25)}b`), limits)).toBe(code);
    expect(refusal(side, head(`${line(25)}\x00`), limits)).toBe(code);
    expect(refusal(side, head(`${"A".repeat(25)}\x00`), limits)).toBe(code);
    expect(refusal(side, head(`Host: ${"a".repeat(20)}`), limits)).toBe(code);
  });

  test("an unfinished field line is refused at once", () => {
    expect(verdict("request", latin1(`GET / HTTP/1.1\r\n${"A".repeat(20)}`), limits)).toBe("incomplete");
    expect(verdict("request", latin1(`GET / HTTP/1.1\r\n${"A".repeat(21)}`), limits)).toBe("fields-too-large");
    expect(verdict("request", latin1(`GET / HTTP/1.1\r\n${line(20)}`), limits)).toBe("incomplete");
    expect(verdict("request", latin1(`GET / HTTP/1.1\r\n${line(21)}`), limits)).toBe("fields-too-large");
  });

  test("field section: 431", () => {
    expect(decoded("request", get(line(20), line(20), line(14)), limits).fields.size).toBe(3);
    expect(refusal("request", get(line(20), line(20), line(15)), limits)).toBe("fields-too-large");
    expect(refusal("request", get(line(20), line(20), `${line(18)}\x00`), limits)).toBe("fields-too-large");
    expect(refusal("request", get("Host: a", line(20), line(20), "Host: a"), limits)).toBe("fields-too-large");
    expect(refusal("response", ok(line(20), line(20), line(15)), limits)).toBe("upstream-malformed");
  });

  test("number of fields: 431", () => {
    expect(decoded("request", get("A: b", "A: b", "A: b", "A: b"), limits).fields.size).toBe(4);
    expect(refusal("request", get("A: b", "A: b", "A: b", "A: b", "A: b"), limits)).toBe("fields-too-large");
    expect(refusal("response", ok("A: b", "A: b", "A: b", "A: b", "A: b"), limits)).toBe("upstream-malformed");
  });
});

// ── properties ───────────────────────────────────────────────────────────────────────────────

const oneOf = (characters: string, max: number, min = 0) =>
  fc.string({ unit: fc.constantFrom(...characters.split("")), minLength: min, maxLength: max });

const token = oneOf("abcXYZ019!#$%&'*+-.^_`|~", 12, 1);
const ows = oneOf(" \t", 3);
const value = oneOf('abZ09 \t,;:="\\()<>@[]{}/?\x80\xa0\xff', 16).map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ""));
const name = fc.oneof(
  token,
  fc.constantFrom("Accept", "Cookie", "user-agent", "X-Forwarded-For", "ETag", "Date", "accept-Encoding", "Via"),
);
const field = fc.record({ name, before: ows, value, after: ows });
const head = fc.record({
  method: token,
  target: oneOf("/aZ09?&=%._-~;:@!$'()*+,[]{}|^`", 20, 1),
  version: fc.constantFrom("1.0", "1.1", "1.5"),
  fields: fc.array(field, { maxLength: 12 }),
});

test("a head decodes to what it was made of, however it is cut (RFC 9112 §2)", () => {
  fc.assert(
    fc.property(head, ({ method, target, version, fields }) => {
      const lines = fields.map((one) => `${one.name}:${one.before}${one.value}${one.after}`);
      const octets = latin1(wire(`${method} ${target} HTTP/${version}`, ...lines, "", ""));
      for (let length = 0; length < octets.length; length++) {
        if (verdict("request", octets.subarray(0, length)) !== "incomplete") throw new Error(`refused at ${length}`);
      }
      expect(verdict("request", octets)).toBe("complete");
      const decoder = decoders.request;
      expect([decoder.method, decoder.target]).toEqual([method, target]);
      expect(decoder.version).toBe(version === "1.0" ? 10 : 11);
      expect([...decoder.fields]).toEqual(fields.map((one) => [one.name.toLowerCase(), one.value]));
      expect(decoder.fields.toString()).toBe(fields.map((one) => `${one.name}: ${one.value}\r\n`).join(""));
    }),
    { numRuns: RUNS },
  );
});

test("the text of a section decodes to the same text: it is canonical", () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 12 }), (fields) => {
      const lines = fields.map((one) => `${one.name}:${one.before}${one.value}${one.after}`);
      expect(verdict("response", latin1(ok(...lines)))).toBe("complete");
      const text = decoders.response.fields.toString();
      const entries = [...decoders.response.fields];
      expect(verdict("response", latin1(`HTTP/1.1 200 OK\r\n${text}\r\n`))).toBe("complete");
      expect(decoders.response.fields.toString()).toBe(text);
      expect([...decoders.response.fields]).toEqual(entries);
    }),
    { numRuns: RUNS },
  );
});

const piece = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("GET ", "/", " HTTP/1.1", "HTTP/1.1 ", "200", "\r\n", "Host", ": ", "a") },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "Content-Length: ",
      "Transfer-Encoding: ",
      "chunked",
      "Connection: ",
      "5",
      ",",
      "Expect:",
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom("\r", "\n", "\t", " ", "\x00", "\xff", "\x7f", ":", "\x0b") },
  { weight: 1, arbitrary: oneOf("\x00\x01\t\n\r !:aA\x7f\x80\xff", 4) },
);

test("rubbish ends in a verdict: nothing but a Failure is thrown, and no beginning says something else", () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 24 }), fc.boolean(), (pieces, goodStart) => {
      for (const side of ["request", "response"] as const) {
        const start = !goodStart ? "" : side === "request" ? "GET / HTTP/1.1\r\n" : "HTTP/1.1 200 OK\r\n";
        const octets = latin1(start + pieces.join(""));
        const whole = verdict(side, octets);
        for (let length = 0; length < octets.length; length++) {
          const begun = verdict(side, octets.subarray(0, length));
          if (begun !== "incomplete" && begun !== whole) throw new Error(`${begun} at ${length}, then ${whole}`);
        }
      }
    }),
    { numRuns: RUNS * 4 },
  );
});

test("octets after a head are not looked at", () => {
  for (const [first, second] of everySplit(latin1("GET / HTTP/1.1\r\n\x00"))) {
    const octets = Buffer.concat([latin1(get("A: b")), first!, second ?? Buffer.alloc(0)]);
    expect(verdict("request", octets)).toBe("complete");
    expect(decoders.request.end).toBe(2 + get("A: b").length);
  }
});

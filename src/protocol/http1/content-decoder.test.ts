import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Failure } from "../../base/failure.ts";
import { ContentDecoder, type ContentLimits, type ContentReceiver } from "./content-decoder.ts";
import { CONTENT_LIMITS, cut, everySplit, latin1, RUNS, wire } from "./testing.ts";

/** Keeps content; stops after every `stopAfter` pieces until told to go on. */
class Taker implements ContentReceiver {
  stopped = false;
  octets = "";
  #pieces = 0;
  readonly #stopAfter: number;

  constructor(stopAfter = Infinity) {
    this.#stopAfter = stopAfter;
  }

  onContent(octets: Uint8Array): void {
    if (this.stopped) throw new Error("content for a taker that had stopped");
    expect(octets.length).toBeGreaterThan(0);
    this.octets += Buffer.from(octets).toString("latin1");
    if (++this.#pieces % this.#stopAfter === 0) this.stopped = true;
  }
}

interface Result {
  content: string;
  /** null: not done. */
  trailers: string | null;
  /** Octets after the message. */
  rest: string;
}

function chunked(limits: ContentLimits = CONTENT_LIMITS): ContentDecoder {
  const decoder = new ContentDecoder("request", limits);
  decoder.startChunked();
  return decoder;
}

/** Feeds pieces; the taker is let go on whenever it stops. */
function feed(decoder: ContentDecoder, pieces: readonly Buffer[], taker = new Taker()): Result {
  let rest = "";
  for (const piece of pieces) {
    // What is decoded is only borrowed: each piece comes in the same room.
    const room = Buffer.concat([latin1("\xee"), piece, latin1("\xee")]);
    let at = 1;
    while (at < room.length - 1 && !decoder.done) {
      const next = decoder.decode(room, at, room.length - 1, taker);
      if (next === at && !taker.stopped) throw new Error("nothing was taken");
      at = next;
      if (at < room.length - 1 && !decoder.done) expect(taker.stopped).toBe(true);
      taker.stopped = false;
    }
    rest += room.toString("latin1", at, room.length - 1);
    room.fill(0xee);
  }
  return { content: taker.octets, trailers: decoder.done ? (decoder.trailers?.toString() ?? "") : null, rest };
}

/** What chunked octets mean; the same for every split. */
function decoded(octets: string, limits = CONTENT_LIMITS): Result {
  const whole = feed(chunked(limits), [latin1(octets)]);
  for (const pieces of everySplit(latin1(octets))) expect(feed(chunked(limits), pieces)).toEqual(whole);
  return whole;
}

/** The code with which chunked octets are refused; more than one if that depends on the split. */
function refusal(octets: string, limits = CONTENT_LIMITS): string {
  const codes = new Set<string>();
  for (const pieces of everySplit(latin1(octets))) {
    try {
      feed(chunked(limits), pieces);
      codes.add("none");
    } catch (thrown) {
      if (!(thrown instanceof Failure)) throw thrown;
      codes.add(thrown.code);
    }
  }
  return [...codes].join(" and ");
}

describe("chunked content (RFC 9112 §7.1)", () => {
  test.each([
    ["nothing", wire("0", "", ""), ""],
    ["one chunk", wire("5", "hello", "0", "", ""), "hello"],
    ["two chunks", wire("5", "hello", "6", " world", "0", "", ""), "hello world"],
    ["digits in both cases", wire("a", "0123456789", "A", "0123456789", "0", "", ""), "01234567890123456789"],
    ["two digits", wire("1a", "abcdefghijklmnopqrstuvwxyz", "0", "", ""), "abcdefghijklmnopqrstuvwxyz"],
    ["leading zeros", wire("0005", "hello", "000", "", ""), "hello"],
    ["thirteen digits", wire("0000000000005", "hello", "0000000000000", "", ""), "hello"],
    ["framing as content", wire("a", "0\r\n\r\n5\r\n\r\n", "0", "", ""), "0\r\n\r\n5\r\n\r\n"],
    ["any octet", wire("4", "\x00\xff\r\n", "0", "", ""), "\x00\xff\r\n"],
  ])("%s", (_what, octets, content) => {
    expect(decoded(octets)).toEqual({ content, trailers: "", rest: "" });
  });

  test("what follows is left alone", () => {
    expect(decoded(wire("1", "a", "0", "", "GET / HTTP/1.1"))).toMatchObject({ content: "a", rest: "GET / HTTP/1.1" });
  });

  test("it is not done before its last octet", () => {
    const octets = latin1(wire("5", "hello", "0", "A: b", "", ""));
    for (let length = 0; length < octets.length; length++) {
      expect(feed(chunked(), [octets.subarray(0, length)]).trailers).toBeNull();
    }
  });

  test.each([
    ["empty", "\r\n"],
    ["a space", " \r\n"],
    ["a plus sign", "+5\r\nhello"],
    ["a minus sign", "-5\r\nhello"],
    ["0x", "0x5\r\nhello"],
    ["h", "5h\r\nhello"],
    ["g", "g\r\n"],
    ["a space before", " 5\r\nhello"],
    ["a tab before", "\t5\r\nhello"],
    ["a space after", "5 \r\nhello"],
    ["a tab after", "5\t\r\nhello"],
    ["a space within", "1 0\r\n0123456789abcdef"],
    ["an underscore", "1_0\r\n0123456789abcdef"],
    ["a dot", "5.0\r\nhello"],
    ["a comma", "5,5\r\nhello"],
    ["a quote", '"5"\r\nhello'],
    ["NUL", "5\x00\r\nhello"],
    ["a vertical tab", "5\x0b\r\nhello"],
    ["an 8-bit octet", "5\xa0\r\nhello"],
    ["a digit of another script", "\xb2\r\nhello"],
    ["fourteen digits", "00000000000005\r\nhello"],
    ["2^64 + 5", "10000000000000005\r\nhello"],
    ["2^63", "8000000000000000\r\n"],
    ["many digits", `${"f".repeat(100)}\r\n`],
    ["a bare LF", "5\nhello\r\n0\r\n\r\n"],
    ["a bare CR", "5\rhello\r\n"],
    ["CR CR LF", "5\r\r\nhello\r\n"],
    ["the last chunk with a bare LF", "0\n\r\n"],
    ["the last chunk with a space", "0 \r\n\r\n"],
  ])("size refused: %s", (_what, octets) => {
    expect(refusal(octets)).toBe("request-malformed");
  });

  test.each([
    ["longer than its size", "4\r\nhello\r\n0\r\n\r\n"],
    ["shorter than its size", "6\r\nhello\r\n0\r\n\r\n"],
    ["ended by a bare LF", "5\r\nhello\n0\r\n\r\n"],
    ["ended by a bare CR", "5\r\nhello\r0\r\n\r\n"],
    ["ended by LF CR", "5\r\nhello\n\r0\r\n\r\n"],
    ["not ended", "5\r\nhello0\r\n\r\n"],
    ["followed by an empty line", "5\r\nhello\r\n\r\n0\r\n\r\n"],
  ])("chunk refused: %s", (_what, octets) => {
    expect(refusal(octets)).toBe("request-malformed");
  });

  test("the largest size is counted exactly", () => {
    const decoder = chunked();
    const taker = new Taker();
    feed(decoder, [latin1("fffffffffffff\r\nabc")], taker);
    expect([taker.octets, decoder.done]).toEqual(["abc", false]);
  });

  test("an origin server's bad chunks are its own fault", () => {
    const decoder = new ContentDecoder("response", CONTENT_LIMITS);
    decoder.startChunked();
    expect(() => feed(decoder, [latin1("x")])).toThrow(expect.objectContaining({ code: "upstream-malformed" }));
  });
});

describe("chunk extensions are dropped (RFC 9112 §7.1.1)", () => {
  test.each([";a", ";a=b", ";a;b;c=d", ' ; a = "b;c" ; d', "\t;a", ';a="\\""', ';a="\xe4"', `;a=${"b".repeat(1000)}`])(
    "5%s",
    (extension) => {
      const octets = wire(`5${extension}`, "hello", `0${extension}`, "", "");
      expect(feed(chunked(), [latin1(octets)])).toEqual({ content: "hello", trailers: "", rest: "" });
      if (octets.length < 200) decoded(octets);
    },
  );

  test.each([
    ["no name", ";"],
    ["a space for a name", "; "],
    ["two semicolons", ";;a"],
    ["a value without a name", ";=b"],
    ["a quoted name", ';"a"'],
    ["NUL", ";a=\x00"],
    ["a bare CR", ";a\rb"],
    ["a bare LF", ";a\nb"],
    ["a quoted bare LF", ';a="\n"'],
    ["a quoted CRLF", ';a="\r\n"'],
    ["DEL", ";a=\x7f"],
    ["a control octet", ";a=\x01"],
    ["a name after a space", " a"],
  ])("refused: %s", (_what, extension) => {
    expect(refusal(`5${extension}\r\nhello\r\n0\r\n\r\n`)).toBe("request-malformed");
  });

  test("are limited for each chunk", () => {
    const limits = { ...CONTENT_LIMITS, chunkExtensionOctets: 4 };
    expect(decoded(wire("1;abc", "x", "1;abc", "y", "0;abc", "", ""), limits).content).toBe("xy");
    expect(refusal(wire("1;abcd", "x", "0", "", ""), limits)).toBe("request-malformed");
    expect(refusal(wire("1    ;a", "x", "0", "", ""), limits)).toBe("request-malformed");
    expect(refusal("1;abcd", limits)).toBe("request-malformed");
  });
});

describe("trailers (RFC 9110 §6.5, RFC 9112 §7.1.2)", () => {
  const after = (...lines: string[]): string => wire("1", "x", "0", ...lines, "", "");

  test.each([
    [["Server-Timing: db;dur=53"], "Server-Timing: db;dur=53\r\n"],
    [["A:b", "C:\td "], "A: b\r\nC: d\r\n"],
    [["ETag: x", "Content-Length: 5", "Digest: y"], "ETag: x\r\nDigest: y\r\n"],
  ])("%j", (lines, text) => {
    expect(decoded(after(...lines))).toEqual({ content: "x", trailers: text, rest: "" });
  });

  test.each([
    "Content-Length: 5",
    "content-length: rubbish",
    "Transfer-Encoding: chunked",
    "TRANSFER-ENCODING: gzip, chunked",
    "Host: evil",
    "Connection: close",
    "Expect: 200-ok",
    "Upgrade: h2c",
    "TE: trailers",
    "Trailer: X",
    "Cookie: a=b",
    "Set-Cookie: a=b",
    "Authorization: x",
    "Proxy-Authorization: x",
    "X-Forwarded-For: 127.0.0.1",
    "X-Real-IP: 127.0.0.1",
    "X-Client-Verified: yes",
    "X-Client-Subject: CN=admin",
    "X-Client-Issuer: CN=ca",
    "X-Client-Serial: 01",
    "X-Client-Fingerprint: 00",
    "Client-Cert: :AA==:",
    "Client-Cert-Chain: :AA==:",
    "Forwarded: for=127.0.0.1",
    "Via: 1.1 x",
    "Content-Type: text/html",
    "Content-Encoding: gzip",
    "Cache-Control: max-age=1",
    "Location: /",
  ])("%s must not come there and is dropped (RFC 9110 §6.5.1)", (line) => {
    expect(decoded(after(line, "X: y"))).toEqual({ content: "x", trailers: "X: y\r\n", rest: "" });
    expect(decoded(after(line, line)).trailers).toBe("");
  });

  test("those of one message do not stay for the next", () => {
    const decoder = chunked();
    feed(decoder, [latin1(after("A: b"))]);
    decoder.startChunked();
    expect(feed(decoder, [latin1(after())]).trailers).toBe("");
    decoder.startFixed(1);
    expect(feed(decoder, [latin1("x")]).trailers).toBe("");
  });

  test.each([
    ["a bare LF", "A: b\n"],
    ["a fold", "A: b\r\n c"],
    ["a space before the colon", "A : b"],
    ["NUL", "A: \x00"],
    ["no colon", "A"],
    ["a bare CR", "A: b\rc"],
    ["a bare CR for the empty line", "\rA: b"],
    ["the next request", "GET / HTTP/1.1"],
  ])("refused: %s", (_what, line) => {
    expect(refusal(after(line))).toBe("request-malformed");
  });

  test("are limited", () => {
    const limits = { ...CONTENT_LIMITS, trailerOctets: 20 };
    expect(decoded(after(`A: ${"b".repeat(15)}`), limits).trailers).toBe(`A: ${"b".repeat(15)}\r\n`);
    expect(refusal(after(`A: ${"b".repeat(16)}`), limits)).toBe("fields-too-large");
    expect(refusal(after("A: bcdef", "A: bcdefg"), limits)).toBe("fields-too-large");
    expect(refusal(wire("0", "A".repeat(21)), limits)).toBe("fields-too-large");
    expect(refusal(after(...Array<string>(101).fill("A: b")))).toBe("fields-too-large");
  });
});

describe("content of declared length (RFC 9112 §6.2)", () => {
  test("ends at its last octet", () => {
    for (const pieces of everySplit(latin1("helloGET"))) {
      const decoder = new ContentDecoder("request", CONTENT_LIMITS);
      decoder.startFixed(5);
      expect(feed(decoder, pieces)).toEqual({ content: "hello", trailers: "", rest: "GET" });
    }
  });

  test("of length 0 is done at once", () => {
    const decoder = new ContentDecoder("request", CONTENT_LIMITS);
    decoder.startFixed(0);
    expect(decoder.done).toBe(true);
  });
});

test("content up to the end of the connection is everything (RFC 9112 §6.3)", () => {
  for (const pieces of everySplit(latin1("HTTP/1.1 200 OK\r\n\r\n"))) {
    const decoder = new ContentDecoder("response", CONTENT_LIMITS);
    decoder.startUntilClose();
    expect(decoder.untilClose).toBe(true);
    expect(feed(decoder, pieces)).toEqual({ content: "HTTP/1.1 200 OK\r\n\r\n", trailers: null, rest: "" });
  }
});

test("a taker that has stopped gets nothing, and nothing is lost", () => {
  const octets = latin1(wire("3", "abc", "4;x", "defg", "0", "A: b", "", "rest"));
  for (const pieces of everySplit(octets)) {
    expect(feed(chunked(), pieces, new Taker(1))).toEqual({ content: "abcdefg", trailers: "A: b\r\n", rest: "rest" });
  }
  const decoder = chunked();
  const taker = new Taker(1);
  const at = decoder.decode(octets, 0, octets.length, taker);
  expect([at, taker.octets]).toEqual([6, "abc"]);
  expect(decoder.decode(octets, at, octets.length, taker)).toBe(at);
});

// ── properties ───────────────────────────────────────────────────────────────────────────────

const chunk = fc.record({
  octets: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  zeros: fc.nat(3),
  upper: fc.boolean(),
  extension: fc.constantFrom("", ";a", ";a=b", ' ; a="\\"\xff"', "\t;a;b"),
});
const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 6 });

test("any chunking of any content decodes to it, however it is cut and whenever the taker stops", () => {
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 8 }), sizes, fc.integer({ min: 1, max: 4 }), (chunks, cuts, stopAfter) => {
      const content = Buffer.concat(chunks.map(({ octets }) => octets)).toString("latin1");
      const text = chunks.map(({ octets, zeros, upper, extension }) => {
        const size = octets.length.toString(16);
        const digits = "0".repeat(zeros) + (upper ? size.toUpperCase() : size);
        return `${digits}${extension}\r\n${Buffer.from(octets).toString("latin1")}\r\n`;
      });
      const octets = latin1(`${text.join("")}0\r\nA: b\r\n\r\nNEXT`);
      const result = feed(chunked(), cut(octets, cuts), new Taker(stopAfter));
      expect(result).toEqual({ content, trailers: "A: b\r\n", rest: "NEXT" });
    }),
    { numRuns: RUNS },
  );
});

const rubbish = fc.array(
  fc.constantFrom("\r\n", "\r", "\n", "0", "5", "hello", "a", ";", " ", "=", '"', "A: b", "\x00", "\xff", "\t", "-"),
  { maxLength: 16 },
);

test("rubbish is refused by a Failure or decoded, the same for every cut", () => {
  fc.assert(
    fc.property(rubbish, sizes, (pieces, cuts) => {
      const octets = latin1(pieces.join(""));
      const verdicts = [[octets], cut(octets, cuts), cut(octets, [1])].map((split) => {
        try {
          return feed(chunked(), split);
        } catch (thrown) {
          if (thrown instanceof Failure) return thrown.code;
          throw thrown;
        }
      });
      expect(verdicts[1]).toEqual(verdicts[0]);
      expect(verdicts[2]).toEqual(verdicts[0]);
    }),
    { numRuns: RUNS },
  );
});

/**
 * Messages made by their grammar, in odd spellings and now and then with one thing wrong, read by
 * Lintel's decoders and by Node's parser: requests and responses, their fields, content and
 * trailers. What both understand they must understand alike; where only one does, the table says
 * why. Each row of the table has an example, and shows that it is still true.
 *
 * `LINTEL_FUZZ` sets how many of each are made.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { request, response } from "./messages.ts";
import { type Kind, NodeParser, ourParse, type Parsed, type ParsedMessage } from "./parser.ts";

const RUNS = Number(process.env["LINTEL_FUZZ"] ?? 1500);

let node: NodeParser;
beforeAll(() => {
  node = new NodeParser();
});
afterAll(() => node.stop());

interface Difference {
  readonly why: string;
  readonly kind: Kind | "either";
  /** Which of both understands more messages. */
  readonly more: "ours" | "theirs";
  /** How the one that understands less says so. */
  readonly end: RegExp;
  readonly example: string;
}

const TAIL = "\r\nHost: a\r\n\r\n";
const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

const DIFFERENCES: readonly Difference[] = [
  {
    why: "RFC 9112 §3.2: no Host is answered 400. Node's parser leaves that to its server",
    kind: "request",
    more: "theirs",
    end: /^no Host field/,
    example: "GET / HTTP/1.1\r\n\r\n",
  },
  {
    why: "RFC 9112 §3.2: so is more than one. Node hands all of them on, and its server keeps the first",
    kind: "request",
    more: "theirs",
    end: /^more than one Host/,
    example: `GET / HTTP/1.1\r\nHost: a${TAIL}`,
  },
  {
    why: "RFC 9112 §3.2: and so is one that is not a host and an optional port",
    kind: "request",
    more: "theirs",
    end: /^Host is not a host/,
    example: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
  },
  {
    why: "RFC 9112 §2.2: an empty line before a request is ignored; more of them, or a bare CR or LF, are not",
    kind: "request",
    more: "theirs",
    end: /^(a bare CR before the request line|the request line does not begin with a method)/,
    example: `\nGET / HTTP/1.1${TAIL}`,
  },
  {
    why: "RFC 9112 §3: one space between the parts of the request line",
    kind: "request",
    more: "theirs",
    end: /^(octet 0x20 in the request target|not an HTTP version: "[ \\])/,
    example: `GET  / HTTP/1.1${TAIL}`,
  },
  {
    why: "RFC 3986 §2: a target holds no quotes, angle brackets, backslash, fragment or raw 8-bit octets",
    kind: "request",
    more: "theirs",
    end: /^octet 0x(22|23|3c|3e|5c|[89a-f].) in the request target/,
    example: `GET /\\ HTTP/1.1${TAIL}`,
  },
  {
    why: "RFC 9112 §3.2.4: the target * is for OPTIONS",
    kind: "request",
    more: "theirs",
    end: /^the target \* is for OPTIONS only/,
    example: `GET * HTTP/1.1${TAIL}`,
  },
  {
    why: "RFC 9112 §3.2.2: a gateway routes by the authority of an absolute-form target, so it must be an http one",
    kind: "request",
    more: "theirs",
    end: /^(the request target is neither|no valid authority in the request target)/,
    example: `GET ftp://a/ HTTP/1.1${TAIL}`,
  },
  {
    why: "RFC 9112 §3: a request line has a version. Node takes one without for HTTP/0.9",
    kind: "request",
    more: "theirs",
    end: /^the request line has no HTTP version/,
    example: `GET /${TAIL}`,
  },
  {
    why: "RFC 9110 §15.6.6: HTTP/2.0 in a request line is answered 505",
    kind: "request",
    more: "theirs",
    end: /^HTTP\/\d\.\d is not spoken on this listener/,
    example: `GET / HTTP/2.0${TAIL}`,
  },
  {
    why: "RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is faulty framing",
    kind: "request",
    more: "theirs",
    end: /^Transfer-Encoding in HTTP\/1\.0/,
    example: "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  },
  {
    why: "RFC 9112 §6.1: a gateway that cannot decode a transfer coding must not take the message for whole",
    kind: "either",
    more: "theirs",
    end: /^Transfer-Encoding: .*(only chunked is spoken here|chunked must be the only coding)/,
    example: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
  },
  {
    why: "RFC 9112 §6.1: chunked is applied once. Node overlooks the second line",
    kind: "either",
    more: "theirs",
    end: /^more than one Transfer-Encoding/,
    example: CHUNKED.replace("chunked", "chunked\r\nTransfer-Encoding: chunked"),
  },
  {
    why: "RFC 9112 §4: no control octets in the reason phrase",
    kind: "response",
    more: "theirs",
    end: /^octet 0x(0.|1.|7f) in the status line/,
    example: "HTTP/1.1 200 a\x00\r\n\r\n",
  },
  {
    why: "RFC 9110 §15: a status code is 100 to 999",
    kind: "response",
    more: "theirs",
    end: /^not a status line/,
    example: "HTTP/1.1 099 x\r\n\r\n",
  },
  {
    why: "RFC 9112 §2.3: a response of another major version is not HTTP/1",
    kind: "response",
    more: "theirs",
    end: /^not an HTTP version/,
    example: "HTTP/2.0 200 OK\r\n\r\n",
  },
  {
    why: "RFC 9112 §7.1.1: extensions may have white space, and what they say is dropped unread, so their grammar protects nobody",
    kind: "either",
    more: "ours",
    end: /^HPE_(STRICT|INVALID_CHUNK_SIZE|INVALID_CHUNK_EXTENSION)$/,
    example: `${CHUNKED}1 ; a\r\nx\r\n0\r\n\r\n`,
  },
  {
    why: "RFC 9110 §2.5: a higher minor version is read as the highest known one",
    kind: "either",
    more: "ours",
    end: /^HPE_INVALID_VERSION$/,
    example: `GET / HTTP/1.2${TAIL}`,
  },
  {
    why: "RFC 9110 §9.1: methods are open; whether it knows one is the origin server's to say (501)",
    kind: "request",
    more: "ours",
    end: /^HPE_INVALID_METHOD$/,
    example: `BREW / HTTP/1.1${TAIL}`,
  },
  {
    why: "RFC 9112 §9.6: what comes after a message that closes the connection is for the engine to drop, not a fault of the message",
    kind: "either",
    more: "ours",
    end: /^HPE_CLOSED_CONNECTION$/,
    example: "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
  },
  {
    why: "RFC 9112 §6.3 rule 1: 1xx, 204 and 304 have no content, whatever their fields say",
    kind: "response",
    more: "ours",
    end: /^HPE_(INVALID_TRANSFER_ENCODING|UNEXPECTED_CONTENT_LENGTH|INVALID_CONTENT_LENGTH)$/,
    example: "HTTP/1.1 304 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
  },
];

const isExplained = ({ kind, more, end }: Difference, of: Kind, ours: Parsed, theirs: Parsed): boolean =>
  (kind === "either" || kind === of) &&
  (more === "ours") === ours.messages.length > theirs.messages.length &&
  end.test(more === "ours" ? theirs.end : ours.end);

/** Trailers that Lintel drops: framing, routing, what a gateway says itself (RFC 9110 §6.5.1). Of those that are made here. */
const DROPPED = /^(host|content-length|transfer-encoding|trailer|date|cookie|x-forwarded-for|via): /;

const withoutDropped = (message: ParsedMessage): ParsedMessage => ({
  ...message,
  trailers: message.trailers.filter((line) => !DROPPED.test(line)),
});

interface Comparison {
  readonly ours: Parsed;
  readonly theirs: Parsed;
  /** What both understand, they understand alike. */
  readonly alike: boolean;
}

async function compare(kind: Kind, text: string): Promise<Comparison> {
  const octets = Buffer.from(text, "latin1");
  const ours = ourParse(kind, octets);
  const theirs = await node.parse(kind, octets);
  const both = Math.min(ours.messages.length, theirs.messages.length);
  const alike = Bun.deepEquals(ours.messages.slice(0, both), theirs.messages.slice(0, both).map(withoutDropped));
  return { ours, theirs, alike };
}

const tell = ({ messages, end }: Parsed): string => [...messages.map((one) => JSON.stringify(one)), end].join("\n    ");

test.each([
  ["request", request, `GET /second HTTP/1.1${TAIL}`],
  ["response", response, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"],
] as const)("a generated %s means the same to both, or the table says why not", async (kind, made, second) => {
  await fc.assert(
    fc.asyncProperty(made, fc.boolean(), async (first, followed) => {
      const text = followed ? first + second : first;
      const { ours, theirs, alike } = await compare(kind, text);
      if (alike && ours.messages.length === theirs.messages.length) return;
      if (alike && DIFFERENCES.some((difference) => isExplained(difference, kind, ours, theirs))) return;
      throw new Error(`${JSON.stringify(text)}\n  Lintel:\n    ${tell(ours)}\n  Node:\n    ${tell(theirs)}`);
    }),
    { numRuns: RUNS },
  );
});

describe("differences", () => {
  test.each(DIFFERENCES.map((difference) => [difference.why, difference] as const))("%s", async (_why, difference) => {
    const kind = difference.example.startsWith("HTTP/") ? "response" : "request";
    const { ours, theirs, alike } = await compare(kind, difference.example);
    expect(alike).toBe(true);
    if (!isExplained(difference, kind, ours, theirs)) throw new Error(`${tell(ours)}\nNode: ${tell(theirs)}`);
  });

  test("trailers that must not come there are dropped (RFC 9110 §6.5.1)", async () => {
    const { ours, theirs, alike } = await compare("response", `${CHUNKED}0\r\nVia: a\r\nETag: b\r\n\r\n`);
    expect(alike).toBe(true);
    expect([ours.messages[0]!.trailers, theirs.messages[0]!.trailers]).toEqual([["etag: b"], ["via: a", "etag: b"]]);
  });
});

/**
 * HTTP/1 messages made by their grammar (RFC 9112), in odd spellings, and now and then with one thing
 * wrong.
 */
import fc from "fast-check";

const text = (characters: string, max: number, min = 0) =>
  fc.string({ unit: fc.constantFrom(...characters.split("")), minLength: min, maxLength: max });
/** Mostly the first, now and then something else. */
const mostly = (usual: string, ...odd: string[]) =>
  fc.oneof({ weight: 40, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...odd) });

const end = mostly("\r\n", "\n", "\r", "\r\r\n", " \r\n", "\r\n ", "\x00\r\n", "");
const space = mostly(" ", "", "  ", "\t", "\x0b", "\xa0");
const name = fc.oneof(
  { weight: 8, arbitrary: text("abXZ09-_!#$%&'*+.^`|~", 8, 1) },
  { weight: 4, arbitrary: fc.constantFrom("Accept", "Cookie", "Trailer", "Date", "X-Forwarded-For", "Via", "ETag") },
  { weight: 1, arbitrary: fc.constantFrom("", " ", "a b", "\xe4", "a(", "\x00", "Host") },
);
const value = fc.oneof(
  { weight: 12, arbitrary: text('abZ09 \t,;:="()<>@[]{}/?\\', 10) },
  { weight: 2, arbitrary: text("ab\x80\xa0\xe4\xff", 6) },
  { weight: 1, arbitrary: fc.constantFrom("\x01", "a\x00b", "\x7f", "a\rb", "a\nb", "\x0b") },
);
const line = fc
  .tuple(name, mostly("", " ", "\t"), mostly(":", "", "::", ";"), text(" \t", 2), value, end)
  .map((parts) => parts.join(""));
const fields = fc.array(line, { maxLength: 4 }).map((lines) => lines.join(""));

const content = text("ab0\r\n:\xff", 12);
const extension = fc.oneof(
  { weight: 6, arbitrary: fc.constant("") },
  { weight: 3, arbitrary: fc.constantFrom(";a", ";a=b", ';a="b"', ";a;b=c", ';a="b;c"') },
  { weight: 1, arbitrary: fc.constantFrom(";", " ;a", "; a", " ", ";a ", ";a/b", ';a="', ";a\x00", ";\xe4", ";a=") },
);
const size = (octets: number) =>
  fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(octets.toString(16), octets.toString(16).toUpperCase()) },
    { weight: 2, arbitrary: fc.constant(`00${octets.toString(16)}`) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        `+${octets}`,
        `0x${octets}`,
        ` ${octets}`,
        "",
        "g",
        `${octets}h`,
        "ffffffffffffffffff",
        "-1",
      ),
    },
  );
const chunk = content
  .filter((octets) => octets !== "")
  .chain((octets) => fc.tuple(size(octets.length), extension, end, fc.constant(octets), end))
  .map((parts) => parts.join(""));
const trailers = fc.oneof({ weight: 3, arbitrary: fc.constant("") }, { weight: 1, arbitrary: fields });
const chunks = fc
  .tuple(fc.array(chunk, { maxLength: 3 }), mostly("0", "00", "0;a", "0 "), end, trailers, end)
  .map(([list, last, lastEnd, after, close]) => list.join("") + last + lastEnd + after + close);

/** Field lines that frame, and the content they announce. */
const body = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant(""), fc.constant("")) },
  {
    weight: 4,
    arbitrary: content.chain((octets) =>
      fc.tuple(
        fc
          .tuple(
            mostly("Content-Length", "content-length", "CONTENT-LENGTH", "Content-Length "),
            mostly(": ", ":", ":\t"),
            end,
          )
          .map(([field, colon, lineEnd]) => `${field}${colon}${octets.length}${lineEnd}`),
        fc.constant(octets),
      ),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc
        .constantFrom(
          "+1",
          "-1",
          "1, 1",
          "0x1",
          "1 1",
          "",
          "1\r\nContent-Length: 1",
          "9".repeat(20),
          "1\r\nTransfer-Encoding: chunked",
          "01",
        )
        .map((length) => `Content-Length: ${length}\r\n`),
      fc.constant("a"),
    ),
  },
  {
    weight: 5,
    arbitrary: fc.tuple(
      mostly(
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:CHUNKED\r\n",
        "Transfer-Encoding: chunked \r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip, deflate, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
      ),
      chunks,
    ),
  },
);

const version = mostly("HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1", "HTTP/1.1 ", "HTTPS/1.1");
const target = fc.oneof(
  { weight: 10, arbitrary: text("/abZ09?&=%._-~;:@!$'()*+,", 10).map((path) => `/${path}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("*", "http://a/b", "a", "", "/\xe4", "/ a", "/#b", "/\x00", '/"<>', "/\\", "//"),
  },
);
export const request = fc
  .tuple(
    mostly("", "\r\n", "\r\n\r\n", "\n", "\r"),
    fc.constantFrom("GET", "POST", "PUT", "OPTIONS", "M-SEARCH"),
    space,
    target,
    space,
    version,
    end,
  )
  .chain((start) =>
    fc
      .tuple(mostly("Host: a\r\n", "", "Host: a b\r\n", "host:a\r\n", "Host: a\r\nHost: a\r\n"), fields, body, end)
      .map(([host, more, [framing, octets], empty]) => start.join("") + host + more + framing + empty + octets),
  );
const statusLine = fc
  .tuple(
    version,
    space,
    mostly("200", "404", "204", "304", "100", "103", "999", "099", "20", "2000", "2x0"),
    mostly(" OK", "", " ", "OK", " \xe4", " a\x00"),
    end,
  )
  .map((parts) => parts.join(""));
export const response = fc
  .tuple(statusLine, fields, body, end)
  .map(([start, more, [framing, octets], empty]) => start + more + framing + empty + octets);

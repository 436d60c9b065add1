/**
 * Requests that must be refused (RFC 9112 §2.2, §3, §5, §6, §7.1; RFC 9110 §5.5, §7.2): none may
 * reach the origin server, which reports any path it does not know. Those with good heads and bad
 * content may, but never as complete; they ask for a path whose answer watches that.
 */

const HOST = "Host: soak.example\r\n";
/** Would be answered by the origin server if a parser took it for a second request. */
const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n`;

const get = (fields: string) => `GET /malformed HTTP/1.1\r\n${fields}\r\n`;
const post = (fields: string, content: string, path = "/malformed") =>
  `POST ${path} HTTP/1.1\r\n${HOST}${fields}\r\n${content}`;
const chunks = (content: string) => post("Transfer-Encoding: chunked\r\n", content, "/broken/1/1");

export const malformed: Readonly<Record<string, string>> = {
  "no Host": get(""),
  "two Hosts": get(`${HOST}Host: other.example\r\n`),
  "bad Host": get("Host: a b\r\n"),
  "Content-Length and Transfer-Encoding": post(
    "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    `0\r\n\r\n${SMUGGLED}`,
  ),
  "two Content-Lengths": post("Content-Length: 4\r\nContent-Length: 40\r\n", `abcd${SMUGGLED}`),
  "list of Content-Lengths": post("Content-Length: 4, 40\r\n", `abcd${SMUGGLED}`),
  "signed Content-Length": post("Content-Length: +4\r\n", "abcd"),
  "hexadecimal Content-Length": post("Content-Length: 0x4\r\n", "abcd"),
  "huge Content-Length": post("Content-Length: 99999999999999999999\r\n", "abcd"),
  "unknown coding": post("Transfer-Encoding: gzip\r\n", "abcd"),
  "chunked not last": post("Transfer-Encoding: chunked, identity\r\n", `0\r\n\r\n${SMUGGLED}`),
  "chunked twice": post("Transfer-Encoding: chunked, chunked\r\n", `0\r\n\r\n${SMUGGLED}`),
  "coding with a control octet": post("Transfer-Encoding: \x0bchunked\r\n", `0\r\n\r\n${SMUGGLED}`),
  "bare LF in a field line": get(`${HOST}X: a\nY: b\r\n`),
  "bare CR in a field value": get(`${HOST}X: a\rb\r\n`),
  "NUL in a field value": get(`${HOST}X: a\0b\r\n`),
  "folded field line": get(`${HOST}X: a\r\n b\r\n`),
  "space before the colon": get(`${HOST}X : a\r\n`),
  "field line without colon": get(`${HOST}nonsense\r\n`),
  "space before the first field": `GET /malformed HTTP/1.1\r\n ${HOST}\r\n`,
  "bad method": `G(T /malformed HTTP/1.1\r\n${HOST}\r\n`,
  "control octet in the target": `GET /mal\x01formed HTTP/1.1\r\n${HOST}\r\n`,
  "space in the target": `GET /mal formed HTTP/1.1\r\n${HOST}\r\n`,
  "unknown version": `GET /malformed HTTP/3.7\r\n${HOST}\r\n`,
  "HTTP/0.9": "GET /malformed\r\n\r\n",
  "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  ClientHello: `\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03${"\x5a".repeat(160)}`,
  "long request target": `GET /${"a".repeat(70_000)} HTTP/1.1\r\n${HOST}\r\n`,
  "long field line": get(`${HOST}X: ${"a".repeat(70_000)}\r\n`),
  "too many fields": get(`${HOST}${"X: a\r\n".repeat(1000)}`),
  "chunk size with a sign": chunks(`+4\r\nabcd\r\n0\r\n\r\n`),
  "chunk size with a space": chunks(`4 \r\nabcd\r\n0\r\n\r\n`),
  "chunk size overflow": chunks(`fffffffffffffffff\r\nabcd\r\n0\r\n\r\n`),
  "chunk size not hexadecimal": chunks(`xyz\r\nabcd\r\n0\r\n\r\n`),
  "chunk longer than its size": chunks(`2\r\nabcd\r\n0\r\n\r\n${SMUGGLED}`),
  "chunk ended by LF": chunks(`4\nabcd\n0\n\n${SMUGGLED}`),
};

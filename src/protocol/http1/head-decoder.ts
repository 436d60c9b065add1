/**
 * Decodes the head of HTTP/1 messages: request line or status line, field section, trailers.
 *
 * One pass over the octets validates and finds everything framing depends on; the text is made
 * once. Strict where two parsers could disagree: each rule below names its section. There is one
 * decoder per process; its public properties hold the last head and are read before the next.
 *
 * RFC 9112 §2 to §6, RFC 9110 §5.
 */
import "../../base/buffer.ts";
import { Failure, type FailureCode } from "../../base/failure.ts";
import { Field, knownName, knownNameCount } from "../../http/field-name.ts";
import { FieldSection, trimOws } from "../../http/field-section.ts";
import { fieldValueOctet, targetOctet, tokenLower } from "../../http/grammar.ts";
import { knownHost } from "./known-hosts.ts";

/** Largest parts of a head, in octets unless said otherwise. */
export interface HeadLimits {
  readonly requestLineOctets: number;
  readonly fieldLineOctets: number;
  readonly fieldSectionOctets: number;
  readonly fieldCount: number;
}

const CR = 0x0d;
const LF = 0x0a;
const SP = 0x20;
const HTAB = 0x09;
const COLON = 0x3a;

/** In lower case: one or more codings, with parameters or without, and chunked as the last (RFC 9112 §7). */
const CODINGS_UNDER_CHUNKS =
  /^(?:[!#$%&'*+\-.^_`|~0-9a-z]+(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9a-z]+[ \t]*=[ \t]*[!#$%&'*+\-.^_`|~0-9a-z]+)*[ \t]*,[ \t]*)+chunked$/;
/** Chunked that is not the last coding: applied twice, or with something around the chunks. */
const CHUNKED_BEFORE_LAST = /(?:^|,)[ \t]*chunked[ \t]*[,;]/;

/** The table of lines while it grows; each section gets a copy of the right size. */
const scratch: number[] = [0];

export class HeadDecoder {
  /** Failure code for heads that break the grammar: whose fault it is differs by side. */
  readonly #malformed: FailureCode;
  readonly #isRequest: boolean;
  #text = "";
  #hostStart = -1;
  #hostEnd = -1;
  /** Transfer-Encoding of a request with codings under the chunks that are not spoken here; null if there are none. */
  #unknownCodings: string | null = null;

  method = "";
  target = "";
  /** 10 or 11. */
  version = 11;
  status = 0;
  fields = new FieldSection();
  /** Index after the head. */
  end = 0;

  /** Value of Content-Length; -1 if there is none. */
  contentLength = -1;
  chunked = false;
  /** A Transfer-Encoding was there, chunked or not. */
  hasTransferEncoding = false;
  host: string | null = null;
  /** Host is a value that was found valid before, and this is the authority it names. */
  knownAuthority: string | null = null;
  /** Connection options (RFC 9110 §7.6.1). */
  close = false;
  keepAlive = false;
  upgradeOption = false;
  /** Connection options that are none of the above, in lower case; null if there are none. */
  otherOptions: string[] | null = null;
  upgrade: string | null = null;
  expectContinue = false;
  teTrailers = false;

  constructor(side: "request" | "response") {
    this.#isRequest = side === "request";
    this.#malformed = this.#isRequest ? "request-malformed" : "upstream-malformed";
  }

  /**
   * Decodes a request head that starts at `start`.
   * @returns false if the head is not complete yet
   * @throws {Failure} request-malformed (400), request-line-too-long (414), fields-too-large (431),
   *         http-version-unsupported (505), transfer-coding-unsupported (501)
   */
  decodeRequest(octets: Uint8Array, start: number, end: number, limits: HeadLimits): boolean {
    let at = start;
    // RFC 9112 §2.2: an empty line before the request line is ignored, once.
    if (at < end && octets[at] === CR) {
      if (at + 1 >= end) return false;
      if (octets[at + 1] !== LF) throw this.#error("a bare CR before the request line");
      at += 2;
    }
    const lineStart = at;
    const lineLimit = lineStart + limits.requestLineOctets;
    while (at < end && tokenLower[octets[at]!] !== 0) at++;
    if (at > lineLimit) throw tooLong(limits);
    if (at === end) return false;
    if (octets[at] !== SP || at === lineStart)
      throw this.#error(
        `the request line does not begin with a method and one space: ${shown(octets, lineStart, end)}`,
      );
    const methodEnd = at++;
    const targetStart = at;
    while (at < end && targetOctet[octets[at]!] === 1) at++;
    if (at > lineLimit) throw tooLong(limits);
    if (at === end) return false;
    const targetEnd = at;
    if (octets[at] === CR || octets[at] === LF)
      throw this.#error(
        `the request line has no HTTP version (HTTP/0.9 is not spoken here): ${shown(octets, lineStart, at)}`,
      );
    if (octets[at] !== SP || targetEnd === targetStart)
      throw this.#error(`octet ${hex(octets[at]!)} in the request target`);
    at++;
    if (at + 8 > lineLimit) throw tooLong(limits);
    if (at + 8 > end) {
      this.#checkVersionSoFar(octets, at, end);
      return false;
    }
    this.version = this.#decodeVersion(octets, at);
    at += 8;
    if ((at < end && octets[at] !== CR) || (at + 1 < end && octets[at + 1] !== LF))
      throw this.#error("the request line does not end with CRLF after the HTTP version");
    if (at + 1 >= end) return false;
    this.#reset();
    if (!this.#decodeFields(octets, lineStart, at + 2, end, limits, true)) return false;
    this.#refuseUnknownCodings();
    this.method = methodName(this.#text, methodEnd - lineStart);
    this.target = this.#text.slice(targetStart - lineStart, targetEnd - lineStart);
    return true;
  }

  /**
   * Decodes a response head.
   * @returns false if the head is not complete yet
   * @throws {Failure} upstream-malformed (502)
   */
  decodeResponse(octets: Uint8Array, start: number, end: number, limits: HeadLimits): boolean {
    // "HTTP/1.1 200 " is 13 octets; an origin server may leave out the reason phrase and its space.
    if (end - start < 14) {
      this.#checkVersionSoFar(octets, start, end);
      return false;
    }
    this.version = this.#decodeVersion(octets, start);
    let at = start + 9;
    const status = (octets[at]! - 48) * 100 + (octets[at + 1]! - 48) * 10 + (octets[at + 2]! - 48);
    if (
      octets[at - 1] !== SP ||
      !isDigit(octets[at]!) ||
      !isDigit(octets[at + 1]!) ||
      !isDigit(octets[at + 2]!) ||
      status < 100
    ) {
      throw this.#error(`not a status line: ${shown(octets, start, end)}`);
    }
    at += 3;
    if (octets[at] !== SP && octets[at] !== CR) throw this.#error(`not a status line: ${shown(octets, start, end)}`);
    while (at < end && fieldValueOctet[octets[at]!] === 1) at++;
    if (at - start > limits.requestLineOctets) throw this.#error("the status line is too long");
    if (at + 1 >= end) {
      if (at < end && octets[at] !== CR) throw this.#error(`octet ${hex(octets[at]!)} in the status line`);
      return false;
    }
    if (octets[at] !== CR || octets[at + 1] !== LF) throw this.#error(`octet ${hex(octets[at]!)} in the status line`);
    this.#reset();
    this.status = status;
    return this.#decodeFields(octets, start, at + 2, end, limits, true);
  }

  /** Decodes a trailer section up to and including its empty line. @returns false if it is not complete yet */
  decodeTrailers(octets: Uint8Array, start: number, end: number, limits: HeadLimits): boolean {
    this.#reset();
    return this.#decodeFields(octets, start, start, end, limits, false);
  }

  #reset(): void {
    this.contentLength = -1;
    this.chunked = false;
    this.hasTransferEncoding = false;
    this.#unknownCodings = null;
    this.host = null;
    this.knownAuthority = null;
    this.#hostStart = -1;
    this.close = false;
    this.keepAlive = false;
    this.upgradeOption = false;
    this.otherOptions = null;
    this.upgrade = null;
    this.expectContinue = false;
    this.teTrailers = false;
  }

  /**
   * @param origin where the message starts: the text is made from there once, and the target, Host
   *        and all fields are pieces of it
   * @param isHead its fields say how the message is framed and what becomes of the connection
   */
  #decodeFields(
    octets: Uint8Array,
    origin: number,
    start: number,
    end: number,
    limits: HeadLimits,
    isHead: boolean,
  ): boolean {
    let count = 0;
    const sectionLimit = start + limits.fieldSectionOctets;
    let canonical = true;
    let at = start;
    for (;;) {
      if (at === end) return false;
      if (octets[at] === CR) {
        if (at + 1 === end) return false;
        if (octets[at + 1] !== LF) throw this.#error("a bare CR where a field line should begin");
        break;
      }
      // field-name ":" — no space before the colon, no line folding (RFC 9112 §5.1, §5.2)
      const nameStart = at;
      let hash = 0;
      let lower = 0;
      while (at < end && (lower = tokenLower[octets[at]!]!) !== 0) {
        hash = (hash * 31 + lower) | 0;
        at++;
      }
      if (at === end || octets[at] !== COLON || at === nameStart) {
        this.#checkLine(nameStart, at, sectionLimit, limits);
        if (at === end) return false;
        throw this.#badName(octets, nameStart, at);
      }
      const nameEnd = at++;
      while (at < end && (octets[at] === SP || octets[at] === HTAB)) at++;
      const valueStart = at;
      while (at < end && fieldValueOctet[octets[at]!] === 1) at++;
      this.#checkLine(nameStart, at, sectionLimit, limits);
      if (at === end) return false;
      if (octets[at] !== CR)
        throw this.#error(`octet ${hex(octets[at]!)} in the value of field ${text(octets, nameStart, nameEnd)}`);
      if (at + 1 === end) return false;
      if (octets[at + 1] !== LF)
        throw this.#error(`a bare CR in the value of field ${text(octets, nameStart, nameEnd)}`);
      let valueEnd = at;
      while (valueEnd > valueStart && (octets[valueEnd - 1] === SP || octets[valueEnd - 1] === HTAB)) valueEnd--;
      if (valueStart !== nameEnd + 2 || octets[nameEnd + 1] !== SP || valueEnd !== at) canonical = false;
      const id = recognize(hash, octets, nameStart, nameEnd);
      scratch[count] = id;
      scratch[count + 1] = nameStart - origin;
      scratch[count + 2] = valueStart - origin;
      scratch[count + 3] = valueEnd - origin;
      count += 4;
      at += 2;
      if (at > sectionLimit) throw this.#sectionTooLarge(limits);
      if (count > limits.fieldCount * 4)
        throw this.#tooLarge(`there are more than limits.fields of ${limits.fieldCount} field lines`);
      if (id !== 0 && id <= Field.te && isHead) this.#note(id, octets, valueStart, valueEnd);
    }
    const head = text(octets, origin, at);
    this.#text = head;
    const lines = scratch.slice(0, count);
    this.fields = canonical ? new FieldSection(head, lines) : canonicalize(head, lines);
    if (this.#hostStart >= 0) {
      this.knownAuthority = knownHost(octets, this.#hostStart, this.#hostEnd);
      this.host = this.knownAuthority ?? head.slice(this.#hostStart - origin, this.#hostEnd - origin);
    }
    this.end = at + 2;
    return true;
  }

  /** What framing and connection handling depend on. The ids up to `te` come first in field-name.ts for this. */
  #note(id: number, octets: Uint8Array, start: number, end: number): void {
    switch (id) {
      case Field.host:
        if (!this.#isRequest) return;
        if (this.#hostStart >= 0) throw this.#error("more than one Host field (RFC 9112 §3.2)");
        this.#hostStart = start;
        this.#hostEnd = end;
        return;
      case Field["content-length"]:
        this.#noteContentLength(octets, start, end);
        return;
      case Field["transfer-encoding"]:
        this.#noteTransferEncoding(text(octets, start, end).toLowerCase());
        return;
      case Field.connection:
        // The two common values, without making a text of them.
        if (isText(octets, start, end, KEEP_ALIVE)) this.keepAlive = true;
        else if (isText(octets, start, end, CLOSE)) this.close = true;
        else this.#noteConnection(text(octets, start, end).toLowerCase());
        return;
      case Field.expect:
        if (!this.#isRequest) return;
        if (text(octets, start, end).toLowerCase() !== "100-continue")
          throw new Failure("expectation-failed", `Expect: ${text(octets, start, end)} cannot be met`);
        this.expectContinue = true;
        return;
      case Field.upgrade:
        this.upgrade = text(octets, start, end);
        return;
      case Field.te:
        this.teTrailers ||= /(?:^|,)[ \t]*trailers[ \t]*(?:$|,|;)/i.test(text(octets, start, end));
        return;
    }
  }

  /** RFC 9112 §6.3: one value of digits; a second one, equal or not, is refused. */
  #noteContentLength(octets: Uint8Array, start: number, end: number): void {
    if (this.contentLength >= 0) throw this.#error("more than one Content-Length field (RFC 9112 §6.3)");
    let value = 0;
    for (let at = start; at < end; at++) {
      const digit = octets[at]! - 48;
      if (digit < 0 || digit > 9) throw this.#error(`Content-Length is not a number: ${text(octets, start, end)}`);
      value = value * 10 + digit;
    }
    if (start === end || value > Number.MAX_SAFE_INTEGER)
      throw this.#error(`Content-Length is empty or too large: ${text(octets, start, end)}`);
    this.contentLength = value;
  }

  /** RFC 9112 §6.1: chunked, once and alone. What else a request may have is judged when all of its head is known. */
  #noteTransferEncoding(value: string): void {
    if (this.hasTransferEncoding) throw this.#error("more than one Transfer-Encoding field (RFC 9112 §6.1)");
    this.hasTransferEncoding = true;
    if (value === "chunked") this.chunked = true;
    else if (this.#isRequest && CODINGS_UNDER_CHUNKS.test(value) && !CHUNKED_BEFORE_LAST.test(value))
      this.#unknownCodings = value;
    else throw this.#error(`Transfer-Encoding: ${value}: chunked must be the only coding (RFC 9112 §6.1)`);
  }

  /**
   * Codings under the chunks that nobody here understands get 501, since where the message ends is clear. If it is not,
   * with a Content-Length or in HTTP/1.0, the message is faulty, which is for those to say who frame the content.
   */
  #refuseUnknownCodings(): void {
    if (this.#unknownCodings === null || this.contentLength >= 0 || this.version < 11) return;
    throw new Failure(
      "transfer-coding-unsupported",
      `Transfer-Encoding: ${this.#unknownCodings}: only chunked is spoken here (RFC 9112 §6.1)`,
    );
  }

  #noteConnection(value: string): void {
    for (const part of value.split(",")) {
      const option = trimOws(part);
      if (option === "keep-alive") this.keepAlive = true;
      else if (option === "close") this.close = true;
      else if (option === "upgrade") this.upgradeOption = true;
      else if (option !== "" && option !== "te") (this.otherOptions ??= []).push(option);
    }
  }

  #decodeVersion(octets: Uint8Array, at: number): number {
    if (
      octets[at] === 0x48 &&
      octets[at + 1] === 0x54 &&
      octets[at + 2] === 0x54 &&
      octets[at + 3] === 0x50 &&
      octets[at + 4] === 0x2f &&
      octets[at + 6] === 0x2e &&
      isDigit(octets[at + 5]!) &&
      isDigit(octets[at + 7]!)
    ) {
      if (octets[at + 5] === 0x31) return octets[at + 7] === 0x30 ? 10 : 11;
      if (this.#isRequest)
        throw new Failure(
          "http-version-unsupported",
          `${text(octets, at, at + 8)} is not spoken on this listener; HTTP/1.1 is`,
        );
    }
    throw this.#error(`not an HTTP version: ${shown(octets, at, at + 8)}`);
  }

  /** Refuses octets that cannot become an HTTP version (and, in a response, a status) any more, before they are all there. */
  #checkVersionSoFar(octets: Uint8Array, at: number, end: number): void {
    const expected = "HTTP/#.# ###";
    for (let i = 0; i < expected.length && at + i < end; i++) {
      const octet = octets[at + i]!;
      if (expected[i] === "#" ? !isDigit(octet) : octet !== expected.charCodeAt(i))
        throw this.#error(`not an HTTP version: ${shown(octets, at, end)}`);
    }
  }

  /** Checks a field line as far as it is known, before anything else is said about it. */
  #checkLine(lineStart: number, at: number, sectionLimit: number, limits: HeadLimits): void {
    if (at - lineStart > limits.fieldLineOctets)
      throw this.#tooLarge(`a field line is longer than limits.fieldLine of ${limits.fieldLineOctets} octets`);
    if (at > sectionLimit) throw this.#sectionTooLarge(limits);
  }

  #sectionTooLarge(limits: HeadLimits): Failure {
    return this.#tooLarge(
      `the field section is longer than limits.fieldSection of ${limits.fieldSectionOctets} octets`,
    );
  }

  #badName(octets: Uint8Array, start: number, at: number): Failure {
    const found = octets[at]!;
    if (at === start && (found === SP || found === HTAB))
      return this.#error("a folded field line (obs-fold, RFC 9112 §5.2)");
    if (found === SP || found === HTAB)
      return this.#error(`a space between the name of field ${text(octets, start, at)} and its colon (RFC 9112 §5.1)`);
    if (found === LF) return this.#error("a field line ended by a bare LF or without a colon");
    return this.#error(`octet ${hex(found)} in a field name`);
  }

  #tooLarge(message: string): Failure {
    return new Failure(this.#isRequest ? "fields-too-large" : "upstream-malformed", message);
  }

  #error(message: string): Failure {
    return new Failure(this.#malformed, message);
  }
}

const isDigit = (octet: number): boolean => octet >= 0x30 && octet <= 0x39;

const text = (octets: Uint8Array, start: number, end: number): string => (octets as Buffer).latin1Slice(start, end);

const hex = (octet: number): string => `0x${octet.toString(16).padStart(2, "0")}`;

/** The beginning of some octets, for a message. */
const shown = (octets: Uint8Array, start: number, end: number): string =>
  JSON.stringify(text(octets, start, Math.min(end, start + 40)));

const tooLong = (limits: HeadLimits): Failure =>
  new Failure(
    "request-line-too-long",
    `the request line is longer than limits.requestLine of ${limits.requestLineOctets} octets`,
  );

/** Rewrites lines that had other white space around the value than one space before it. */
function canonicalize(section: string, lines: readonly number[]): FieldSection {
  const fields = new FieldSection();
  for (let at = 0; at < lines.length; at += 4) {
    const line = section.slice(lines[at + 1]!, lines[at + 3]!);
    fields.appendTrusted(lines[at]!, line.slice(0, line.indexOf(":")), section.slice(lines[at + 2]!, lines[at + 3]!));
  }
  return fields;
}

/** Constants for the common methods, so that no string is made for them. */
function methodName(head: string, length: number): string {
  if (length === 3 && head.startsWith("GET")) return "GET";
  if (length === 4 && head.startsWith("POST")) return "POST";
  return head.slice(0, length);
}

const KEEP_ALIVE = Buffer.from("keep-alive");
const CLOSE = Buffer.from("close");

/** True if the octets are this lower-case token, in any case. */
function isText(octets: Uint8Array, start: number, end: number, token: Uint8Array): boolean {
  if (end - start !== token.length) return false;
  for (let i = 0; i < token.length; i++) if (tokenLower[octets[start + i]!] !== token[i]) return false;
  return true;
}

// Known names by the hash the decoder computes on its way: open addressing, at most a third full.
const SLOTS = 256;
const slots = new Uint8Array(SLOTS);
const hashes = new Int32Array(SLOTS);
const names: Uint8Array[] = [];
for (let id = 1; id < knownNameCount; id++) {
  const name = Buffer.from(knownName(id), "latin1");
  names[id] = name;
  let hash = 0;
  for (const octet of name) hash = (hash * 31 + octet) | 0;
  let slot = hash & (SLOTS - 1);
  while (slots[slot] !== 0) slot = (slot + 1) & (SLOTS - 1);
  slots[slot] = id;
  hashes[slot] = hash;
}

/** The number of a name, 0 if it is not a known one. */
function recognize(hash: number, octets: Uint8Array, start: number, end: number): number {
  for (let slot = hash & (SLOTS - 1); slots[slot] !== 0; slot = (slot + 1) & (SLOTS - 1)) {
    if (hashes[slot] !== hash) continue;
    const name = names[slots[slot]!]!;
    if (name.length !== end - start) continue;
    let i = 0;
    while (i < name.length && tokenLower[octets[start + i]!] === name[i]) i++;
    if (i === name.length) return slots[slot]!;
  }
  return 0;
}

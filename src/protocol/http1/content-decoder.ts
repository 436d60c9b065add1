/**
 * Takes the framing off HTTP/1 content: a length, chunks, or the end of the connection.
 *
 * One decoder per connection, started anew for each message. It pushes content into a sink and
 * stops exactly after the message, so that what follows can be the next head. Chunk extensions
 * are dropped (RFC 9112 §7.1.1); a chunk size is 1*HEXDIG and nothing else.
 */
import { Failure, type FailureCode } from "../../base/failure.ts";
import { CERTIFICATE_FIELDS, fieldSet } from "../../http/field-name.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { fieldValueOctet, tokenLower } from "../../http/grammar.ts";
import { HeadDecoder, type HeadLimits } from "./head-decoder.ts";

export interface ContentLimits {
  readonly trailerOctets: number;
  readonly chunkExtensionOctets: number;
}

/** Receives content from a decoder. */
export interface ContentReceiver {
  onContent(octets: Uint8Array): void;
  /** True: take no more for now; `decode` returns early and is called again later with the rest. */
  readonly stopped: boolean;
}

const State = {
  none: 0,
  fixed: 1,
  untilClose: 2,
  size: 3,
  extension: 4,
  sizeLf: 5,
  data: 6,
  dataCr: 7,
  dataLf: 8,
  trailers: 9,
  done: 10,
} as const;

const CR = 0x0d;
const LF = 0x0a;

/**
 * Fields that must not come after the content (RFC 9110 §6.5.1): framing, routing, authentication, content control;
 * and what only we may say of a client.
 */
export const NOT_IN_TRAILERS = fieldSet(
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "expect",
  "upgrade",
  "te",
  "trailer",
  "keep-alive",
  "proxy-connection",
  "via",
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-real-ip",
  ...CERTIFICATE_FIELDS,
  "cookie",
  "set-cookie",
  "content-type",
  "content-encoding",
  "authorization",
  "proxy-authorization",
  "proxy-authenticate",
  "cache-control",
  "range",
  "vary",
  "age",
  "date",
  "location",
);

export class ContentDecoder {
  readonly #malformed: FailureCode;
  readonly #limits: ContentLimits;
  readonly #side: "request" | "response";
  #state: number = State.done;
  /** Octets still to come of the content or of the current chunk; while a size is read, the size so far. */
  #left = 0;
  #digits = 0;
  #extensionOctets = 0;
  #sawSemicolon = false;
  #sawExtensionName = false;
  /** A trailer section that arrived in pieces. */
  #pending: Buffer | null = null;
  trailers: FieldSection | null = null;

  constructor(side: "request" | "response", limits: ContentLimits) {
    this.#side = side;
    this.#malformed = side === "request" ? "request-malformed" : "upstream-malformed";
    this.#limits = limits;
  }

  get done(): boolean {
    return this.#state === State.done;
  }

  /** True if the content ends where the connection does: its end cannot be told from a cut. */
  get untilClose(): boolean {
    return this.#state === State.untilClose;
  }

  /** Octets of content that come next and need no decoding; 0 if its length was not declared. */
  get plain(): number {
    return this.#state === State.fixed ? this.#left : 0;
  }

  /** Some of those passed without being decoded. */
  skip(octets: number): void {
    this.#left -= octets;
    if (this.#left === 0) this.#state = State.done;
  }

  startFixed(octets: number): void {
    this.#left = octets;
    this.#state = octets === 0 ? State.done : State.fixed;
    this.trailers = null;
  }

  startChunked(): void {
    this.#state = State.size;
    this.#left = 0;
    this.#digits = 0;
    this.#extensionOctets = 0;
    this.#pending = null;
    this.trailers = null;
  }

  startUntilClose(): void {
    this.#state = State.untilClose;
    this.trailers = null;
  }

  /**
   * Decodes what is in `octets[at, end)`.
   * @returns index after what was taken: `end` unless the message ended or the receiver stopped
   * @throws {Failure} request-malformed or upstream-malformed
   */
  decode(octets: Buffer, at: number, end: number, receiver: ContentReceiver): number {
    while (at < end && this.#state !== State.done && !receiver.stopped) {
      switch (this.#state) {
        case State.untilClose:
          receiver.onContent(at === 0 && end === octets.length ? octets : octets.subarray(at, end));
          at = end;
          break;
        case State.fixed:
        case State.data: {
          const take = Math.min(this.#left, end - at);
          this.#left -= take;
          const piece = octets.subarray(at, at + take);
          at += take;
          if (this.#left === 0) this.#state = this.#state === State.fixed ? State.done : State.dataCr;
          receiver.onContent(piece);
          break;
        }
        case State.trailers:
          at = this.#decodeTrailers(octets, at, end);
          break;
        default:
          at = this.#decodeChunkFraming(octets, at, end);
      }
    }
    return at;
  }

  /** Size line, and the CRLF after the data. */
  #decodeChunkFraming(octets: Uint8Array, at: number, end: number): number {
    while (at < end) {
      const octet = octets[at]!;
      switch (this.#state) {
        case State.size: {
          const digit = hexDigit(octet);
          if (digit >= 0) {
            if (++this.#digits > 13) throw this.#error("a chunk size of more than 13 digits");
            this.#left = this.#left * 16 + digit;
          } else if (this.#digits === 0) throw this.#error(`a chunk size that begins with octet ${octet}`);
          else if (octet === CR) this.#state = State.sizeLf;
          else if (octet === 0x3b || octet === 0x20 || octet === 0x09) {
            this.#startExtension(octet);
          } else throw this.#error(`octet ${octet} in a chunk size`);
          break;
        }
        case State.extension:
          if (octet === CR) {
            if (!this.#sawExtensionName) throw this.#error("white space after a chunk size");
            this.#state = State.sizeLf;
          } else this.#extension(octet);
          break;
        case State.sizeLf:
          if (octet !== LF) throw this.#error("a chunk size line not ended by CRLF");
          this.#extensionOctets = 0;
          this.#digits = 0;
          this.#state = this.#left === 0 ? State.trailers : State.data;
          return at + 1;
        case State.dataCr:
          if (octet !== CR) throw this.#error("a chunk longer than its size");
          this.#state = State.dataLf;
          break;
        case State.dataLf:
          if (octet !== LF) throw this.#error("a chunk not ended by CRLF");
          this.#left = 0;
          this.#state = State.size;
          break;
      }
      at++;
    }
    return at;
  }

  /** chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ); dropped, but bounded and free of controls. */
  #startExtension(octet: number): void {
    this.#state = State.extension;
    this.#sawExtensionName = false;
    this.#sawSemicolon = false;
    this.#extension(octet);
  }

  #extension(octet: number): void {
    if (++this.#extensionOctets > this.#limits.chunkExtensionOctets)
      throw this.#error("chunk extensions longer than limits.chunkExtensions");
    if (fieldValueOctet[octet] === 0) throw this.#error(`octet ${octet} in a chunk extension`);
    if (octet === 0x20 || octet === 0x09) return;
    if (!this.#sawSemicolon) {
      if (octet !== 0x3b) throw this.#error("white space after a chunk size");
      this.#sawSemicolon = true;
    } else if (!this.#sawExtensionName) {
      if (tokenLower[octet] === 0) throw this.#error("a chunk extension without a name");
      this.#sawExtensionName = true;
    }
  }

  #decodeTrailers(octets: Buffer, at: number, end: number): number {
    const pending = this.#pending;
    const whole = pending === null ? octets.subarray(at, end) : Buffer.concat([pending, octets.subarray(at, end)]);
    const decoder = decoders[this.#side];
    if (!decoder.decodeTrailers(whole, 0, whole.length, trailerLimits(this.#limits))) {
      // Only a line end can complete anything; keep the octets until then.
      this.#pending = Buffer.from(whole);
      return end;
    }
    this.#pending = null;
    this.#state = State.done;
    const { fields } = decoder;
    const allowed = fields.size === 0 ? null : dropForbidden(fields);
    this.trailers = allowed;
    return at + decoder.end - (pending === null ? 0 : pending.length);
  }

  #error(what: string): Failure {
    return new Failure(this.#malformed, `${what} in chunked content (RFC 9112 §7.1)`);
  }
}

function trailerLimits({ trailerOctets }: ContentLimits): HeadLimits {
  return { requestLineOctets: 0, fieldLineOctets: trailerOctets, fieldSectionOctets: trailerOctets, fieldCount: 100 };
}

const decoders = { request: new HeadDecoder("request"), response: new HeadDecoder("response") };

function dropForbidden(fields: FieldSection): FieldSection | null {
  for (let id = 1; id < NOT_IN_TRAILERS.length; id++) if (NOT_IN_TRAILERS[id] === 1) fields.deleteKnown(id);
  return fields.size === 0 ? null : fields;
}

function hexDigit(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const lower = octet | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

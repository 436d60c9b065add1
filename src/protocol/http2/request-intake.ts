/**
 * From the field block of a request to its exchange: decodes, judges, and begins a stream, or refuses
 * it. What cannot be understood ends the stream and is never passed on (RFC 9113 §8.1.1); what can
 * be understood and is not accepted gets an answer.
 */
import { Failure } from "../../base/failure.ts";
import { NO_BODY } from "../../http/body.ts";
import type { ClientInfo, Exchange } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { ErrorCode } from "./error-code.ts";
import { beginHandshake } from "./extended-connect.ts";
import { type FieldTaker, HpackDecoder } from "./hpack/decoder.ts";
import { MessageHead } from "./message-head.ts";
import { exchangeOf, RequestTarget } from "./request-head.ts";
import { writeResponseHead } from "./response-head.ts";
import { ServerStream } from "./server-stream.ts";
import type { ServerStreams } from "./server-streams.ts";

const head = new MessageHead();
const target = new RequestTarget();
const NOBODY: FieldTaker = { onField() {} };

export class RequestIntake {
  readonly #streams: ServerStreams;
  readonly #client: ClientInfo;
  readonly #hpack = new HpackDecoder();

  constructor(streams: ServerStreams, client: ClientInfo) {
    this.#streams = streams;
    this.#client = client;
  }

  /** Decodes a block that nobody looks at, for the sake of the table (RFC 9113 §4.3). */
  skip(octets: Buffer, start: number, end: number): void {
    this.#hpack.decode(octets, start, end, NOBODY);
  }

  /** Decodes the head of a request; `begin` makes its stream. */
  decode(octets: Buffer, start: number, end: number): void {
    head.begin("request", this.#streams.settings.head);
    this.#hpack.decode(octets, start, end, head);
  }

  /**
   * Begins the exchange of the head that was decoded last.
   * @param octets of the head, for the record
   * @returns its stream, which has to be added before it is handled; null: there is none, it was refused
   */
  begin(id: number, endStream: boolean, octets: number): ServerStream | null {
    if (head.tooLarge !== null) return this.#refuse(id, endStream, head.tooLarge, octets);
    const problem = target.resolve(head) ?? problemOfLength(endStream);
    if (problem !== null) return this.malformed(id, problem, octets);
    let exchange: Exchange;
    try {
      exchange = exchangeOf(head, target, this.#client, "HTTP/2", this.#streams.settings.scheme);
    } catch (thrown) {
      return this.#refuse(id, endStream, Failure.from(thrown), octets);
    }
    const { request } = exchange;
    const stream = new ServerStream(this.#streams, id, endStream, exchange);
    this.#streams.reprioritized.begin(stream, head.priority);
    if (request.upgrade !== null) stream.expectTunnel(beginHandshake(request.upgrade, request.fields));
    else if (request.method === "CONNECT") stream.expectTunnel(null);
    else if (!endStream) stream.expectContent(request, head.contentLength, head.expectContinue);
    else if (head.contentLength === 0) request.hasEmptyContent = true;
    exchange.informer = stream;
    return stream;
  }

  /** RFC 9113 §8.1.1: a malformed request ends its stream. */
  malformed(id: number, problem: string, octets: number): null {
    this.#streams.resetStream(id, ErrorCode.protocol);
    this.#streams.hooks.malformed(this.#client, new Failure("request-malformed", problem), octets);
    this.#streams.streamRefused();
    return null;
  }

  /** A head that can be read, and is answered without an exchange. */
  #refuse(id: number, endStream: boolean, failure: Failure, octets: number): null {
    const fields = FieldSection.of({ "proxy-status": `lintel; error=${failure.code}` });
    writeResponseHead(this.#streams.link, id, new HttpResponse(failure.status, fields, NO_BODY), "GET", true);
    if (!endStream) this.#streams.resetStream(id, ErrorCode.none);
    this.#streams.hooks.malformed(this.#client, failure, octets);
    this.#streams.streamRefused();
    return null;
  }

  /**
   * Decodes a trailer section. @returns it, without what must not come after content; or why it is malformed
   */
  decodeTrailers(octets: Buffer, start: number, end: number): FieldSection | string {
    const { head: limits, trailerOctets } = this.#streams.settings;
    head.begin("trailers", { ...limits, fieldSectionOctets: trailerOctets });
    this.#hpack.decode(octets, start, end, head);
    return head.endTrailers();
  }
}

function problemOfLength(endStream: boolean): string | null {
  if (head.contentLength < 0) return null;
  if (target.method === "CONNECT") return "Content-Length in CONNECT (RFC 9110 §9.3.6)";
  if (endStream && head.contentLength > 0)
    return `no content, but a Content-Length of ${head.contentLength} (RFC 9113 §8.1.1)`;
  return null;
}

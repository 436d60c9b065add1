/**
 * Writes the responses of a server connection: heads, the framing of content, how its end is told.
 *
 * RFC 9112 §4, §6, §7; RFC 9110 §6.6.1 (Date), §7.6.1 (what does not pass a hop).
 */
import type { Failure } from "../../base/failure.ts";
import { DISCARD, NO_BODY, type UnseenOctets } from "../../http/body.ts";
import { nowHttpDate } from "../../http/date.ts";
import { failureResponse } from "../../http/error-response.ts";
import { Field, fieldSet } from "../../http/field-name.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { type HttpResponse, isContentless } from "../../http/message.ts";
import { statusLine } from "../../http/status.ts";
import type { Connection } from "../../net/connection.ts";
import { writeLength } from "./write-length.ts";

/** Fields the encoder writes itself or that must not pass a hop. */
const NOT_RELAYED = fieldSet(
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "te",
);
/** In 1xx heads, and for tunnels, Upgrade stays. */
const NOT_RELAYED_101 = fieldSet(
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "content-length",
  "te",
);

/** How the content is delimited. */
const Framing = { none: 0, length: 1, chunked: 2, close: 3, tunnel: 4 } as const;

export class ResponseEncoder {
  readonly #connection: Connection;
  #framing: number = Framing.none;
  #left = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get isTunnel(): boolean {
    return this.#framing === Framing.tunnel;
  }

  /** The response has no content: HEAD, 204, 304. */
  get isContentless(): boolean {
    return this.#framing === Framing.none;
  }

  /** Nothing but the end of the connection tells the end of the content: a cut must be a reset. */
  get endsByClose(): boolean {
    return this.#framing === Framing.close || this.#framing === Framing.tunnel;
  }

  /** Octets that are missing from the declared length. */
  get missing(): number {
    return this.#framing === Framing.length ? this.#left : 0;
  }

  /**
   * Writes the head of a final response.
   * @param version of the request: 10 or 11
   * @param keepAlive may the connection carry another request?
   * @param listenerFields what the listener tells every client: an Alt-Svc, unless the response has its own
   * @returns whether it may, now that the framing is known
   */
  writeHead(
    response: HttpResponse,
    method: string,
    version: number,
    keepAlive: boolean,
    listenerFields: FieldSection | null = null,
  ): boolean {
    const connection = this.#connection;
    connection.writeText(statusLine(response.status));
    response.fields.writeTo(connection, NOT_RELAYED);
    response.gatewayFields?.writeTo(connection, null);
    if (listenerFields !== null && !response.fields.hasKnown(Field["alt-svc"]))
      listenerFields.writeTo(connection, null);
    if (!response.fields.hasKnown(Field.date)) connection.writeText(`date: ${nowHttpDate()}\r\n`);
    this.#frame(response, method, version);
    if (!keepAlive || this.#framing === Framing.close) {
      connection.writeText("connection: close\r\n\r\n");
      return false;
    }
    connection.writeText(version < 11 ? "connection: keep-alive\r\n\r\n" : "\r\n");
    return true;
  }

  /** RFC 9112 §6.3, the other way round: how the end of the content is told. */
  #frame({ status, body }: HttpResponse, method: string, version: number): void {
    const connection = this.#connection;
    const { length } = body;
    if (method === "HEAD" || isContentless(status)) {
      this.#framing = Framing.none;
      // NO_BODY says that nobody knows the length GET would have given (RFC 9110 §8.6).
      if (length === null || body === NO_BODY || status < 200 || status === 204) return;
      writeLength(connection, length);
    } else if (length !== null) {
      this.#framing = Framing.length;
      this.#left = length;
      writeLength(connection, length);
    } else if (version >= 11) {
      this.#framing = Framing.chunked;
      connection.writeText("transfer-encoding: chunked\r\n");
    } else this.#framing = Framing.close;
  }

  /** The answer to a head that made no exchange. */
  writeRefusal(failure: Failure): void {
    const response = failureResponse(failure);
    this.writeHead(response, "GET", 11, false);
    response.body.sendTo({ ...DISCARD, write: (octets) => this.#connection.write(octets) });
  }

  /** After 101 or a 2xx to CONNECT: octets without framing from here on. */
  writeTunnelHead({ status, fields }: HttpResponse): void {
    this.#framing = Framing.tunnel;
    this.writeInterim(status, fields, status === 101 ? "connection: upgrade\r\n" : "");
  }

  /** A head that is not the final one. @param more field lines besides */
  writeInterim(status: number, fields: FieldSection, more = ""): void {
    this.#connection.writeText(statusLine(status));
    fields.writeTo(this.#connection, NOT_RELAYED_101);
    this.#connection.writeText(`${more}\r\n`);
  }

  /** @returns false if it would exceed the declared length; nothing is written then */
  write(octets: Uint8Array): boolean {
    const connection = this.#connection;
    if (this.#framing === Framing.chunked) {
      connection.writeText(`${octets.length.toString(16)}\r\n`);
      connection.write(octets);
      connection.writeText("\r\n");
      return true;
    }
    if (!this.#fits(octets.length)) return false;
    connection.write(octets);
    return true;
  }

  /** As `write`, for octets that stay in the kernel. */
  writeUnseen(octets: UnseenOctets): boolean {
    const connection = this.#connection;
    const chunked = this.#framing === Framing.chunked;
    if (!this.#fits(octets.length)) return false;
    if (chunked) connection.writeText(`${octets.length.toString(16)}\r\n`);
    connection.writeUnseen(octets);
    if (chunked) connection.writeText("\r\n");
    return true;
  }

  /** Counts octets against the declared length. */
  #fits(octets: number): boolean {
    if (this.#framing !== Framing.length) return true;
    if (octets > this.#left) return false;
    this.#left -= octets;
    return true;
  }

  /** The content is complete. @param trailers null if there are none or the client takes none */
  end(trailers: FieldSection | null): void {
    if (this.#framing === Framing.chunked) {
      this.#connection.writeText("0\r\n");
      trailers?.writeTo(this.#connection, NOT_RELAYED);
      this.#connection.writeText("\r\n");
    } else if (this.#framing === Framing.tunnel) this.#connection.endWriting();
  }
}

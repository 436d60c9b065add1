/**
 * Writes the requests of a client connection: heads, the framing of content, how its end is told.
 *
 * RFC 9112 §3, §6, §7; RFC 9110 §7.6.1 (what does not pass a hop), §7.8 (Upgrade), §10.1.4 (TE).
 */
import { NO_BODY } from "../../http/body.ts";
import { fieldSet } from "../../http/field-name.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { HttpRequest } from "../../http/message.ts";
import type { Connection } from "../../net/connection.ts";
import { writeLength } from "./write-length.ts";

/** Fields the encoder writes itself or that must not pass a hop. */
const NOT_RELAYED = fieldSet(
  "host",
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "te",
  "http2-settings",
);

/** How the content is delimited. */
const Framing = { length: 0, chunked: 1, tunnel: 2 } as const;

export class RequestEncoder {
  readonly #connection: Connection;
  #framing: number = Framing.length;
  /** Octets still to come of content of declared length. */
  #left = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Octets that are missing from the declared length. */
  get missing(): number {
    return this.#framing === Framing.length ? this.#left : 0;
  }

  /** @param authority value of Host */
  writeHead(request: HttpRequest, authority: string): void {
    const connection = this.#connection;
    connection.writeText(request.method);
    connection.writeText(" ");
    connection.writeText(request.target);
    connection.writeText(" HTTP/1.1\r\nhost: ");
    connection.writeText(authority);
    connection.writeText("\r\n");
    request.fields.writeTo(connection, NOT_RELAYED);
    request.gatewayFields?.writeTo(connection, null);
    this.#frame(request);
    if (request.upgrade !== null) connection.writeText(`connection: upgrade\r\nupgrade: ${request.upgrade}\r\n`);
    else if (request.acceptsTrailers) connection.writeText("te: trailers\r\nconnection: te\r\n");
    connection.writeText("\r\n");
  }

  #frame({ body, hasEmptyContent }: HttpRequest): void {
    const connection = this.#connection;
    this.#framing = Framing.length;
    this.#left = 0;
    if (body !== NO_BODY) {
      const { length } = body;
      if (length === null) {
        this.#framing = Framing.chunked;
        connection.writeText("transfer-encoding: chunked\r\n");
      } else {
        this.#left = length;
        writeLength(connection, length);
      }
    } else if (hasEmptyContent) connection.writeText("content-length: 0\r\n");
  }

  /** After 101 or a 2xx to CONNECT: octets without framing from here on. */
  beginTunnel(): void {
    this.#framing = Framing.tunnel;
  }

  /** @returns false if it would exceed the declared length: one octet too many would be read as the next request */
  write(octets: Uint8Array): boolean {
    const connection = this.#connection;
    if (this.#framing === Framing.chunked) {
      connection.writeText(`${octets.length.toString(16)}\r\n`);
      connection.write(octets);
      connection.writeText("\r\n");
      return true;
    }
    if (this.#framing === Framing.length) {
      if (octets.length > this.#left) return false;
      this.#left -= octets.length;
    }
    connection.write(octets);
    return true;
  }

  /** The content is complete, and nothing of it is missing. */
  end(trailers: FieldSection | null): void {
    if (this.#framing === Framing.chunked) {
      this.#connection.writeText("0\r\n");
      trailers?.writeTo(this.#connection, NOT_RELAYED);
      this.#connection.writeText("\r\n");
    } else if (this.#framing === Framing.tunnel) this.#connection.endWriting();
  }
}

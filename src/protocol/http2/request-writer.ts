/**
 * Writes the heads of requests (RFC 9113 §8.3.1): pseudo-fields, fields, what the gateway adds.
 * Length is always the encoder's own, and what says something about a connection stays behind.
 */
import { createHash } from "node:crypto";
import { NO_BODY } from "../../http/body.ts";
import { Field } from "../../http/field-name.ts";
import type { FieldSection, LineTaker } from "../../http/field-section.ts";
import type { HttpRequest, Scheme } from "../../http/message.ts";
import { NOT_RELAYED } from "./fields.ts";
import type { Link } from "./link.ts";

/** How a request is put (RFC 9113 §8.3.1, §8.5; RFC 8441 §4). */
export type RequestForm = "ordinary" | "connect" | "extended-connect";

/** @returns where the frame begins in the output */
export function writeRequestHead(
  link: Link,
  streamId: number,
  request: HttpRequest,
  scheme: Scheme,
  authority: string,
  form: RequestForm,
  endStream: boolean,
): number {
  const { out, encoder, connection } = link;
  const { fields, gatewayFields, body } = request;
  out.use(connection);
  const at = out.beginHeaders(streamId);
  encoder.begin(out);
  if (form === "ordinary") {
    encoder.pseudo(":method", request.method);
    encoder.pseudo(":scheme", scheme);
    encoder.pseudo(":authority", authority);
    encoder.pseudo(":path", request.target);
  } else if (form === "connect") {
    encoder.pseudo(":method", "CONNECT");
    encoder.pseudo(":authority", request.target);
  } else {
    encoder.pseudo(":method", "CONNECT");
    encoder.pseudo(":protocol", request.upgrade!);
    encoder.pseudo(":scheme", scheme);
    encoder.pseudo(":authority", authority);
    encoder.pseudo(":path", request.target);
  }
  if (form === "extended-connect") fields.eachLine(new WithoutKey(encoder), NOT_RELAYED);
  else fields.eachLine(encoder, NOT_RELAYED);
  gatewayFields?.eachLine(encoder, null);
  if (body !== NO_BODY) {
    const { length } = body;
    if (length !== null) encoder.onLine(Field["content-length"], "content-length", String(length));
  } else if (request.hasEmptyContent) encoder.onLine(Field["content-length"], "content-length", "0");
  if (request.acceptsTrailers) encoder.onLine(Field.te, "te", "trailers");
  return out.endHeaders(at, streamId, endStream, link.peer.maxFrameOctets);
}

/** RFC 8441 §5: the handshake's key is not sent in HTTP/2. */
class WithoutKey implements LineTaker {
  readonly #next: LineTaker;

  constructor(next: LineTaker) {
    this.#next = next;
  }

  onLine(id: number, name: string, value: string): void {
    if (name !== "sec-websocket-key") this.#next.onLine(id, name, value);
  }
}

/** Makes the answer to extended CONNECT what it is in an exchange: that to GET with Upgrade (RFC 6455 §4.2.2). */
export function answerHandshake(request: HttpRequest, fields: FieldSection): void {
  fields.set("upgrade", request.upgrade!);
  const key = request.fields.get("sec-websocket-key");
  if (key === undefined) return;
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  fields.set("sec-websocket-accept", accept);
}

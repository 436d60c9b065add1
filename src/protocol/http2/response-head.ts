/**
 * Writes the heads of responses (RFC 9113 §8.3.2): status, fields, what the gateway adds. Length is
 * always the encoder's own.
 */
import { NO_BODY } from "../../http/body.ts";
import { nowHttpDate } from "../../http/date.ts";
import { Field } from "../../http/field-name.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { type HttpResponse, isContentless } from "../../http/message.ts";
import { NOT_RELAYED } from "./fields.ts";
import type { Link } from "./link.ts";

/** The response ends with its head: to HEAD, 204, 304. */
export function isWithoutContent(status: number, method: string): boolean {
  return method === "HEAD" || isContentless(status);
}

/**
 * @param listenerFields what the listener tells every client: an Alt-Svc, unless the response has its own
 * @returns where the frame begins in the output
 */
export function writeResponseHead(
  link: Link,
  streamId: number,
  response: HttpResponse,
  method: string,
  endStream: boolean,
  listenerFields: FieldSection | null = null,
): number {
  const { status, fields, body, gatewayFields } = response;
  const { out, encoder, connection } = link;
  out.use(connection);
  const at = out.beginHeaders(streamId);
  encoder.begin(out);
  encoder.status(status);
  fields.eachLine(encoder, NOT_RELAYED);
  gatewayFields?.eachLine(encoder, null);
  if (listenerFields !== null && !fields.hasKnown(Field["alt-svc"])) listenerFields.eachLine(encoder, null);
  if (!fields.hasKnown(Field.date)) encoder.onLine(Field.date, "date", nowHttpDate());
  const { length } = body;
  if (length !== null && saysLength(response, method))
    encoder.onLine(Field["content-length"], "content-length", String(length));
  return out.endHeaders(at, streamId, endStream, link.peer.maxFrameOctets);
}

/** NO_BODY without content says that nobody knows the length GET would have given (RFC 9110 §8.6). */
export function saysLength({ status, fields, body }: HttpResponse, method: string): boolean {
  // A call of gRPC that ends with its head has no messages, rather than empty content.
  if (body === NO_BODY && fields.hasKnown(Field["grpc-status"])) return false;
  if (!isWithoutContent(status, method)) return true;
  return body !== NO_BODY && status >= 200 && status !== 204;
}

/** The head that opens a tunnel: 200, whatever HTTP/1.1 said (RFC 8441 §5). @returns where the frame begins */
export function writeTunnelHead(link: Link, streamId: number, { status, fields, gatewayFields }: HttpResponse): number {
  const { out, encoder, connection } = link;
  out.use(connection);
  const at = out.beginHeaders(streamId);
  encoder.begin(out);
  encoder.status(status === 101 ? 200 : status);
  fields.eachLine(encoder, NOT_RELAYED);
  gatewayFields?.eachLine(encoder, null);
  return out.endHeaders(at, streamId, false, link.peer.maxFrameOctets);
}

/** A head that is not the final one (RFC 9113 §8.1). */
export function writeInterimHead(link: Link, streamId: number, status: number, fields: FieldSection): void {
  const { out, encoder, connection } = link;
  out.use(connection);
  const at = out.beginHeaders(streamId);
  encoder.begin(out);
  encoder.status(status);
  fields.eachLine(encoder, NOT_RELAYED);
  out.endHeaders(at, streamId, false, link.peer.maxFrameOctets);
}

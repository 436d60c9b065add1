/** What middlewares that answer by themselves share. */
import { Failure } from "../base/failure.ts";
import { type BodySource, DeclaredLength, type Flow, MemoryBody, NO_BODY } from "../http/body.ts";
import type { Exchange } from "../http/exchange.ts";
import type { FieldSection } from "../http/field-section.ts";
import { HttpResponse, isContentless } from "../http/message.ts";

/**
 * A response with this content. HEAD gets the length alone (RFC 9110 §9.3.2); a status that has no
 * content gets none.
 */
export function answer(exchange: Exchange, status: number, fields: FieldSection, content: Uint8Array): HttpResponse {
  if (isContentless(status)) return new HttpResponse(status, fields);
  if (exchange.request.method === "HEAD") return headAnswer(status, fields, content.length);
  return new HttpResponse(status, fields, content.length === 0 ? NO_BODY : new MemoryBody(content));
}

/** The response to a HEAD whose GET would have `length` octets of content. */
export function headAnswer(status: number, fields: FieldSection, length: number): HttpResponse {
  return new HttpResponse(status, fields, new DeclaredLength(length));
}

/** A short rest is read to its end, so that the connection it comes from can be used again. */
const WORTH_READING_OCTETS = 64 * 1024;

/** Gets rid of content that nobody will send: whoever holds a connection or a file for it lets go. */
export function dropContent(body: BodySource): void {
  if (body === NO_BODY) return;
  let flow: Flow | null = null;
  let left = WORTH_READING_OCTETS;
  let over = false;
  const cancel = () => {
    if (over) return;
    over = true;
    flow?.cancel(new Failure("internal", "the content was replaced by another"));
  };
  body.sendTo({
    begin(f) {
      flow = f;
      if (body.length !== null && body.length > WORTH_READING_OCTETS) cancel();
    },
    write(octets) {
      left -= octets.length;
      if (left < 0) cancel();
    },
    end() {
      over = true;
    },
    abort() {
      over = true;
    },
  });
}

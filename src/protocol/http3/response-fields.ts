/** The fields of a response as the runtime takes them. Length is always our own. */

import { nowHttpDate } from "../../http/date.ts";
import { Field } from "../../http/field-name.ts";
import type { FieldSection, LineTaker } from "../../http/field-section.ts";
import type { HttpResponse } from "../../http/message.ts";
import { NOT_RELAYED } from "../http2/fields.ts";
import { saysLength } from "../http2/response-head.ts";

export type OutgoingFields = Record<string, string | string[]>;

class Collector implements LineTaker {
  fields: OutgoingFields = {};

  begin(): void {
    this.fields = Object.create(null) as OutgoingFields;
  }

  onLine(_id: number, name: string, value: string): void {
    const before = this.fields[name];
    if (before === undefined) this.fields[name] = value;
    else if (typeof before === "string") this.fields[name] = [before, value];
    else before.push(value);
  }
}

const collector = new Collector();

export function responseFields(
  response: HttpResponse,
  method: string,
  listenerFields: FieldSection | null,
): OutgoingFields {
  const { status, fields, body, gatewayFields } = response;
  collector.begin();
  collector.fields[":status"] = String(status);
  fields.eachLine(collector, NOT_RELAYED);
  gatewayFields?.eachLine(collector, null);
  if (listenerFields !== null && !fields.hasKnown(Field["alt-svc"])) listenerFields.eachLine(collector, null);
  if (!fields.hasKnown(Field.date)) collector.fields.date = nowHttpDate();
  if (body.length !== null && saysLength(response, method)) collector.fields["content-length"] = String(body.length);
  return collector.fields;
}

/** The head that opens a tunnel: 200, whatever HTTP/1.1 said (RFC 9220 §3). */
export function tunnelFields({ status, fields, gatewayFields }: HttpResponse): OutgoingFields {
  collector.begin();
  collector.fields[":status"] = String(status === 101 ? 200 : status);
  fields.eachLine(collector, NOT_RELAYED);
  gatewayFields?.eachLine(collector, null);
  return collector.fields;
}

export function interimFields(status: number, fields: FieldSection): OutgoingFields {
  collector.begin();
  collector.fields[":status"] = String(status);
  fields.eachLine(collector, NOT_RELAYED);
  return collector.fields;
}

export function trailerFields(trailers: FieldSection): OutgoingFields {
  collector.begin();
  trailers.eachLine(collector, NOT_RELAYED);
  return collector.fields;
}

/** The same with one line for each name but Set-Cookie: the runtime wants some names once only. */
export function inOneLine(fields: OutgoingFields): OutgoingFields {
  for (const [name, value] of Object.entries(fields))
    if (typeof value !== "string" && name !== "set-cookie") fields[name] = value.join(", ");
  return fields;
}

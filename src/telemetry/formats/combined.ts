/**
 * The access log as Apache's and nginx's "combined" format, which most log readers know, with one
 * more quoted word at the end: the outcome, "done" or who:phase:code.
 */

import { nowCommonLog } from "../../http/date.ts";
import type { Exchange } from "../../http/exchange.ts";
import { Field } from "../../http/field-name.ts";
import { outcomeOf, statusOf } from "../outcome.ts";
import { escapeQuoted } from "./escape.ts";

export function combinedLine(exchange: Exchange): string {
  const { by, phase, code } = outcomeOf(exchange);
  return (
    `${exchange.clientAddress || "-"} - - [${nowCommonLog()}] "${firstLine(exchange)}"` +
    ` ${statusOf(exchange)} ${exchange.responseOctets} "${field(exchange, Field["referer"])}"` +
    ` "${field(exchange, Field["user-agent"])}" "${code === null ? phase : `${by}:${phase}:${code}`}"`
  );
}

function firstLine({ protocol, client, request, clientTarget }: Exchange): string {
  // At layer 4 there is no request: the listener stands for it.
  if (protocol === "TCP" || protocol === "UDP") return `${protocol} ${escapeQuoted(client.listener)}`;
  if (request.method === "") return "-";
  return `${escapeQuoted(request.method)} ${escapeQuoted(clientTarget)} ${protocol}`;
}

function field(exchange: Exchange, id: number): string {
  const value = exchange.request.fields.getKnown(id);
  return value === undefined ? "-" : escapeQuoted(value);
}

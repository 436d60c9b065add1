/** Problem details for clients that are programs (RFC 9457). */
import type { Exchange } from "../../http/exchange.ts";
import { Field } from "../../http/field-name.ts";
import type { FieldSection } from "../../http/field-section.ts";
import { reasonPhrase } from "../../http/status.ts";
import { parseWeighted } from "../quality.ts";

/**
 * Does the client want JSON rather than a page? Only names count: browsers end their list with a
 * wildcard too, and mean HTML.
 * @param otherwise what holds for a client that names neither
 */
export function prefersJson(fields: FieldSection, otherwise: boolean): boolean {
  const accept = fields.getKnown(Field.accept);
  if (accept === undefined) return otherwise;
  let json = 0;
  let page = 0;
  let any = 0;
  for (const { name, q } of parseWeighted(accept)) {
    if (name === "application/json" || name.endsWith("+json")) json = Math.max(json, q);
    else if (name === "text/html" || name === "application/xhtml+xml") page = Math.max(page, q);
    else if (name === "*/*" || name === "application/*") any = Math.max(any, q);
  }
  if (json === 0 && page === 0) return otherwise && any > 0;
  return json > page;
}

/**
 * Says no more than the status does: a failure's message names endpoints. `requestId` finds the
 * line in the access log.
 */
export function problemDetails(exchange: Exchange, status: number): string {
  const problem = { type: "about:blank", title: reasonPhrase(status), status, requestId: exchange.id };
  return `${JSON.stringify(problem)}\n`;
}

/** The gateway's own answer to a failure, where no `error-pages` middleware says otherwise. */
import type { Failure } from "../base/failure.ts";
import { MemoryBody } from "./body.ts";
import { FieldSection } from "./field-section.ts";
import { HttpResponse } from "./message.ts";
import { reasonPhrase } from "./status.ts";

/**
 * A short plain text with the failure's code. The message stays in the log: it names endpoints,
 * which are nobody's business outside.
 */
export function failureResponse(failure: Failure): HttpResponse {
  const { status, code } = failure;
  const fields = new FieldSection();
  fields.append("content-type", "text/plain; charset=utf-8");
  fields.append("proxy-status", `lintel; error=${code}`);
  if (status === 503 || failure.retryAfterSeconds !== null)
    fields.append("retry-after", String(failure.retryAfterSeconds ?? 1));
  return new HttpResponse(status, fields, MemoryBody.text(`${status} ${reasonPhrase(status)} (${code})\n`));
}

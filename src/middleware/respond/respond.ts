/**
 * `respond` answers with fixed content: a health check, a maintenance page, a robots.txt.
 *
 * The body is a template; by `contentType`, what variables bring in is escaped as HTML, XML or JSON
 * text. HEAD gets the fields and the length alone. Statuses that have no content take no body.
 *
 * RFC 9110 §15 (status codes), §9.3.2 (HEAD).
 */
import { z } from "zod";
import { defineMiddleware } from "../../http/define.ts";
import { FieldSection } from "../../http/field-section.ts";
import { isContentless } from "../../http/message.ts";
import { compileTemplate, type Template } from "../../http/variable.ts";
import { answer } from "../answer.ts";
import { contentEscape } from "../escape.ts";
import { checkFieldNames, constantValueOption, fieldValueOption } from "../field-value.ts";
import { templateText } from "../template-text.ts";

const body = templateText("Content, with variables.");

const TEXT = "text/plain; charset=utf-8";

const full = z
  .strictObject({
    status: z.int().min(200).max(599).default(200).meta({ description: "Status code." }),
    body: body.default(""),
    contentType: constantValueOption("Content-Type of the body.").prefault(TEXT),
    fields: z
      .record(z.string(), fieldValueOption("Value of the field."))
      .superRefine((record, ctx) => checkFieldNames(Object.keys(record), "response", ctx))
      .default({})
      .meta({ description: "Further fields of the response." }),
  })
  .superRefine(({ status, body }, ctx) => {
    if (body === "" || (!isContentless(status) && status !== 205)) return;
    const message = `a response with status ${status} has no content: leave out body`;
    ctx.addIssue({ code: "custom", message, path: ["body"], params: { code: "bad-respond" } });
  });

const options = z
  .union([body, z.int().min(200).max(599), full])
  .transform((value) => {
    if (typeof value === "number") return full.parse({ status: value });
    return typeof value === "string" ? full.parse({ body: value }) : value;
  })
  .meta({ description: "The content, the status, or an object for more." });

export const respond = defineMiddleware({
  name: "respond",
  summary: "Answers with a fixed response.",
  options,
  responds: true,
  create({ status, body, contentType, fields }) {
    const template = compileTemplate(body, contentEscape(contentType));
    const constant = template.constant === null ? null : Buffer.from(template.constant);
    const common = new FieldSection();
    if (body !== "") common.append("content-type", contentType);
    const [constants, variables] = split(fields);
    for (const [name, value] of constants) if (value !== "") common.set(name, value);
    return () => (exchange) => {
      const section = common.clone();
      for (const [name, value] of variables) {
        const text = value(exchange);
        if (text !== "") section.set(name, text);
      }
      return answer(exchange, status, section, constant ?? Buffer.from(template(exchange)));
    };
  },
});

function split(fields: Readonly<Record<string, Template>>): [[string, string][], [string, Template][]] {
  const entries = Object.entries(fields);
  const constants = entries.flatMap(([name, { constant }]): [string, string][] =>
    constant === null ? [] : [[name, constant]],
  );
  return [constants, entries.filter(([, { constant }]) => constant === null)];
}

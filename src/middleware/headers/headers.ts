/**
 * `headers` edits the fields of the request on its way up and of the response on its way down.
 *
 * In each section the edits run in this order: `remove`, `replace`, `set`, `add`, `default`. Values
 * are templates; one that comes out empty writes no line. What a variable brings in can never end the
 * line (field-value.ts). Fields that belong to framing or to the connection, and a request's Host, are
 * refused when the config is read, and `*` passes them by.
 *
 * Response edits see every response that comes through here. A failure is thrown past them: put
 * `headers` before `error-pages` in `use` to have them on error pages too.
 *
 * RFC 9110 §5 (fields), §7.6.1 (Connection).
 */
import { z } from "zod";
import { oneOrMany } from "../../base/option.ts";
import { defineMiddleware } from "../../http/define.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { HttpResponse } from "../../http/message.ts";
import { checkFieldNames, fieldNameProblem, fieldValueOption } from "../field-value.ts";
import { regexOption } from "../regex.ts";
import { compileEdits, type Edit, readsResponse } from "./edit.ts";
import { replacementOption } from "./replacement.ts";

type Side = "request" | "response";

const values = (side: Side, doc: string) =>
  z
    .record(z.string(), oneOrMany(fieldValueOption("Value of the field; a list for several lines.")))
    .superRefine((record, ctx) => checkFieldNames(Object.keys(record), side, ctx))
    .default({})
    .meta({ description: doc });

const replacement = z.strictObject({
  pattern: regexOption("What to look for in the value, as a regular expression; every match is replaced.", "g"),
  with: replacementOption("What to put in its place, with variables; `$1` and `$<name>` are its groups."),
});

const removals = (side: Side) =>
  z
    .array(z.string())
    .superRefine((names, ctx) => {
      names.forEach((name, i) => {
        const problem = name === "*" ? null : fieldNameProblem(name.replace(/\*$/, ""), side);
        if (problem === null) return;
        const { message, hint } = problem;
        ctx.addIssue({ code: "custom", message, path: [i], params: { code: "bad-field-name", hint } });
      });
    })
    .default([])
    .meta({ description: "Fields to remove; `x-internal-*` removes all whose name begins so." });

const section = (side: Side) =>
  z
    .strictObject({
      remove: removals(side),
      replace: z
        .record(z.string(), oneOrMany(replacement))
        .superRefine((record, ctx) => checkFieldNames(Object.keys(record), side, ctx))
        .default({})
        .meta({ description: "Fields whose value is changed where a regular expression matches, line by line." }),
      set: values(side, "Fields to set, in place of any of the same name."),
      add: values(side, "Field lines to add to those that are there."),
      default: values(side, "Fields to set where there is none of that name."),
    })
    .prefault({})
    .meta({ description: `Edits of the ${side}'s fields.` });

export const headers = defineMiddleware({
  name: "headers",
  summary: "Sets, adds, removes and replaces fields of requests and responses.",
  options: z.strictObject({ request: section("request"), response: section("response") }),
  create(options) {
    const requestEdits = compileEdits(options.request, "request");
    const responseEdits = compileEdits(options.response, "response");
    const respond = readsResponse(options.response) ? editSeen : edit;
    return (next) => {
      if (responseEdits.length === 0) {
        return (exchange) => {
          for (const change of requestEdits) change(exchange.request.fields, exchange);
          return next(exchange);
        };
      }
      return async (exchange) => {
        for (const change of requestEdits) change(exchange.request.fields, exchange);
        const response = await next(exchange);
        respond(responseEdits, response, exchange);
        return response;
      };
    };
  },
});

function edit(edits: readonly Edit[], response: HttpResponse, exchange: Exchange): void {
  for (const change of edits) change(response.fields, exchange);
}

/** As `edit`, with `{response.…}` reading the response as it is here. */
function editSeen(edits: readonly Edit[], response: HttpResponse, exchange: Exchange): void {
  const before = exchange.response;
  exchange.response = response;
  edit(edits, response, exchange);
  exchange.response = before;
}

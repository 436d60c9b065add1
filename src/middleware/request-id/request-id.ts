/**
 * `request-id` gives the exchange an identifier that the origin server, the client and the access
 * log all see: `{request.id}`.
 *
 * The client's own is taken over when `accept` allows it and it is 1 to 128 characters of a set
 * that is harmless in logs and URLs; else it is replaced, so that the origin server can trust the
 * field. "trusted" takes it from a proxy in `trustedProxies` that says who its client is.
 */
import { z } from "zod";
import { defineMiddleware } from "../../http/define.ts";
import type { Exchange } from "../../http/exchange.ts";
import { fieldNameProblem } from "../field-value.ts";

const fieldName = z
  .string()
  .meta({ description: "Field that carries it." })
  .superRefine((name, ctx) => {
    const problem = fieldNameProblem(name, "request") ?? fieldNameProblem(name, "response");
    if (problem === null) return;
    ctx.addIssue({ code: "custom", message: problem.message, params: { code: "bad-field-name", hint: problem.hint } });
  });

const options = z
  .strictObject({
    field: fieldName.default("x-request-id"),
    accept: z
      .enum(["trusted", "always", "never"])
      .default("trusted")
      .meta({ description: "Whose identifier is taken over: that of a trusted proxy, of any client, or of nobody." }),
    response: z.boolean().default(true).meta({ description: "Put it in the response too." }),
    format: z
      .enum(["hex", "uuid", "uuidv7"])
      .default("hex")
      .meta({ description: "How a new one looks: 32 hexadecimal digits, a random UUID, or one that sorts by time." }),
  })
  .prefault({});

const HARMLESS = /^[A-Za-z0-9._~+/=-]{1,128}$/;

const MAKERS = {
  hex: null, // What an exchange makes by itself.
  uuid: () => crypto.randomUUID(),
  uuidv7: () => Bun.randomUUIDv7(),
} as const;

export const requestId = defineMiddleware({
  name: "request-id",
  summary: "Gives each exchange an identifier in a field.",
  options,
  create({ field, accept, response: inResponse, format }) {
    const make = MAKERS[format];
    const alike = [field.toLowerCase()];
    const identify = (exchange: Exchange) => {
      const { fields } = exchange.request;
      const theirs = accept === "never" ? undefined : fields.get(field);
      if (theirs !== undefined && (accept === "always" || isVouchedFor(exchange)) && HARMLESS.test(theirs)) {
        exchange.id = theirs;
      } else if (make !== null) exchange.id = make();
      fields.deleteDisguised(alike); // `X_Request_Id`, which some origin servers read as the same.
      fields.set(field, exchange.id);
    };
    return (next) => {
      if (!inResponse) {
        return (exchange) => {
          identify(exchange);
          return next(exchange);
        };
      }
      return async (exchange) => {
        identify(exchange);
        const response = await next(exchange);
        response.fields.set(field, exchange.id);
        return response;
      };
    };
  },
});

/** Only a trusted proxy can make the client's address another than the peer's. */
function isVouchedFor(exchange: Exchange): boolean {
  return exchange.clientAddress !== exchange.client.peer;
}

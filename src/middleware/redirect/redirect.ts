/**
 * `redirect` answers with another location.
 *
 * `to` is a template; what variables bring in is percent-encoded where it must be, so that it can
 * neither end the field line nor change the shape of the location. A location that begins with "//"
 * only because of the request's own text is cut down to one "/": it would lead to another host.
 * The client's query is kept unless the location has one itself. `scheme` is the short form for
 * "the same, with https"; a request that already has that scheme goes on to the next handler.
 *
 * RFC 9110 §15.4 (redirection), §10.2.2 (Location).
 */
import { z } from "zod";
import { defineMiddleware, type Handler, type Middleware } from "../../http/define.ts";
import type { Exchange } from "../../http/exchange.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { compileTemplate } from "../../http/variable.ts";
import { encodeForbidden, uriEscape } from "../escape.ts";
import { templateText } from "../template-text.ts";

const location = templateText("Where to: a URL or a path, with variables.").refine((text) => text.trim() !== "", {
  message: "a redirect needs a location",
});

const STATUSES = [301, 302, 303, 307, 308] as const;

const full = z
  .strictObject({
    to: location.optional(),
    scheme: z
      .enum(["http", "https"])
      .optional()
      .meta({ description: "Instead of `to`: the same URL with this scheme, on the scheme's own port." }),
    status: z.literal(STATUSES).default(308).meta({
      description: "301 and 302 let a client change POST to GET, 303 asks for it, 307 and 308 keep the method.",
    }),
    keepQuery: z
      .boolean()
      .default(true)
      .meta({ description: "Keep the client's query, unless the location has one itself." }),
  })
  .superRefine(({ to, scheme }, ctx) => {
    if ((to === undefined) !== (scheme === undefined)) return;
    const message =
      to === undefined ? "redirect needs either to or scheme" : "redirect takes either to or scheme, not both";
    ctx.addIssue({ code: "custom", message, params: { code: "bad-redirect" } });
  });

const options = z
  .union([location, full])
  .transform((value) => (typeof value === "string" ? { to: value, status: 308 as const, keepQuery: true } : value))
  .meta({ description: "Where to, or an object for more." });

export const redirect = defineMiddleware({
  name: "redirect",
  summary: "Answers with a redirect.",
  options,
  responds: true,
  mayHandOn: (written) => typeof written === "object" && written !== null && "scheme" in written,
  create({ to, status, keepQuery, ...more }) {
    if (to !== undefined) {
      const locate = compileLocation(to, keepQuery);
      const respond: Handler = (exchange) => redirection(status, locate(exchange));
      return () => respond;
    }
    return sameUrl(("scheme" in more && more.scheme) || "https", status, keepQuery);
  },
});

function sameUrl(scheme: "http" | "https", status: number, keepQuery: boolean): Middleware {
  return (next) => (exchange) => {
    const { request } = exchange;
    // Without a host, or for "OPTIONS *", there is no URL to send the client to.
    if (request.scheme === scheme || exchange.host === "" || !request.target.startsWith("/")) return next(exchange);
    const target = keepQuery ? request.target : request.target.split("?", 1)[0]!;
    return redirection(status, encodeForbidden(`${scheme}://${exchange.host}${target}`));
  };
}

function redirection(status: number, location: string): HttpResponse {
  const fields = new FieldSection();
  fields.append("location", location);
  return new HttpResponse(status, fields);
}

/** The function that makes the value of Location. */
function compileLocation(to: string, keepQuery: boolean): (exchange: Exchange) => string {
  const hash = to.indexOf("#");
  const fragment = hash < 0 ? "" : encodeForbidden(compileTemplate(to.slice(hash)).constant ?? "");
  // The text between the variables is the config's own, but must be a URI too: "/größe" → "/gr%C3%B6%C3%9Fe".
  const beforeFragment = fragment === "" ? to : to.slice(0, hash);
  const template = compileTemplate(beforeFragment, uriEscape);
  const meansOtherHost = beforeFragment.startsWith("//");
  return (exchange) => {
    let text = encodeForbidden(template(exchange));
    if (!meansOtherHost && text.startsWith("//")) text = text.replace(/^\/+/, "/");
    if (keepQuery && exchange.query !== "" && !text.includes("?")) text += `?${exchange.query}`;
    return text + fragment;
  };
}

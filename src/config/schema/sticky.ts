/** `sticky` of an upstream: clients come back to the endpoint that served them first. */
import { z } from "zod";
import { duration } from "../../base/option.ts";
import type { StickyConfig } from "../gateway-config.ts";
import { textOption } from "./text.ts";

// RFC 6265 §4.1.1 and RFC 9110 §5.1: both names are tokens.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/;

const token = (code: string, what: string, description: string) =>
  textOption(
    code,
    (text) => (TOKEN.test(text) ? { text } : { problem: `${JSON.stringify(text)} cannot be the name of a ${what}` }),
    { description },
  );

const attribute = (description: string) =>
  textOption(
    "bad-value",
    (text) =>
      /^[\x20-\x3a\x3c-\x7e]{1,1024}$/.test(text)
        ? { text }
        : { problem: `${JSON.stringify(text)} cannot stand in a cookie` },
    { description },
  );

const cookie = z
  .strictObject({
    name: token("bad-name", "cookie", "Name of the cookie.").prefault("lintel"),
    ttl: duration(
      "How long the client keeps it, renewed with each response; `off`: until the browser is closed.",
      "off",
    ).transform((ms) => (ms === Number.POSITIVE_INFINITY ? null : ms)),
    secure: z
      .union([z.literal("auto"), z.boolean()])
      .default("auto")
      .meta({
        description: "Only over https; `auto`: as the request came.",
      }),
    httpOnly: z.boolean().default(true).meta({ description: "Out of reach for scripts." }),
    sameSite: z.enum(["strict", "lax", "none"]).default("lax").meta({
      description: "Whether requests that come from other sites carry it.",
    }),
    path: attribute("Path it is for.").prefault("/"),
    domain: attribute("Domain it is for. Default: the host of the request alone.")
      .optional()
      .transform((value) => value ?? null),
  })
  .meta({ title: "Sticky cookie" });

const full = z
  .strictObject({
    cookie: z
      .union([token("bad-name", "cookie", "Name of the cookie."), cookie])
      .transform((value) => (typeof value === "string" ? cookie.parse({ name: value }) : value))
      .optional()
      .meta({ description: "The cookie that names the endpoint: its name, or everything about it." }),
    field: token("bad-name", "field", "The request and response field that names the endpoint, instead of a cookie.")
      .transform((name) => name.toLowerCase())
      .optional(),
    secret: z.string().min(1).optional().meta({
      description: "Key of the endpoints' names, so that nobody can guess one. Default: a hash of the address.",
    }),
  })
  .transform(({ cookie: given, field = null, secret = null }, ctx): StickyConfig => {
    if (given !== undefined && field !== null) {
      const params = { code: "bad-value", hint: "remove one of them" };
      const message = "a client is known by a cookie or by a field, not by both";
      ctx.addIssue({ code: "custom", message, path: ["field"], params });
      return z.NEVER;
    }
    return { cookie: field === null ? (given ?? cookie.parse({})) : null, field, secret };
  })
  .meta({ title: "Sticky" });

export const sticky = z
  .union([z.enum(["off", "cookie"]), full])
  .default("off")
  .transform((value): StickyConfig | null => {
    if (value === "off") return null;
    return value === "cookie" ? full.parse({}) : value;
  })
  .meta({ description: "Clients come back to the endpoint that served them first: `cookie`, or by what." });

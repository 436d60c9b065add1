/** What plain HTTP becomes where there is HTTPS too: the redirect, and what browsers are told (HSTS). */
import { z } from "zod";
import { duration } from "../../base/option.ts";
import type { HstsConfig, HttpsRedirectConfig } from "../gateway-config.ts";
import { wholeNumber } from "./text.ts";

const redirectFields = z.strictObject({
  status: z.literal([301, 302, 307, 308]).default(308).meta({
    description: "308 and 307 keep the method; 301 and 302 let a client change POST to GET.",
  }),
  port: wholeNumber(1, 65_535, "Port of HTTPS as clients know it. Default: that of the listener with TLS.").optional(),
});

/** @returns false: none */
export const httpsRedirect = z
  .union([z.boolean(), redirectFields])
  .meta({
    title: "Redirect to HTTPS",
    description:
      "Send plain requests to HTTPS, for hosts that a certificate covers and sites that a listener with TLS serves.",
  })
  .transform((value): HttpsRedirectConfig | false => {
    if (value === false) return false;
    const { status, port } = value === true ? redirectFields.parse({}) : value;
    return { status, port: port ?? null };
  });

const YEAR_MS = 365 * 86_400_000;

const hstsFields = z.strictObject({
  maxAge: duration("For so long a browser speaks HTTPS alone to the host.", "365d"),
  subdomains: z.boolean().default(false).meta({ description: "To all hosts below it, too." }),
  preload: z.boolean().default(false).meta({
    description: "Agree to be built into browsers (hstspreload.org), which is hard to undo.",
  }),
});

/** @returns false: none */
export const hsts = z
  .union([z.boolean(), hstsFields])
  .meta({
    title: "HSTS",
    description:
      "Tell browsers, over HTTPS, never to speak plain HTTP to the host again (RFC 6797). `true` for a year; a `maxAge` of 0s takes it back.",
  })
  .transform((value, ctx): HstsConfig | false => {
    if (value === false) return false;
    const { maxAge, ...rest } = value === true ? hstsFields.parse({}) : value;
    const problem = !Number.isFinite(maxAge)
      ? '"maxAge" must end some time: write a duration such as "365d"'
      : rest.preload && (!rest.subdomains || maxAge < YEAR_MS)
        ? '"preload" needs "subdomains: true" and a "maxAge" of at least 365d'
        : null;
    if (problem !== null) {
      ctx.addIssue({ code: "custom", message: problem, params: { code: "bad-hsts" } });
      return z.NEVER;
    }
    return { ...rest, maxAge };
  });

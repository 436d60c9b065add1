/**
 * `body-limit` refuses request content larger than `max`, and takes the place of the site's limit.
 *
 * A declared length over the limit is refused before any content is read. Content of unknown
 * length is counted as it passes; at the first octet too many the source is cancelled and the
 * exchange fails, so the origin server never sees a complete message. Of several limits on a way
 * the innermost replaces the site's, and every one of them counts.
 *
 * RFC 9110 §8.6 (Content-Length), §15.5.14 (413 Content Too Large).
 */
import { z } from "zod";
import { byteSize } from "../../base/option.ts";
import { limitContent } from "../../http/content-limit.ts";
import { defineMiddleware } from "../../http/define.ts";

const max = byteSize('Largest request content accepted, in octets; "off" for any.', "10MB");

const options = z
  .union([byteSize("Largest request content accepted."), z.strictObject({ max })])
  .transform((value) => (typeof value === "number" ? { max: value } : value))
  .prefault({})
  .meta({ description: "The largest size, or an object." });

export const bodyLimit = defineMiddleware({
  name: "body-limit",
  summary: "Refuses request content over a size.",
  options,
  create({ max }) {
    return (next) => (exchange) => {
      limitContent(exchange.request, max, "body-limit.max");
      exchange.maxContentOctets = max;
      return next(exchange);
    };
  },
});

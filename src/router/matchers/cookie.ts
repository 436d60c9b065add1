/** `cookie`: cookies by name, their values as sent. Of a repeated cookie the first counts. */
import { z } from "zod";
import type { ValueMatch } from "../../config/gateway-config.ts";
import { cookie as readCookie } from "../../http/cookie.ts";
import { defineMatcher } from "../matcher.ts";
import { valueOption, valuesMatcher } from "../value-test.ts";

export const cookie = defineMatcher<Readonly<Record<string, ValueMatch>>>({
  name: "cookie",
  options: () => z.record(z.string(), valueOption).meta({ description: "Cookies by name." }),
  create(conditions) {
    return valuesMatcher("cookie", conditions, (name) => ({
      first: (exchange) => readCookie(exchange.request.fields, name),
      all: () => [],
    }));
  },
});

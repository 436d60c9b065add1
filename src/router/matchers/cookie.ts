/** `cookie`: cookies by name, their values as sent. Of a repeated cookie the first counts. */
import { cookie as readCookie } from "../../http/cookie.ts";
import { defineMatcher } from "../matcher.ts";
import { valuesMatcher } from "../value-test.ts";

export const cookie = defineMatcher({
  name: "cookie",
  create(conditions) {
    return valuesMatcher("cookie", conditions, (name) => ({
      first: (exchange) => readCookie(exchange.request.fields, name),
      all: () => [],
    }));
  },
});

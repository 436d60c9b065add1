/** `scheme`: http or https. */
import { defineMatcher, orList } from "../matcher.ts";

export const scheme = defineMatcher({
  name: "scheme",
  create(schemes) {
    return {
      specificity: 1,
      choice: { of: "scheme", values: schemes },
      matches: (exchange) => schemes.includes(exchange.request.scheme),
      describe: () => `scheme ${orList(schemes)}`,
      found: (exchange) => exchange.request.scheme,
    };
  },
});

/** `method`: case-sensitive (RFC 9110 §9.1), and just those named: GET does not include HEAD. */
import { defineMatcher, orList } from "../matcher.ts";

export const method = defineMatcher({
  name: "method",
  create(methods) {
    return {
      specificity: 1,
      choice: { of: "method", values: methods },
      matches: (exchange) => methods.includes(exchange.request.method),
      describe: () => `method ${orList(methods)}`,
      found: (exchange) => exchange.request.method,
    };
  },
});

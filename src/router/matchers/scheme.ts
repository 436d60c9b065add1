/** `scheme`: http or https. */
import { defineMatcher, orList } from "../matcher.ts";
import { wordList } from "../text-list.ts";

export const scheme = defineMatcher<readonly string[]>({
  name: "scheme",
  options: () => wordList(["http", "https"], "Scheme of the request."),
  create(schemes) {
    return {
      specificity: 1,
      matches: (exchange) => schemes.includes(exchange.request.scheme),
      describe: () => `scheme ${orList(schemes)}`,
      found: (exchange) => exchange.request.scheme,
    };
  },
});

/** `protocol`: version of the protocol the request came with. */
import { defineMatcher, orList } from "../matcher.ts";

export const protocol = defineMatcher({
  name: "protocol",
  create(versions) {
    return {
      specificity: 1,
      choice: { of: "protocol", values: versions },
      matches: (exchange) => versions.includes(exchange.protocol),
      describe: () => `protocol ${orList(versions)}`,
      found: (exchange) => exchange.protocol,
    };
  },
});

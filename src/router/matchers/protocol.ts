/** `protocol`: version of the protocol the request came with. */
import { defineMatcher, orList } from "../matcher.ts";
import { wordList } from "../text-list.ts";

export const protocol = defineMatcher<readonly string[]>({
  name: "protocol",
  options: () => wordList(["HTTP/1.0", "HTTP/1.1"], "Protocol version of the request."),
  create(versions) {
    return {
      specificity: 1,
      matches: (exchange) => versions.includes(exchange.protocol),
      describe: () => `protocol ${orList(versions)}`,
      found: (exchange) => exchange.protocol,
    };
  },
});

/** `client`: blocks of addresses the client is in, as seen past trusted proxies. */
import { CidrSet } from "../cidr.ts";
import { defineMatcher, orList } from "../matcher.ts";

export const client = defineMatcher({
  name: "client",
  create(blocks) {
    const addresses = new CidrSet(blocks);
    return {
      specificity: 1,
      choice: { of: "client", values: blocks },
      matches: (exchange) => addresses.has(exchange.clientAddress),
      describe: () => `client ${orList(blocks)}`,
      found: (exchange) => exchange.clientAddress || "no address",
    };
  },
});

/** `client`: blocks of addresses the client is in, as seen past trusted proxies. */
import { readCidr } from "../../config/address.ts";
import { CidrSet } from "../cidr.ts";
import { defineMatcher, orList } from "../matcher.ts";
import { textList } from "../text-list.ts";

export const client = defineMatcher<readonly string[]>({
  name: "client",
  options: () => textList("bad-cidr", readCidr, "Address blocks the client is in, seen past trusted proxies."),
  create(blocks) {
    const addresses = new CidrSet(blocks);
    return {
      specificity: 1,
      matches: (exchange) => addresses.has(exchange.clientAddress),
      describe: () => `client ${orList(blocks)}`,
      found: (exchange) => exchange.clientAddress || "no address",
    };
  },
});

/** `host`: the host asked for, by the patterns of host-map.ts. */
import { HostMap } from "../host-map.ts";
import { defineMatcher, orList } from "../matcher.ts";

export const host = defineMatcher({
  name: "host",
  create(patterns) {
    const hosts = new HostMap();
    for (const pattern of patterns) hosts.add(pattern, 0);
    return {
      specificity: 1,
      choice: { of: "host", values: patterns },
      matches: (exchange) => hosts.find(exchange.host) >= 0,
      describe: () => `host ${orList(patterns)}`,
      found: (exchange) => JSON.stringify(exchange.host),
    };
  },
});

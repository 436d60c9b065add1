/** `host`: the host asked for, by the patterns of host-map.ts. */
import { readHostPattern } from "../../config/pattern.ts";
import { HostMap } from "../host-map.ts";
import { defineMatcher, orList } from "../matcher.ts";
import { textList } from "../text-list.ts";

export const host = defineMatcher<readonly string[]>({
  name: "host",
  options: () =>
    textList("bad-host", readHostPattern, "Host: exact, `*.x` for one label, `.x` for any depth below, `~regex`."),
  create(patterns) {
    const hosts = new HostMap();
    for (const pattern of patterns) hosts.add(pattern, 0);
    return {
      specificity: 1,
      matches: (exchange) => hosts.find(exchange.host) >= 0,
      describe: () => `host ${orList(patterns)}`,
      found: (exchange) => JSON.stringify(exchange.host),
    };
  },
});

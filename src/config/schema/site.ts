/** `sites`, their `routes`, and the middlewares in `use`. */
import { z } from "zod";
import type { Catalog } from "../catalog.ts";
import { remembering } from "../same.ts";
import { entry } from "./entry.ts";
import { hosts, matchOf } from "./match.ts";
import { label } from "./text.ts";
import { siteTls } from "./tls.ts";
import { to } from "./upstream.ts";

export function sites(catalog: Catalog) {
  const use = z
    .array(entry(catalog, "middlewares"))
    .default([])
    .meta({ description: "Middlewares, in the order they see the request." });
  const route = z
    .strictObject({
      name: label("Name in logs and metrics. Default: the site's name and the route's number.").optional(),
      match: matchOf(catalog.variables).prefault({}),
      use,
      to: to.optional(),
    })
    .meta({ title: "Route", description: "What happens to the requests it matches." });
  const site = z
    .strictObject({
      name: label("Name in logs and metrics. Default: its first host.").optional(),
      hosts: hosts.optional(),
      listeners: z
        .array(z.string())
        .min(1)
        .optional()
        .meta({ description: "Names of the listeners it is reached by. Default: all." }),
      tls: siteTls.optional(),
      use,
      order: z
        .enum(["specific", "file"])
        .default("specific")
        .meta({ description: "In which order routes are tried: the most specific first, or as written." }),
      routes: z.array(remembering(route)).default([]).meta({ description: "What it does with which requests." }),
      to: to.optional().meta({
        description:
          "Where requests go that no route takes: the name of an upstream, an address, or a list of addresses.",
      }),
    })
    .meta({ title: "Site", description: "What is served for some hosts." });
  return z
    .array(remembering(site))
    .default([])
    .meta({ description: "What is served, by host. Needed, unless there is `tcp` or `udp`." });
}

export type ParsedSite = z.output<ReturnType<typeof sites>>[number];

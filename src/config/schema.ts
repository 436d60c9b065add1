/**
 * The whole config as one schema: what may be written, with its docs, and what comes out of it.
 * The pieces are in schema/; relations between pieces (names, duplicates) are in check.ts.
 */
import { z } from "zod";
import { readCidr } from "./address.ts";
import type { Catalog } from "./catalog.ts";
import type { GatewayConfig } from "./gateway-config.ts";
import { normalise } from "./normalise.ts";
import { limits, timeouts } from "./schema/limits.ts";
import { admin, listeners } from "./schema/listener.ts";
import { reload, state, zone } from "./schema/process.ts";
import { tcp, udp } from "./schema/relay.ts";
import { sites } from "./schema/site.ts";
import { telemetry } from "./schema/telemetry.ts";
import { label, textOption, wholeNumber } from "./schema/text.ts";
import { tls } from "./schema/tls.ts";
import { type UpstreamOf, upstreamOf, upstreams } from "./schema/upstream.ts";

/** What may be written, before shorthands are written out. */
export function configSchema(catalog: Catalog, ofEndpoints: UpstreamOf = upstreamOf(catalog)) {
  return z
    .strictObject({
      $schema: z.string().optional().meta({ description: "The JSON Schema of this file, for editors." }),
      include: z
        .union([z.string(), z.array(z.string())])
        .optional()
        .meta({ description: "Further files, by patterns relative to this one. Lists are joined, maps merged." }),
      workers: z
        .union([z.literal("auto"), wholeNumber(1, 256, "Number of worker processes.")])
        .prefault("auto")
        .meta({ description: "Number of worker processes; `auto` is one per core." }),
      user: label("User to become once the listening sockets are bound.").optional(),
      listeners: listeners.optional(),
      trustedProxies: z
        .array(textOption("bad-cidr", readCidr, { description: "A block of addresses.", examples: ["10.0.0.0/8"] }))
        .default([])
        .meta({ description: "Proxies in front of this one, whose forwarded fields are believed." }),
      tls,
      limits,
      timeouts,
      upstreams: upstreams(catalog, ofEndpoints),
      sites: sites(catalog),
      tcp,
      udp,
      admin,
      telemetry: telemetry(catalog.variables),
      locality: label("Where this gateway stands; endpoints of the same locality are preferred.").optional(),
      state,
      reload,
      zone,
    })
    .meta({ title: "Lintel", description: "Config of Lintel, a reverse proxy." });
}

export type ParsedConfig = z.output<ReturnType<typeof configSchema>>;

/** The schema that gives a `GatewayConfig`; made once per catalog. */
export function gatewaySchema(catalog: Catalog): z.ZodType<GatewayConfig> {
  let schema = schemas.get(catalog);
  if (schema === undefined) {
    const ofEndpoints = upstreamOf(catalog);
    schema = configSchema(catalog, ofEndpoints).transform((parsed) => normalise(parsed, ofEndpoints));
    schemas.set(catalog, schema);
  }
  return schema;
}

const schemas = new WeakMap<Catalog, z.ZodType<GatewayConfig>>();

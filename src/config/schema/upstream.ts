/** `upstreams`: named sets of endpoints, and the shorthands for them. */
import { z } from "zod";
import { duration } from "../../base/option.ts";
import { type Reading, readEndpointAddress } from "../address.ts";
import type { Catalog } from "../catalog.ts";
import type { EndpointConfig, OriginTlsConfig } from "../gateway-config.ts";
import { readHostPattern } from "../pattern.ts";
import { remembering } from "../same.ts";
import { entries, entry } from "./entry.ts";
import { health } from "./health.ts";
import { circuit, hedge, queue, retry } from "./recovery.ts";
import { sticky } from "./sticky.ts";
import { label, orOff, textOption, wholeNumber } from "./text.ts";
import { originTls } from "./tls.ts";

const endpointAddress = textOption("bad-address", readEndpointAddress, {
  description: "Address of an origin server.",
  examples: ["localhost:3000", "[::1]:8080", "unix:/run/app.sock"],
});

/** One per endpoint or for all of an upstream. */
const maxInFlight = (description: string) =>
  orOff(description, wholeNumber(1, 10_000_000, description)).transform((value) => value ?? Number.POSITIVE_INFINITY);

/** An endpoint with everything that may be said of it. */
export const fullEndpoint = z
  .strictObject({
    address: endpointAddress,
    weight: wholeNumber(
      0,
      1000,
      "Share of the exchanges, relative to the others; 0 gets only those bound to it (sticky).",
    ).prefault(1),
    backup: z.boolean().default(false).meta({ description: "Used only while no endpoint without this is usable." }),
    priority: wholeNumber(
      0,
      65_535,
      "Lower ones first; higher ones are used only while no lower one is usable.",
    ).prefault(0),
    locality: label("Where it stands; that of the gateway goes before others of its priority.").optional(),
    maxInFlight: maxInFlight(
      "Exchanges at one time, over all workers; `off` for no limit. Default: the upstream's.",
    ).optional(),
  })
  .meta({ title: "Endpoint" });

const endpoint = z
  .union([endpointAddress, fullEndpoint])
  .transform((value) => (typeof value === "string" ? plainEndpoint(value) : value));

export type ParsedEndpoint = z.output<typeof fullEndpoint>;

const plainEndpoint = (address: string): ParsedEndpoint => ({ address, weight: 1, backup: false, priority: 0 });

const endpoints = z
  .union([endpoint, z.array(endpoint).min(1)])
  .transform((value) => (Array.isArray(value) ? value : [value]))
  .meta({ description: "Addresses of the origin servers." });

/** Endpoints written outside of a config, in the same shapes; an empty list is one too. */
export const endpointListSchema: z.ZodType<readonly EndpointConfig[]> = z
  .union([endpoint, z.array(endpoint)])
  .transform((value) => withLimits(Array.isArray(value) ? value : [value], Number.POSITIVE_INFINITY));

/** @param most `maxInFlight` of those that have none of their own */
function withLimits(list: readonly ParsedEndpoint[], most: number): EndpointConfig[] {
  return list.map((one) => ({ ...one, locality: one.locality ?? null, maxInFlight: one.maxInFlight ?? most }));
}

const host = textOption("bad-host", readHostPolicy, {
  description: "Host sent to the origin server: `keep` the client's, the `endpoint`'s own address, or a fixed one.",
  examples: ["keep", "endpoint", "shop.example.com"],
}).transform((text) =>
  text === "keep" || text === "endpoint"
    ? { kind: text as "keep" | "endpoint" }
    : { kind: "fixed" as const, value: text },
);

const branding = z
  .union([
    z.literal(false),
    z
      .strictObject({
        as: textOption("bad-origin", readOrigin, {
          description: "The origin the upstream believes it is: scheme and host.",
          examples: ["https://shop.vendor.example"],
        }),
      })
      .meta({ title: "Branding" }),
  ])
  .default(false)
  .transform((value) => (value === false ? null : value))
  .meta({
    description:
      "For an upstream on another host name that should work under yours: Host is set to that name, and with `tls` the server name; it is replaced in Location, Content-Location, Refresh and Set-Cookie.",
  });

function fullUpstream(catalog: Catalog) {
  return z
    .strictObject({
      endpoints: endpoints.optional(),
      discover: entries(catalog, "providers").prefault([]).meta({
        description: "What finds further endpoints: a provider with its options, or a list of them.",
      }),
      maxInFlight: maxInFlight(
        "Exchanges at one time for each endpoint that has no limit of its own, over all workers; `off` for no limit.",
      ).prefault("off"),
      balance: entry(catalog, "balancers").prefault("round-robin").meta({
        description: "How an endpoint is picked: a balancer, with its options.",
      }),
      sticky,
      slowStart: duration(
        "How long an endpoint that has come or come back takes to get its whole share; `off`: it has it at once.",
        "off",
      ).transform((ms) => (ms === Number.POSITIVE_INFINITY ? 0 : ms)),
      queue,
      health: health(catalog),
      circuit,
      retry,
      hedge,
      host: host.prefault("keep"),
      branding,
      tls: originTls,
      protocol: z.enum(["http1", "http2", "auto"]).default("http1").meta({
        description:
          "`http2` is that alone: by ALPN over TLS, else by prior knowledge (h2c); `auto`, over TLS, is whichever the endpoint says.",
      }),
      proxyProtocol: z
        .enum(["off", "v1", "v2"])
        .default("off")
        .transform((value) => (value === "off" ? null : value === "v1" ? 1 : 2))
        .meta({
          description:
            "Begin each connection with a PROXY header that says who the client is. Connections are not shared between clients then.",
        }),
      pool: z
        .strictObject({
          maxIdle: wholeNumber(0, 100_000, "Idle connections kept.").prefault(256),
          idleTimeout: duration("How long an idle connection is kept.", "60s"),
          streams: wholeNumber(1, 1_000_000, "Exchanges at one time on a connection of HTTP/2.").prefault(100),
          connections: orOff(
            "Connections of HTTP/2 at one time; `off` for as many as are needed. At the limit exchanges wait for a stream, as for a connection.",
            wholeNumber(1, 100_000, "Connections of HTTP/2 at one time."),
          )
            .transform((value) => value ?? Number.POSITIVE_INFINITY)
            .prefault("off"),
        })
        .prefault({})
        .meta({ title: "Pool", description: "Connections kept open, per endpoint and worker." }),
      timeouts: z
        .strictObject({
          connect: duration("To connect to an endpoint. Default: `timeouts.connect`.").optional(),
          firstOctet: duration("To the first octet of the response. Default: `timeouts.firstOctet`.").optional(),
          idle: duration("Without an octet of the response's content. Default: `timeouts.upstreamIdle`.").optional(),
        })
        .prefault({})
        .meta({ title: "Upstream timeouts", description: "Own timeouts of this upstream." }),
    })
    .transform(({ endpoints: list = [], ...rest }) => ({
      endpoints: withLimits(list, rest.maxInFlight),
      ...rest,
      tls: tlsAs(rest.branding, rest.tls),
    }))
    .meta({ title: "Upstream", description: "A named set of endpoints." });
}

/** Who is asked under a name of its own is reached under that name too: as SNI, and in its certificate. */
function tlsAs(branding: { readonly as: string } | null, tls: OriginTlsConfig | null): OriginTlsConfig | null {
  if (branding === null || tls === null || tls.serverName !== null) return tls;
  return { ...tls, serverName: new URL(branding.as).hostname.replace(/^\[|\]$/g, "") };
}

export type ParsedUpstream = z.output<ReturnType<typeof fullUpstream>>;

/** Makes an upstream of endpoints, with everything else by default. */
export type UpstreamOf = (list: readonly ParsedEndpoint[]) => ParsedUpstream;

export function upstreamOf(catalog: Catalog): UpstreamOf {
  // Read once: there may be thousands of upstreams that are only an address.
  const defaults = fullUpstream(catalog).parse({});
  return (list) => ({ ...defaults, endpoints: withLimits(list, defaults.maxInFlight) });
}

/** @param ofEndpoints  for those that are only addresses */
export function upstreams(catalog: Catalog, ofEndpoints: UpstreamOf) {
  const upstream = z.union([endpointAddress, z.array(endpoint).min(1), fullUpstream(catalog)]).transform((value) => {
    if (Array.isArray(value)) return ofEndpoints(value);
    return typeof value === "string" ? ofEndpoints([plainEndpoint(value)]) : value;
  });
  return z
    .record(z.string().regex(/^[A-Za-z0-9_][\w.-]{0,127}$/), remembering(upstream))
    .prefault({})
    .meta({ description: "Where exchanges are sent, by name. An address or a list of addresses is enough." });
}

/** A route's `to`: the name of an upstream, or addresses. A ":" tells them apart. */
export const to = z
  .union([
    textOption("bad-address", (text) => (text.includes(":") ? readEndpointAddress(text) : readUpstreamName(text)), {
      description: "Name of an upstream, or an address.",
      examples: ["app", "localhost:3000"],
    }),
    z.array(endpoint).min(1),
  ])
  .transform((value) => {
    if (typeof value !== "string") return value;
    return value.includes(":") ? [plainEndpoint(value)] : value;
  })
  .meta({ description: "Where exchanges are sent: the name of an upstream, an address, or a list of addresses." });

function readUpstreamName(text: string): Reading {
  if (/^\d+$/.test(text)) return readEndpointAddress(text);
  if (/^[A-Za-z0-9_][\w.-]*$/.test(text)) return { text };
  return {
    problem: `${JSON.stringify(text)} is neither the name of an upstream nor an address such as "localhost:3000"`,
  };
}

function readHostPolicy(text: string): Reading {
  if (text === "keep" || text === "endpoint") return { text };
  const port = /:\d{1,5}$/.exec(text)?.[0] ?? "";
  const name = readHostPattern(text.slice(0, text.length - port.length));
  const fixed = "text" in name && !/^[~.*]/.test(name.text);
  if (fixed) return { text: name.text + port };
  return {
    problem: `${JSON.stringify(text)} is not a Host: write "keep", "endpoint" or a host name such as "shop.example.com"`,
  };
}

function readOrigin(text: string): Reading {
  const problem = `${JSON.stringify(text)} is not an origin: write scheme and host, such as "https://shop.vendor.example"`;
  const parts = /^(https?):\/\/([^/?#@]+)(\/?)$/i.exec(text);
  if (parts === null) return { problem };
  const host = readHostPolicy(parts[2]!);
  return "text" in host && host.text !== "keep" && host.text !== "endpoint"
    ? { text: `${parts[1]!.toLowerCase()}://${host.text}` }
    : { problem };
}

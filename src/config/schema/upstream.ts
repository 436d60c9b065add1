/** `upstreams`: named sets of endpoints, and the shorthands for them. */
import { z } from "zod";
import { duration } from "../../base/option.ts";
import { type Reading, readEndpointAddress } from "../address.ts";
import { readHostPattern } from "../pattern.ts";
import { textOption, wholeNumber } from "./text.ts";

const endpointAddress = textOption("bad-address", readEndpointAddress, {
  description: "Address of an origin server.",
  examples: ["localhost:3000", "[::1]:8080", "unix:/run/app.sock"],
});

const endpoint = z
  .union([
    endpointAddress,
    z
      .strictObject({
        address: endpointAddress,
        weight: wholeNumber(1, 1000, "Share of the exchanges, relative to the others.").prefault(1),
      })
      .meta({ title: "Endpoint" }),
  ])
  .transform((value) => (typeof value === "string" ? { address: value, weight: 1 } : value));

const endpoints = z
  .union([endpoint, z.array(endpoint).min(1)])
  .transform((value) => (Array.isArray(value) ? value : [value]))
  .meta({ description: "Addresses of the origin servers." });

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
      "For an upstream on another host name that should work under yours: Host is set to that name, and it is replaced in Location, Content-Location, Refresh and Set-Cookie.",
  });

const full = z
  .strictObject({
    endpoints,
    balance: z.enum(["round-robin"]).default("round-robin").meta({ description: "How an endpoint is picked." }),
    host: host.prefault("keep"),
    branding,
    retries: wholeNumber(
      0,
      100,
      "Further endpoints tried when one fails before anything was sent, or the method is idempotent.",
    ).prefault(2),
    pool: z
      .strictObject({
        maxIdle: wholeNumber(0, 100_000, "Idle connections kept.").prefault(64),
        idleTimeout: duration("How long an idle connection is kept.", "60s"),
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
  .meta({ title: "Upstream", description: "A named set of endpoints." });

export type ParsedUpstream = z.output<typeof full>;
export type ParsedEndpoint = z.output<typeof endpoint>;

const upstream = z
  .union([endpointAddress, z.array(endpoint).min(1), full])
  .transform((value) =>
    typeof value === "string" || Array.isArray(value) ? upstreamOf(endpoints.parse(value)) : value,
  );

export const upstreams = z
  .record(z.string().regex(/^[A-Za-z0-9_][\w.-]{0,127}$/), upstream)
  .prefault({})
  .meta({ description: "Where exchanges are sent, by name. An address or a list of addresses is enough." });

/** An upstream of these endpoints with everything else by default. */
export function upstreamOf(list: readonly ParsedEndpoint[]): ParsedUpstream {
  return full.parse({ endpoints: list });
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
    return value.includes(":") ? [{ address: value, weight: 1 }] : value;
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

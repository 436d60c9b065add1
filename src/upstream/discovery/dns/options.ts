/** Options that providers by DNS share. */
import { z } from "zod";
import { duration, oneOrMany } from "../../../base/option.ts";
import type { Reading } from "../../../config/address.ts";
import { label, textOption, wholeNumber } from "../../../config/schema/text.ts";
import { isIp, parseAddress } from "../../../net/address.ts";
import type { EndpointSpec } from "../../endpoint-spec.ts";
import type { Server } from "./exchange.ts";
import type { Family } from "./resolver.ts";

/** RFC 1035 §2.3.4 sets the lengths; what names are made of is wider in practice than §2.3.1 has it. */
const NAME = /^(?=.{1,254}$)(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?$/;

export function dnsName(description: string, example: string) {
  const read = (text: string): Reading => {
    if (isIp(text.replace(/^\[|\]$/g, "")))
      return { problem: `${JSON.stringify(text)} is an address, not a name`, hint: 'write it in "endpoints"' };
    if (NAME.test(text)) return { text: text.toLowerCase() };
    const hint = /^[^:]+:\d+$/.test(text) ? 'the port has an option of its own, "port"' : null;
    return {
      problem: `${JSON.stringify(text)} is not a name that DNS can be asked for`,
      ...(hint === null ? {} : { hint }),
    };
  };
  return textOption("bad-name", read, { description, examples: [example] });
}

const server = textOption(
  "bad-address",
  (text) =>
    readServer(text) === null
      ? { problem: `${JSON.stringify(text)} is not a DNS server: write host or host:port` }
      : { text },
  { description: "A DNS server.", examples: ["10.0.0.53", "127.0.0.1:8600", "[::1]:53"] },
).transform((text): Server => readServer(text)!);

function readServer(text: string): Server | null {
  if (isIp(text)) return { host: text, port: 53 };
  const address = parseAddress(/:\d+$/.test(text) ? text : `${text}:53`);
  if (address?.kind !== "tcp" || address.port === 0) return null;
  return isIp(address.host) || NAME.test(address.host) ? { host: address.host, port: address.port } : null;
}

/** Where, how often and of which family; and where the endpoints stand among the upstream's others. */
export const lookupOptions = {
  family: z
    .literal(["both", 4, 6])
    .default("both")
    .meta({ description: "Addresses used: IPv4 (`4`), IPv6 (`6`) or `both`." }),
  servers: oneOrMany(server).optional().meta({
    description:
      "DNS servers, asked in their order. Default: as the system does it, with its hosts file, servers and search domains.",
  }),
  floor: duration("An answer is good for at least this long, however short its lifetime (TTL).", "1s"),
  ceiling: duration("An answer is good for at most this long, however long its lifetime.", "5m"),
  timeout: duration("For an answer from one server; after that the next one is asked.", "2s"),
  empty: z.enum(["keep", "drop"]).default("keep").meta({
    description:
      "When the name does not exist or has no addresses: `keep` the endpoints known until then, or `drop` them all.",
  }),
  backup: z.boolean().default(false).meta({ description: "Used only while no endpoint without this is usable." }),
  locality: label("Where the endpoints stand; that of the gateway goes before others of its priority.").optional(),
};

export const weight = wholeNumber(
  0,
  1000,
  "Share of the exchanges of each address, relative to other endpoints.",
).prefault(1);

export const priority = wholeNumber(
  0,
  65_535,
  "Lower ones first; higher ones are used only while no lower one is usable.",
).prefault(0);

/** Shortest `floor` and `timeout`: below, servers would be asked without a pause. */
const LEAST_MS = 100;

export function checkPace(options: { floor: number; ceiling: number; timeout: number }, ctx: z.RefinementCtx): void {
  const say = (option: string, message: string) =>
    ctx.addIssue({ code: "custom", path: [option], message, params: { code: "out-of-range" } });
  if (options.floor < LEAST_MS || options.floor === Infinity)
    say("floor", `"floor" must be at least ${LEAST_MS}ms, and not "off"`);
  else if (options.ceiling < options.floor) say("ceiling", '"ceiling" must not be below "floor"');
  if (options.timeout < LEAST_MS || options.timeout > 60_000)
    say("timeout", `"timeout" must be from ${LEAST_MS}ms to 60s`);
}

export const familiesOf = (family: "both" | 4 | 6): readonly Family[] => (family === "both" ? [4, 6] : [family]);

/** An endpoint that only its address is known of. */
export function placed(
  address: string,
  place: { weight: number; priority: number; backup: boolean; locality?: string | undefined },
): EndpointSpec {
  const { weight: share, priority: rank, backup, locality = null } = place;
  return { address, weight: share, backup, priority: rank, locality, maxInFlight: Infinity };
}

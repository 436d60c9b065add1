/**
 * The address of the real client behind trusted proxies.
 *
 * Each proxy appends the address it saw, so the list is read from the right: entries that are
 * trusted proxies themselves are passed over, the first other one is the client. What stands left
 * of it was sent by the client and says nothing. `Forwarded` (RFC 7239) counts only where there is
 * no `X-Forwarded-For`.
 */
import type { Exchange } from "../http/exchange.ts";
import { Field } from "../http/field-name.ts";
import type { Scheme } from "../http/message.ts";
import { canonicalIp } from "../net/address.ts";
import type { CidrSet } from "../router/cidr.ts";

/** @returns the address, without port; the nearest believable one if an entry is no address */
export function clientAddress(exchange: Exchange, trusted: CidrSet): string {
  const { fields } = exchange.request;
  const list =
    fields.getKnown(Field["x-forwarded-for"])?.split(",") ?? forwardedNodes(fields.getKnown(Field.forwarded));
  let nearest = exchange.client.peer;
  for (let i = list.length - 1; i >= 0; i--) {
    const address = addressOf(list[i]!);
    if (address === null) return nearest;
    nearest = address;
    if (!trusted.has(address)) return address;
  }
  return nearest;
}

/** The scheme the client used, as a trusted proxy that ends TLS tells it; else that of our own connection. */
export function clientScheme(exchange: Exchange): Scheme {
  const { fields, scheme } = exchange.request;
  const said = fields.getKnown(Field["x-forwarded-proto"])?.trim().toLowerCase();
  return said === "https" || said === "http" ? said : scheme;
}

function forwardedNodes(value: string | undefined): string[] {
  if (value === undefined) return [];
  return value
    .split(",")
    .map((element) => /(?:^|;)\s*for=("[^"]*"|[^;,\s]*)/i.exec(element)?.[1]?.replaceAll('"', "") ?? "");
}

/** "192.0.2.1", "192.0.2.1:1234", "[2001:db8::1]:80" and "2001:db8::1" without port and brackets; null for anything else. */
function addressOf(entry: string): string | null {
  const text = entry.trim();
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text);
  const host = bracketed?.[1] ?? (/^[^:]*:\d+$/.test(text) ? text.slice(0, text.indexOf(":")) : text);
  return canonicalIp(host);
}

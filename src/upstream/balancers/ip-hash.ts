/**
 * `ip-hash` keeps each network of clients at one endpoint, exactly as nginx's `ip_hash`: by the first
 * three octets of an IPv4 address, or all of an IPv6 address. What is behind one address translation
 * stays together, so `hash` or `sticky` spread better; adding an endpoint moves most clients.
 */
import { z } from "zod";
import { defineBalancer } from "./balancer.ts";
import { Turns, weighted } from "./turns.ts";
import { WeightSlots } from "./weight-slots.ts";

/** Further hashes when one hits an endpoint that cannot be used, before the turn decides. */
const RETRIES = 20;
const octets = new Uint8Array(16);

export const ipHash = defineBalancer({
  name: "ip-hash",
  summary: "By the client's network (IPv4: its first three octets), exactly as nginx's `ip_hash`.",
  options: z.strictObject({}),
  create(_options, turn) {
    const slots = new WeightSlots();
    const turns = new Turns(turn);
    return {
      update(endpoints) {
        const some = weighted(endpoints);
        slots.update(some);
        turns.update(some);
      },
      pick(exchange, usable) {
        if (slots.total === 0) return null;
        const length = readAddress(exchange.clientAddress);
        let hash = 89;
        for (let retry = 0; retry <= RETRIES; retry++) {
          for (let i = 0; i < length; i++) hash = (hash * 113 + octets[i]!) % 6271;
          const endpoint = slots.at(hash % slots.total);
          if (usable(endpoint)) return endpoint;
        }
        return turns.next(usable);
      },
    };
  },
});

/**
 * Reads what counts of an address into `octets`.
 * @param address in its one spelling (net/address.ts); what is none, as of a unix socket, counts as 0.0.0.0
 * @returns how many octets count
 */
function readAddress(address: string): number {
  if (address.includes(":")) return readIpv6(address);
  octets.fill(0, 0, 3);
  for (let i = 0, at = 0; i < address.length && at < 3; i++) {
    const code = address.charCodeAt(i);
    if (code === 0x2e) at++;
    else octets[at] = octets[at]! * 10 + (code - 0x30);
  }
  return 3;
}

function readIpv6(address: string): number {
  let at = 0;
  let gap = -1;
  let word = 0;
  octets.fill(0);
  for (let i = 0; i <= address.length; i++) {
    const code = i < address.length ? address.charCodeAt(i) : 0x3a;
    if (code !== 0x3a) {
      word = (word << 4) | (code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57);
      continue;
    }
    if (i > 0 && address.charCodeAt(i - 1) !== 0x3a) {
      octets[at++] = word >> 8;
      octets[at++] = word & 255;
      word = 0;
    }
    if (address.charCodeAt(i + 1) === 0x3a) gap = at;
  }
  // What stands after "::" belongs to the end.
  if (gap >= 0 && at < 16) {
    octets.copyWithin(16 - (at - gap), gap, at);
    octets.fill(0, gap, 16 - (at - gap));
  }
  return 16;
}

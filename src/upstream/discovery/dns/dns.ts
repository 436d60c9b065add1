/**
 * `dns`: the addresses of a name. All of them are endpoints, and the name is asked for again when
 * its answer's lifetime is over.
 */
import { z } from "zod";
import { wholeNumber } from "../../../config/schema/text.ts";
import { formatAddress } from "../../../net/address.ts";
import { defineProvider } from "../provider.ts";
import { AddressBook } from "./address-book.ts";
import { byAddress } from "./address-order.ts";
import { Follower, type Look } from "./follower.ts";
import { checkPace, dnsName, familiesOf, lookupOptions, placed, priority, weight } from "./options.ts";
import { Resolver } from "./resolver.ts";

export const dns = defineProvider({
  name: "dns",
  summary: "The addresses of a name (A and AAAA records), read again when their lifetime is over.",
  options: z
    .strictObject({
      name: dnsName("Name whose addresses are the endpoints.", "app.internal"),
      port: wholeNumber(1, 65_535, "Port of each of them."),
      ...lookupOptions,
      weight,
      priority,
    })
    .superRefine(checkPace),
  create(options, scope) {
    const { name, port, servers, timeout, floor, ceiling, empty } = options;
    const resolver = new Resolver({ servers: servers ?? null, timeoutMs: timeout });
    const book = new AddressBook(resolver, familiesOf(options.family));
    const look: Look = async (signal) => {
      const { addresses, ...rest } = await book.find(name, signal);
      if (rest.failure !== null && rest.ttlSeconds === Infinity) throw new Error(rest.failure);
      const endpoints = [...addresses]
        .sort(byAddress)
        .map((host) => placed(formatAddress({ kind: "tcp", host, port }), options));
      return { endpoints, ...rest };
    };
    const log = scope.log.with({ upstream: scope.upstream, provider: "dns", name });
    return new Follower(look, { floorMs: floor, ceilingMs: ceiling, whenEmpty: empty, log });
  },
});

/**
 * `dns-srv`: a service with its hosts, ports, weights and priorities (RFC 2782), as service
 * registries and container platforms publish them.
 */
import { z } from "zod";
import { formatAddress } from "../../../net/address.ts";
import type { EndpointSpec } from "../../endpoint-spec.ts";
import { AddressBook } from "../dns/address-book.ts";
import { byAddress } from "../dns/address-order.ts";
import { Follower, type Look } from "../dns/follower.ts";
import type { ServiceRecord } from "../dns/message.ts";
import { checkPace, dnsName, familiesOf, lookupOptions, placed } from "../dns/options.ts";
import { Resolver } from "../dns/resolver.ts";
import { defineProvider } from "../provider.ts";
import { gradesOf } from "./grades.ts";

/** Targets looked up at one time. */
const AT_ONCE = 16;

export const dnsSrv = defineProvider({
  name: "dns-srv",
  summary: "The hosts of a service (SRV records) with their ports, weights and priorities.",
  options: z
    .strictObject({
      name: dnsName("Name of the service.", "_http._tcp.app.internal"),
      ...lookupOptions,
    })
    .superRefine(checkPace),
  create(options, scope) {
    const { name, servers, timeout, floor, ceiling, empty } = options;
    const resolver = new Resolver({ servers: servers ?? null, timeoutMs: timeout });
    const book = new AddressBook(resolver, familiesOf(options.family));
    const look: Look = async (signal) => {
      const answer = await resolver.services(name, signal);
      const services = answer.services.filter(isUsable);
      const targets = [...new Set(services.map(({ target }) => target))];
      const hosts = new Map<string, readonly string[]>();
      let { ttlSeconds } = answer;
      let failure: string | null = null;
      let lacking: string | null = null;
      for (let i = 0; i < targets.length; i += AT_ONCE) {
        const group = targets.slice(i, i + AT_ONCE).map(async (target) => {
          const found = await book.find(target, signal, answer.addresses.get(target), true);
          hosts.set(target, found.addresses);
          ttlSeconds = Math.min(ttlSeconds, found.ttlSeconds);
          failure ??= found.failure;
          lacking ??= found.emptiness;
        });
        await Promise.all(group);
      }
      book.keep(new Set(targets));
      const endpoints = endpointsOf(services, hosts, options);
      const emptiness = lacking ?? (answer.why || "the service is said not to exist");
      // A target without addresses is a mistake among others; where no target has any, there is no service.
      if (endpoints.length > 0) failure ??= lacking;
      return { endpoints, ttlSeconds, failure, emptiness };
    };
    const log = scope.log.with({ upstream: scope.upstream, provider: "dns-srv", name });
    return new Follower(look, { floorMs: floor, ceilingMs: ceiling, whenEmpty: empty, log });
  },
});

const isUsable = ({ target, port }: ServiceRecord): boolean => target !== "" && port !== 0;

/** One endpoint per address and port. A weight is a target's: where it has several addresses, they share it. */
function endpointsOf(
  services: readonly ServiceRecord[],
  hosts: ReadonlyMap<string, readonly string[]>,
  place: { backup: boolean; locality?: string | undefined },
): EndpointSpec[] {
  const unit = [...hosts.values()].map(({ length }) => length).reduce(leastCommonMultiple, 1);
  const reached = services.flatMap(({ target, port, priority, weight }) => {
    const addresses = hosts.get(target)!;
    return addresses.map((host) => ({ host, port, priority, weight: (weight * unit) / addresses.length }));
  });
  return gradesOf(reached)
    .sort((a, b) => a.priority - b.priority || byAddress(a.host, b.host) || a.port - b.port)
    .map(({ host, port, priority, weight }) =>
      placed(formatAddress({ kind: "tcp", host, port }), { ...place, priority, weight }),
    );
}

/** Of positive numbers; 0 counts as 1. */
function leastCommonMultiple(a: number, b: number): number {
  let [high, low] = [a, b];
  while (low > 0) [high, low] = [low, high % low];
  return b === 0 ? a : (a / high) * b;
}

/**
 * Addresses of names as far as they are known: what cannot be found out now is as it was before. So
 * a server that fails for AAAA alone does not take the IPv6 endpoints away.
 */
import type { AddressAnswer, Family, Resolver } from "./resolver.ts";

export interface Addresses {
  readonly addresses: readonly string[];
  /** Of those that were found now; Infinity if none was. */
  readonly ttlSeconds: number;
  /** Why some of this is from before, or missing; null if all of it is new. */
  readonly failure: string | null;
  /** Why there is none, if there is decidedly none. */
  readonly emptiness: string | null;
}

export class AddressBook {
  readonly #resolver: Resolver;
  readonly #families: readonly Family[];
  #known = new Map<string, ReadonlyMap<Family, readonly string[]>>();

  constructor(resolver: Resolver, families: readonly Family[]) {
    this.#resolver = resolver;
    this.#families = families;
  }

  /**
   * @param given       answers that are here already; only the other families are asked for
   * @param isFullName  do not try the search domains
   */
  async find(
    name: string,
    signal: AbortSignal,
    given: ReadonlyMap<Family, AddressAnswer> = new Map(),
    isFullName = false,
  ): Promise<Addresses> {
    const missing = this.#families.filter((family) => !given.has(family));
    const asked =
      missing.length === 0
        ? new Map<Family, AddressAnswer>()
        : await this.#resolver.addresses(name, missing, signal, isFullName);
    const before = this.#known.get(name);
    const known = new Map<Family, readonly string[]>();
    let ttlSeconds = Infinity;
    let failure: string | null = null;
    let emptiness: string | null = null;
    for (const family of this.#families) {
      const answer = given.get(family) ?? asked.get(family)!;
      if (answer.kind === "found") {
        known.set(family, answer.addresses);
        ttlSeconds = Math.min(ttlSeconds, answer.ttlSeconds);
      } else if (answer.kind === "failed") {
        known.set(family, before?.get(family) ?? []);
        failure ??= answer.why;
      } else emptiness ??= answer.why;
    }
    this.#known.set(name, known);
    const addresses = this.#families.flatMap((family) => known.get(family) ?? []);
    return { addresses, ttlSeconds, failure, emptiness: addresses.length === 0 && failure === null ? emptiness : null };
  }

  /** Forgets all names but these. */
  keep(names: ReadonlySet<string>): void {
    this.#known = new Map([...this.#known].filter(([name]) => names.has(name)));
  }
}

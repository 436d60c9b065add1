/**
 * A stub resolver that tells lifetimes, which the system's own does not. It asks the servers it is
 * given, or does as the system would: the hosts file first, then the servers and search domains of
 * resolv.conf, read anew each time.
 *
 * "Not there" and "could not be found out" are kept apart: only the former is an answer.
 */
import { ask, formatServer, type Server } from "./exchange.ts";
import { type Answer, type DnsRecord, nameOfCode, RecordType, ResponseCode, type ServiceRecord } from "./message.ts";
import { readHosts, readSystemServers, SYSTEM_FILES, type SystemFiles } from "./system.ts";

export type Family = 4 | 6;

export interface ResolverSettings {
  /** null: as the system does. */
  readonly servers: readonly Server[] | null;
  /** Of one question to one server. */
  readonly timeoutMs: number;
  readonly systemFiles?: SystemFiles;
}

/** What is known of one family's addresses. */
export type AddressAnswer =
  | { readonly kind: "found"; readonly addresses: readonly string[]; readonly ttlSeconds: number }
  /** The name does not exist, or has no such address. */
  | { readonly kind: "empty"; readonly why: string }
  | { readonly kind: "failed"; readonly why: string };

export interface ServiceAnswer {
  /** None if the service decidedly does not exist; `why` says so then. */
  readonly services: readonly ServiceRecord[];
  readonly ttlSeconds: number;
  /** Addresses of targets that came along. */
  readonly addresses: ReadonlyMap<string, ReadonlyMap<Family, AddressAnswer>>;
  readonly why: string;
}

const ROUNDS = 2;
/** RFC 1034 §3.6.2 asks for chains to be followed; loops have to end. */
const MOST_ALIASES = 16;
const HOSTS_TTL_SECONDS = 5;

const TYPES: Readonly<Record<Family, RecordType>> = { 4: RecordType.A, 6: RecordType.AAAA };

interface Found {
  /** Of the type asked for; none if there are none. */
  readonly records: readonly DnsRecord[];
  readonly additional: readonly DnsRecord[];
  readonly ttlSeconds: number;
  readonly why: string;
}

export class Resolver {
  readonly #settings: ResolverSettings;
  /** Full names that had an answer before: one of these that fails now is not passed over. */
  readonly #worked = new Set<string>();

  constructor(settings: ResolverSettings) {
    this.#settings = settings;
  }

  /**
   * Addresses of a name, by family. Does not throw but for the signal.
   * @param isFullName  do not try the search domains
   */
  async addresses(
    name: string,
    families: readonly Family[],
    signal: AbortSignal,
    isFullName = false,
  ): Promise<ReadonlyMap<Family, AddressAnswer>> {
    const local = await this.#hosts(name, families);
    if (local !== null) return local;
    let empty: ReadonlyMap<Family, AddressAnswer> | null = null;
    let failed: ReadonlyMap<Family, AddressAnswer> | null = null;
    for (const candidate of isFullName ? [bare(name)] : await this.#candidates(name)) {
      const answers = new Map(
        await Promise.all(
          families.map(async (family) => [family, await this.#family(candidate, family, signal)] as const),
        ),
      );
      const kinds = [...answers.values()].map(({ kind }) => kind);
      if (kinds.includes("found")) {
        this.#worked.add(candidate);
        return answers;
      }
      if (!kinds.includes("failed")) empty ??= answers;
      else if (this.#worked.has(candidate)) return answers;
      else failed ??= answers;
    }
    // While one of the names could not be asked for, nobody can say that there is none.
    return failed ?? empty!;
  }

  /**
   * The records of a service.
   * @throws {Error} if they could not be found out
   */
  async services(name: string, signal: AbortSignal): Promise<ServiceAnswer> {
    let failure: unknown = null;
    let why = "";
    for (const candidate of await this.#candidates(name)) {
      try {
        const found = await this.#query(candidate, RecordType.SRV, signal);
        const services = found.records.filter((record) => record.type === RecordType.SRV);
        if (services.length > 0) {
          this.#worked.add(candidate);
          return { services, ttlSeconds: found.ttlSeconds, addresses: addressesByName(found.additional), why: "" };
        }
        why ||= found.why;
      } catch (thrown) {
        if (signal.aborted || this.#worked.has(candidate)) throw thrown;
        failure ??= thrown;
      }
    }
    if (failure !== null) throw failure;
    return { services: [], ttlSeconds: 0, addresses: new Map(), why };
  }

  /** null if the hosts file has nothing to say, or is not asked. */
  async #hosts(name: string, families: readonly Family[]): Promise<ReadonlyMap<Family, AddressAnswer> | null> {
    const { servers, systemFiles = SYSTEM_FILES } = this.#settings;
    if (servers !== null) return null;
    const found = await readHosts(systemFiles, bare(name));
    const wanted = found.filter((address) => families.includes(familyOf(address)));
    if (wanted.length === 0) return null;
    return new Map(
      families.map((family): [Family, AddressAnswer] => {
        const addresses = wanted.filter((address) => familyOf(address) === family);
        if (addresses.length > 0) return [family, { kind: "found", addresses, ttlSeconds: HOSTS_TTL_SECONDS }];
        return [family, { kind: "empty", why: "the hosts file has no such address" }];
      }),
    );
  }

  async #servers(): Promise<readonly Server[]> {
    const { servers, systemFiles = SYSTEM_FILES } = this.#settings;
    return servers ?? (await readSystemServers(systemFiles)).servers;
  }

  /** Full names that a name may stand for, in the order to try them (resolv.conf(5), search and ndots). */
  async #candidates(name: string): Promise<readonly string[]> {
    const { servers, systemFiles = SYSTEM_FILES } = this.#settings;
    if (servers !== null || name.endsWith(".")) return [bare(name)];
    const { search, ndots } = await readSystemServers(systemFiles);
    const within = search.map((domain) => `${name}.${domain}`).filter((full) => full.length <= 253);
    return name.split(".").length > ndots ? [name, ...within] : [...within, name];
  }

  async #family(name: string, family: Family, signal: AbortSignal): Promise<AddressAnswer> {
    try {
      const { records, ttlSeconds, why } = await this.#query(name, TYPES[family], signal);
      const addresses = records.flatMap((record) => ("address" in record ? [record.address] : []));
      return addresses.length > 0
        ? { kind: "found", addresses: [...new Set(addresses)], ttlSeconds }
        : { kind: "empty", why };
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      return { kind: "failed", why: messageOf(thrown) };
    }
  }

  /** Follows aliases to records of the type. */
  async #query(name: string, type: RecordType, signal: AbortSignal): Promise<Found> {
    let alias = name;
    let aliases = 0;
    let ttlSeconds = Infinity;
    while (aliases <= MOST_ALIASES) {
      const { answers, additional, code } = await this.#ask(alias, type, signal);
      const end = endOfChain(answers, alias, type);
      ttlSeconds = Math.min(ttlSeconds, end.ttlSeconds);
      if (end.records.length > 0) return { records: end.records, additional, ttlSeconds, why: "" };
      // Otherwise the server may have left the end of the chain to us.
      if (end.aliases === 0 || code === ResponseCode.noSuchName)
        return { records: [], additional: [], ttlSeconds, why: emptyBecause(end.name, code) };
      alias = end.name;
      aliases += end.aliases;
    }
    throw new Error(`${name} is an alias of an alias, over and over`);
  }

  /** The first answer that is one: servers in their order, and all of them once more. */
  async #ask(name: string, type: RecordType, signal: AbortSignal): Promise<Answer> {
    const { timeoutMs } = this.#settings;
    const problems = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const server of await this.#servers()) {
        try {
          const answer = await ask(server, { name, type }, { timeoutMs, signal });
          const { code } = answer;
          if (code === ResponseCode.noError || code === ResponseCode.noSuchName) return answer;
          problems.add(`${formatServer(server)} answered ${nameOfCode(code)} for ${name}`);
        } catch (thrown) {
          if (signal.aborted) throw thrown;
          problems.add(messageOf(thrown));
        }
      }
    }
    throw new Error([...problems].join("; "));
  }
}

/** Where aliases within one answer lead, and the records of the type there. */
function endOfChain(answers: readonly DnsRecord[], from: string, type: RecordType) {
  let name = from;
  let aliases = 0;
  let ttlSeconds = Infinity;
  for (;;) {
    const here = answers.filter((record) => record.name === name);
    const records = here.filter((record) => record.type === type);
    const alias = here.find((record) => record.type === RecordType.CNAME);
    if (records.length > 0 || alias === undefined || aliases > MOST_ALIASES)
      return {
        name,
        aliases,
        records,
        ttlSeconds: Math.min(ttlSeconds, ...records.map((record) => record.ttlSeconds)),
      };
    ttlSeconds = Math.min(ttlSeconds, alias.ttlSeconds);
    name = alias.target;
    aliases++;
  }
}

export const familyOf = (address: string): Family => (address.includes(":") ? 6 : 4);

function addressesByName(records: readonly DnsRecord[]): Map<string, Map<Family, AddressAnswer>> {
  const names = new Map<string, Map<Family, AddressAnswer & { kind: "found" }>>();
  for (const record of records) {
    if (!("address" in record)) continue;
    const { name, address, ttlSeconds } = record;
    const family = record.type === RecordType.A ? 4 : 6;
    const families = names.get(name) ?? new Map<Family, AddressAnswer & { kind: "found" }>();
    names.set(name, families);
    const known = families.get(family);
    families.set(family, {
      kind: "found",
      addresses: [...new Set([...(known?.addresses ?? []), address])],
      ttlSeconds: Math.min(known?.ttlSeconds ?? Infinity, ttlSeconds),
    });
  }
  return names;
}

const bare = (name: string): string => name.toLowerCase().replace(/\.$/, "");

function emptyBecause(name: string, code: number): string {
  return code === ResponseCode.noSuchName ? `${name} does not exist (NXDOMAIN)` : `${name} has no such records`;
}

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

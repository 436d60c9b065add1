/**
 * Which route of a `tcp` or `udp` entry takes a client: the one whose server name says most (exact,
 * then `*.name`, then `.name` with the longest name, then routes without one), and of those that say
 * the same, the first in the file. One that is for other clients is passed over.
 */
import type { RelayMatchConfig } from "../config/relay-config.ts";
import { CidrSet } from "../router/cidr.ts";

export interface RelayRouteSpec<Target> {
  readonly name: string;
  readonly match: RelayMatchConfig;
  readonly target: Target;
}

interface Candidate<Target> {
  readonly spec: RelayRouteSpec<Target>;
  /** null: every client. */
  readonly clients: CidrSet | null;
}

/** Why a route was passed over, or taken. */
export interface RelayVerdict<Target> {
  readonly spec: RelayRouteSpec<Target>;
  readonly matched: boolean;
  readonly because: string;
}

type Candidates<Target> = readonly Candidate<Target>[];

export class RelayRoutes<Target> {
  /** By the pattern's name, without "*." or ".". */
  readonly #exact = new Map<string, Candidate<Target>[]>();
  readonly #oneLabel = new Map<string, Candidate<Target>[]>();
  readonly #below = new Map<string, Candidate<Target>[]>();
  readonly #nameless: Candidate<Target>[] = [];

  constructor(specs: readonly RelayRouteSpec<Target>[]) {
    for (const spec of specs) {
      const { serverName, client } = spec.match;
      const candidate = { spec, clients: client === undefined ? null : new CidrSet(client) };
      if (serverName === undefined) this.#nameless.push(candidate);
      for (const pattern of serverName ?? []) this.#add(pattern, candidate);
    }
  }

  /** A server name can make a difference, so it is worth waiting for. */
  get wantServerName(): boolean {
    return this.#exact.size + this.#oneLabel.size + this.#below.size > 0;
  }

  /**
   * @param serverName lower case; null: none is known
   * @param client IP address
   */
  find(serverName: string | null, client: string): RelayRouteSpec<Target> | null {
    // Most entries have nothing to choose by name.
    if (serverName === null || !this.wantServerName) return firstOf(this.#nameless, client);
    for (const candidates of this.#inOrder(serverName)) {
      const spec = firstOf(candidates, client);
      if (spec !== null) return spec;
    }
    return null;
  }

  /** The same in words, with every route that was looked at. */
  explain(serverName: string | null, client: string): RelayVerdict<Target>[] {
    const verdicts: RelayVerdict<Target>[] = [];
    for (const candidates of this.#inOrder(serverName)) {
      for (const { spec, clients } of candidates) {
        const matched = clients === null || clients.has(client);
        verdicts.push({ spec, matched, because: because(spec.match, matched, client) });
        if (matched) return verdicts;
      }
    }
    return verdicts;
  }

  /** Routes that no client can reach: those before them take everything that they would. */
  unreachable(): { readonly spec: RelayRouteSpec<Target>; readonly by: RelayRouteSpec<Target> }[] {
    const taker = new Map<RelayRouteSpec<Target>, RelayRouteSpec<Target> | null>();
    for (const candidates of [
      ...this.#exact.values(),
      ...this.#oneLabel.values(),
      ...this.#below.values(),
      this.#nameless,
    ]) {
      const all = candidates.find(({ clients }) => clients === null);
      const at = all === undefined ? candidates.length : candidates.indexOf(all);
      for (const [i, { spec }] of candidates.entries()) {
        // Reached by one of its names is reached.
        if (i <= at) taker.set(spec, null);
        else if (!taker.has(spec)) taker.set(spec, all!.spec);
      }
    }
    return [...taker].flatMap(([spec, by]) => (by === null ? [] : [{ spec, by }]));
  }

  #add(pattern: string, candidate: Candidate<Target>): void {
    const [map, name] = pattern.startsWith("*.")
      ? [this.#oneLabel, pattern.slice(2)]
      : pattern.startsWith(".")
        ? [this.#below, pattern.slice(1)]
        : [this.#exact, pattern];
    const there = map.get(name);
    if (there === undefined) map.set(name, [candidate]);
    else there.push(candidate);
  }

  *#inOrder(serverName: string | null): Generator<Candidates<Target>> {
    if (serverName !== null && this.wantServerName) {
      yield this.#exact.get(serverName) ?? [];
      const dot = serverName.indexOf(".");
      if (dot > 0) yield this.#oneLabel.get(serverName.slice(dot + 1)) ?? [];
      for (let at = dot; at >= 0; at = serverName.indexOf(".", at + 1)) {
        yield this.#below.get(serverName.slice(at + 1)) ?? [];
      }
    }
    yield this.#nameless;
  }
}

function firstOf<Target>(candidates: Candidates<Target>, client: string): RelayRouteSpec<Target> | null {
  for (const { spec, clients } of candidates) if (clients === null || clients.has(client)) return spec;
  return null;
}

function because({ serverName, client }: RelayMatchConfig, matched: boolean, address: string): string {
  if (!matched) return `${address} is not in ${client!.join(", ")}`;
  const reasons = [
    ...(serverName === undefined ? [] : [`the server name is ${serverName.join(" or ")}`]),
    ...(client === undefined ? [] : [`${address} is in ${client.join(", ")}`]),
  ];
  return reasons.length === 0 ? "it takes everyone" : reasons.join(", and ");
}

/**
 * dns-01 (RFC 8555 §8.4): a TXT record below the name. Where `_acme-challenge.name` is an alias, the record is
 * set at its target, so that a zone of its own can be had for this. The CA is asked once every server
 * that we know shows the record.
 */
import { lookup, Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { resolve } from "node:path";
import type { Log } from "../../base/log.ts";
import type { DnsChallengeConfig } from "../../config/gateway-config.ts";
import type { ChallengeSolver } from "../challenge.ts";
import { pause } from "../pause.ts";
import { DynamicUpdate } from "./dynamic-update.ts";
import { DnsHook } from "./hook.ts";
import type { DnsProvider } from "./provider.ts";

const LOOK_MS = { first: 250, most: 5000 };
const MOST_ALIASES = 8;
const CLEANUP_MS = 60_000;

/** @param directory  folder of the config file */
export function dnsSolver(config: DnsChallengeConfig, directory: string, log: Log): ChallengeSolver {
  const { provider: written } = config;
  const provider: DnsProvider =
    written.kind === "rfc2136" ? new DynamicUpdate(written) : new DnsHook(written, resolve(directory));
  const servers = config.resolvers ?? (written.kind === "rfc2136" ? [written.server] : null);
  /** Where each record was set, for its removal: the alias may have gone by then. */
  const places = new Map<string, string>();
  return {
    type: "dns-01",
    async present({ name, answer }, signal) {
      const record = await target(`_acme-challenge.${name}`, servers, signal);
      places.set(answer, record);
      await provider.present(record, answer, signal);
      if (config.propagation > 0) await seen(record, answer, servers, config.propagation, signal);
    },
    async withdraw({ name, answer }) {
      const record = places.get(answer) ?? `_acme-challenge.${name}`;
      places.delete(answer);
      try {
        await provider.cleanup(record, answer, AbortSignal.timeout(CLEANUP_MS));
      } catch (thrown) {
        log.warn("a record of a challenge stays behind", { record, reason: (thrown as Error).message });
      }
    },
  };
}

/** The end of the chain of aliases. */
async function target(name: string, servers: readonly string[] | null, signal: AbortSignal): Promise<string> {
  let record = name;
  const [resolver] = await resolvers(servers);
  for (let i = 0; i < MOST_ALIASES; i++) {
    const [alias] = await withSignal(resolver!, signal, () => resolver!.resolveCname(record).catch(() => []));
    if (alias === undefined) break;
    record = alias.toLowerCase().replace(/\.$/, "");
  }
  return record;
}

/** Settles when all servers show it. @throws {Error} that names one that does not */
async function seen(
  record: string,
  value: string,
  servers: readonly string[] | null,
  withinMs: number,
  signal: AbortSignal,
): Promise<void> {
  const end = performance.now() + withinMs;
  for (let waitMs = LOOK_MS.first; ; waitMs = Math.min(waitMs * 2, LOOK_MS.most)) {
    const missing = await missingAt(record, value, servers, signal);
    if (missing === null) return;
    if (performance.now() >= end)
      throw new Error(`the record ${record} is not seen at ${missing} after ${withinMs / 1000} s ("propagation")`);
    await pause(waitMs, signal);
  }
}

/** @returns null if all have it */
async function missingAt(
  record: string,
  value: string,
  servers: readonly string[] | null,
  signal: AbortSignal,
): Promise<string | null> {
  // New ones each time: a resolver remembers answers.
  for (const resolver of await resolvers(servers)) {
    const found = await withSignal(resolver, signal, () => resolver.resolveTxt(record).catch(() => []));
    if (!found.some((pieces) => pieces.join("") === value)) return resolver.getServers().join(", ");
  }
  return null;
}

async function resolvers(servers: readonly string[] | null): Promise<Resolver[]> {
  const make = () => new Resolver({ timeout: 3000, tries: 2 });
  if (servers === null) return [make()];
  return Promise.all(
    servers.map(async (server) => {
      const resolver = make();
      resolver.setServers([await numeric(server)]);
      return resolver;
    }),
  );
}

/** Resolvers are told by address. */
async function numeric(server: string): Promise<string> {
  const colon = server.lastIndexOf(":");
  const host = server.slice(0, colon).replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0) return server;
  const { address, family } = await lookup(host);
  return `${family === 6 ? `[${address}]` : address}${server.slice(colon)}`;
}

async function withSignal<T>(resolver: Resolver, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  const cancel = () => resolver.cancel();
  signal.addEventListener("abort", cancel);
  try {
    const answer = await ask();
    signal.throwIfAborted();
    return answer;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

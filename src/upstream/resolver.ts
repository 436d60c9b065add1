/**
 * Addresses of endpoints that are written as names. Each name is looked up by the system's
 * resolver at the start and then again and again; a lookup that fails keeps what was known.
 */
import { lookup } from "node:dns/promises";
import type { Log } from "../base/log.ts";
import { type Address, encodeSockaddr, isIp, parseAddress } from "../net/address.ts";
import type { Endpoint } from "./endpoint.ts";

/** How names are looked up; another one in tests. */
export interface Lookup {
  /** IP literals of a name, in order of preference. */
  readonly find: (host: string) => Promise<readonly string[]>;
  readonly refreshMs: number;
  /** Wait after a lookup that failed. */
  readonly retryMs: number;
}

const SYSTEM: Lookup = {
  find: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
  refreshMs: 30_000,
  retryMs: 2_000,
};

export class Resolver {
  readonly #log: Log;
  readonly #lookup: Lookup;
  readonly #timers = new Map<Endpoint, Timer>();
  readonly #forgotten = new WeakSet<Endpoint>();
  #stopped = false;

  constructor(log: Log, lookup = SYSTEM) {
    this.#log = log;
    this.#lookup = lookup;
  }

  /** Gives the endpoint its addresses, now and whenever they change. Resolves after the first lookup, failed or not. */
  async follow(endpoint: Endpoint): Promise<void> {
    const address = parseAddress(endpoint.address);
    if (address === null) throw new TypeError(`${endpoint.address} is not an address`);
    if (address.kind === "unix" || isIp(address.host)) endpoint.sockaddrs = [encodeSockaddr(address)];
    else await this.#resolve(endpoint, address);
  }

  /** Looks an endpoint's name up no more. */
  forget(endpoint: Endpoint): void {
    this.#forgotten.add(endpoint);
    clearTimeout(this.#timers.get(endpoint));
    this.#timers.delete(endpoint);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  async #resolve(endpoint: Endpoint, address: Address & { kind: "tcp" }): Promise<void> {
    const { find, refreshMs, retryMs } = this.#lookup;
    let wait = refreshMs;
    try {
      const found = await find(address.host);
      if (found.length === 0) throw new Error("the name has no address");
      endpoint.sockaddrs = found.map((host) => encodeSockaddr({ kind: "tcp", host, port: address.port }));
    } catch (thrown) {
      wait = retryMs;
      this.#log.warn("an endpoint's name could not be resolved", {
        endpoint: endpoint.address,
        error: String(thrown),
      });
    }
    if (this.#stopped || this.#forgotten.has(endpoint)) return;
    this.#timers.set(
      endpoint,
      setTimeout(() => void this.#resolve(endpoint, address), wait),
    );
  }
}

type Timer = ReturnType<typeof setTimeout>;

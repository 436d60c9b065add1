/**
 * Addresses of endpoints that are written as names. Each name is looked up by the system's
 * resolver at the start and then again and again; a lookup that fails keeps what was known.
 */
import { lookup } from "node:dns/promises";
import type { Log } from "../base/log.ts";
import { type Address, encodeSockaddr, isIp, parseAddress } from "../net/address.ts";
import type { Endpoint } from "./endpoint.ts";

const REFRESH_MS = 30_000;
const RETRY_MS = 2_000;

export class Resolver {
  readonly #log: Log;
  readonly #timers = new Set<Timer>();
  #stopped = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Gives the endpoint its addresses, now and whenever they change. Resolves after the first lookup, failed or not. */
  async follow(endpoint: Endpoint): Promise<void> {
    const address = parseAddress(endpoint.address);
    if (address === null) throw new TypeError(`${endpoint.address} is not an address`);
    if (address.kind === "unix" || isIp(address.host)) endpoint.sockaddrs = [encodeSockaddr(address)];
    else await this.#resolve(endpoint, address);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async #resolve(endpoint: Endpoint, address: Address & { kind: "tcp" }): Promise<void> {
    let wait = REFRESH_MS;
    try {
      const found = await lookup(address.host, { all: true });
      endpoint.sockaddrs = found.map((one) => encodeSockaddr({ kind: "tcp", host: one.address, port: address.port }));
    } catch (thrown) {
      wait = RETRY_MS;
      this.#log.warn("an endpoint's name could not be resolved", { endpoint: endpoint.address, error: String(thrown) });
    }
    if (this.#stopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#resolve(endpoint, address);
    }, wait);
    this.#timers.add(timer);
  }
}

type Timer = ReturnType<typeof setTimeout>;

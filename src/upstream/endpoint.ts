/**
 * One address of an upstream: what the balancer weighs, and the connections to it (pool.ts). Where
 * origin servers are told who the client is (PROXY protocol), each client has a pool of its own.
 */
import { textHash } from "../base/hash.ts";
import { Table } from "../base/table.ts";
import type { Exchange } from "../http/exchange.ts";
import { machineNow } from "../net/machine-clock.ts";
import { type ProxyAddresses, writeProxyHeader } from "../net/proxy-protocol.ts";
import { TlsSessions } from "../net/tls-client.ts";
import type { ClientConnection } from "../protocol/client-connection.ts";
import type { EndpointObserver, EndpointSettings, Spoken } from "./endpoint-settings.ts";
import type { EndpointSpec } from "./endpoint-spec.ts";
import type { EndpointState } from "./endpoint-state.ts";
import { Opening, type OpenTaker, serverNameOf } from "./opening.ts";
import { type ConnectionTaker, type Kept, Pool, type PoolOwner } from "./pool.ts";
import { proxyAddresses } from "./proxy-out.ts";

/** Least part of its weight that an endpoint in slow start has: with less it would never be tried. */
const FIRST_SHARE = 0.1;

const CLIENTS = { any: "client", http1: "http1Client", raw: "rawClient" } as const;

export class Endpoint implements PoolOwner {
  /** "host:port" or "unix:/path". */
  readonly address: string;
  /** Shared with all processes of the machine. */
  readonly state: EndpointState;
  /** As its provider and operators say now; replaced when they say something else. */
  spec: EndpointSpec;
  /** The kernel's form of the address; several if a name has several. Replaced when the name is resolved again. */
  sockaddrs: readonly Uint8Array[] = [];
  /** Of all its pools. */
  idleConnections = 0;
  #settings: EndpointSettings;
  readonly #observer: EndpointObserver;
  readonly #serverName: string;
  #sessions: TlsSessions | null;
  #closed = false;
  #pool: Pool;
  /** One for each client, by the PROXY header that says who it is; null: clients share connections. */
  #clientPools: Table<string, Pool> | null;
  readonly #keys = new WeakMap<Pool, string>();

  constructor(spec: EndpointSpec, state: EndpointState, settings: EndpointSettings, observer: EndpointObserver) {
    this.address = spec.address;
    this.spec = spec;
    this.state = state;
    this.#settings = settings;
    this.#observer = observer;
    this.#serverName = serverNameOf(spec.address);
    this.#sessions = settings.tls === null ? null : new TlsSessions();
    this.#pool = this.#makePool();
    this.#clientPools = settings.proxyProtocol === null ? null : new Table(textHash);
  }

  /** Nominal share, 0 to 1000. */
  get weight(): number {
    return this.spec.weight;
  }

  /** Share right now: less than `weight` while it starts slowly. */
  get effectiveWeight(): number {
    const since = this.state.rampSince;
    if (since === 0) return this.spec.weight;
    const grown = (machineNow() - since) / this.#settings.slowStartMs;
    if (grown < 1) return this.spec.weight * Math.max(FIRST_SHARE, grown);
    this.state.rampSince = 0;
    return this.spec.weight;
  }

  /** Exchanges in flight, over all workers. */
  get inFlight(): number {
    return this.state.inFlight;
  }

  /** What all clients share; with PROXY headers it is for what we ask ourselves. */
  get pool(): Pool {
    return this.#pool;
  }

  /** Clients that have connections of their own. */
  get clients(): number {
    return this.#clientPools?.size ?? 0;
  }

  /** A connection that is there and takes this exchange now; null: `connect`. @param alive see `Pool.take` */
  take(exchange: Exchange, alive: boolean): ClientConnection | null {
    if (this.#clientPools === null) return this.#pool.take(exchange.request, alive);
    return this.#clientPools.get(this.#headerOf(exchange).toString("latin1"))?.take(exchange.request, alive) ?? null;
  }

  /** Gets a connection. The taker hears of it later, never from within. @returns what cancels it */
  connect(exchange: Exchange, timeoutMs: number, taker: ConnectionTaker, kept: Kept = "any"): { cancel(): void } {
    const pool = this.#clientPools === null ? this.#pool : this.#clientPool(exchange);
    return pool.connect(exchange.request, timeoutMs, taker, kept);
  }

  /**
   * Opens a connection for other than HTTP, as the upstream says (TLS, PROXY header), and counts it:
   * `closed` is to be called when it has ended.
   * @param addresses for the PROXY header; null: there is nothing to tell
   */
  open(addresses: ProxyAddresses | null, timeoutMs: number, taker: OpenTaker): { cancel(): void } {
    const { proxyProtocol } = this.#settings;
    const preamble = proxyProtocol === null ? null : writeProxyHeader(proxyProtocol, addresses);
    return this.dial(preamble, timeoutMs, "raw", {
      onOpened: (connection, alpn) => {
        this.#observer.connectionOpened();
        taker.onOpened(connection, alpn);
      },
      onOpenFailed: (failure) => taker.onOpenFailed(failure),
    });
  }

  /** A connection from `open` has ended. */
  closed(): void {
    this.#observer.connectionClosed(false);
  }

  /** For its pools. */
  dial(preamble: Uint8Array | null, timeoutMs: number, spoken: Spoken, taker: OpenTaker): { cancel(): void } {
    const { address, sockaddrs } = this;
    const { tls } = this.#settings;
    const opening = new Opening(
      {
        address,
        sockaddrs,
        tls: tls === null ? null : tls[CLIENTS[spoken]],
        serverName: tls?.serverName ?? this.#serverName,
        sessions: this.#sessions,
        preamble,
      },
      timeoutMs,
      taker,
    );
    opening.start();
    return opening;
  }

  #makePool(): Pool {
    const { proxyProtocol } = this.#settings;
    const preamble = proxyProtocol === null ? null : writeProxyHeader(proxyProtocol, null);
    return new Pool(this.#settings, this, this.#observer, preamble);
  }

  /** Connections of another client's pool are never used: they have told the origin server who that is. */
  #clientPool(exchange: Exchange): Pool {
    const header = this.#headerOf(exchange);
    const key = header.toString("latin1");
    const known = this.#clientPools!.get(key);
    if (known !== null) return known;
    const pool = new Pool(this.#settings, this, this.#observer, header);
    this.#clientPools!.add(key, pool);
    this.#keys.set(pool, key);
    if (this.#closed) pool.close();
    return pool;
  }

  #headerOf(exchange: Exchange): Buffer {
    return writeProxyHeader(this.#settings.proxyProtocol!, proxyAddresses(exchange));
  }

  emptied(pool: Pool): void {
    const key = this.#keys.get(pool);
    if (key !== undefined && this.#clientPools?.get(key) === pool) this.#clientPools.delete(key);
  }

  /** Connects in another way from now on: what is there is used up and closed. */
  renew(settings: EndpointSettings): void {
    this.#closePools();
    this.#settings = settings;
    this.#sessions = settings.tls === null ? null : new TlsSessions();
    this.#pool = this.#makePool();
    if (this.#closed) this.#pool.close();
    this.#clientPools = settings.proxyProtocol === null ? null : new Table(textHash);
  }

  /** Closes what is idle now, and everything else as it becomes idle. */
  close(): void {
    this.#closed = true;
    this.#closePools();
  }

  #closePools(): void {
    this.#pool.close();
    for (const pool of this.#clientPools?.all() ?? []) pool.close();
  }
}

/**
 * The way of an accepted connection until it can be used: the PROXY header first, from peers who
 * send one, then TLS where the listener has it. What fails on the way is closed, logged and counted here,
 * and costs nothing else.
 */
import { type Chain, Member } from "../base/chain.ts";
import type { Facts, Log } from "../base/log.ts";
import type { TlsEndConfig } from "../config/gateway-config.ts";
import type { ClientInfo } from "../http/exchange.ts";
import type { Connection } from "../net/connection.ts";
import { isWildcard, localAddressOf } from "../net/local-address.ts";
import { type ProxyHeaderOwner, ProxyHeaderStage } from "../net/proxy-header-stage.ts";
import type { ProxyHeader } from "../net/proxy-protocol.ts";
import type { TcpConnection } from "../net/tcp.ts";
import type { TlsConnection } from "../net/tls-connection.ts";
import type { TlsAcceptOwner, TlsHandshake } from "../net/tls-handshake.ts";
import type { HandshakeFacts } from "../net/tls-handshake-facts.ts";
import type { HandshakeFailure } from "../net/tls-handshake-failure.ts";
import { TlsServer } from "../net/tls-server.ts";
import { CidrSet } from "../router/cidr.ts";
import { type ArrivalMetrics, handshakeFailureNumber } from "../telemetry/metrics.ts";
import type { Certificates } from "./certificates.ts";
import { LimitedLog } from "./limited-log.ts";

/** What a listener says of its connections. */
export interface EntranceSettings {
  /** Of the listener. */
  readonly name: string;
  /** "" on a unix socket. */
  readonly localAddress: string;
  readonly localPort: number;
  /** null: plain. */
  readonly tls: TlsEndConfig | null;
  /** CIDR blocks of peers who send a PROXY header. */
  readonly proxyProtocol: readonly string[];
  readonly log: Log;
  /** null: nobody counts them. */
  readonly metrics: ArrivalMetrics | null;
}

/** Whose connections they are. */
export interface EntranceOwner {
  /**
   * It can be used; the owner gives it a handler.
   * @param first  octets that were read already; borrowed until the call returns
   */
  onEntered(connection: Connection, client: ClientInfo, first: Buffer | null): void;
  /** It is over, and everything is closed. */
  onTurnedAway(): void;
  /** `onEntered` threw; the connection is destroyed. */
  fault(thrown: unknown): void;
}

/** For the PROXY header, where there is no handshake whose time it is part of. */
const PROXY_HEADER_MS = 10_000;

/** Of all listeners together. */
const lines = new LimitedLog(20, 10_000);

export class Entrance {
  readonly #owner: EntranceOwner;
  readonly #certificates: Certificates;
  readonly #arrivals: Chain<Arrival>;
  #settings!: EntranceSettings;
  #proxies: CidrSet | null = null;
  #tls: TlsServer | null = null;

  /** @param arrivals  where those are noted that are on their way in */
  constructor(certificates: Certificates, arrivals: Chain<Arrival>, owner: EntranceOwner) {
    this.#certificates = certificates;
    this.#arrivals = arrivals;
    this.#owner = owner;
  }

  /** For the connections from now on. */
  use(settings: EntranceSettings): void {
    this.#settings = settings;
    const { name, tls, proxyProtocol } = settings;
    this.#proxies = proxyProtocol.length === 0 ? null : new CidrSet(proxyProtocol);
    if (tls === null) {
      this.#tls = null;
      return;
    }
    const server = {
      handshakeTimeoutMs: tls.handshakeTimeout,
      maxHandshakes: tls.maxHandshakes,
      choose: this.#certificates.choose.bind(this.#certificates, name),
    };
    if (this.#tls === null) this.#tls = new TlsServer(server);
    else this.#tls.settings = server;
  }

  /** Calls its owner back, maybe before it returns. */
  admit(connection: TcpConnection, peer: string, peerPort: number): void {
    const { name: listener, localAddress, localPort } = this.#settings;
    // A socket that takes what comes to any address does not know which one this client has chosen.
    const local = isWildcard(localAddress) ? localAddressOf(connection.fd).host : localAddress;
    const client: ClientInfo = { listener, peer, peerPort, localAddress: local, localPort, tls: null };
    const owner = this.#owner;
    if (this.#proxies?.has(peer))
      new Arrival(this.#arrivals, owner, this.#settings, client, this.#tls).awaitHeader(connection);
    else if (this.#tls === null) owner.onEntered(connection, client, null);
    else new Arrival(this.#arrivals, owner, this.#settings, client, this.#tls).secure(connection, null);
  }
}

/** One connection on its way in. */
export class Arrival extends Member implements ProxyHeaderOwner, TlsAcceptOwner {
  readonly #all: Chain<Arrival>;
  readonly #owner: EntranceOwner;
  readonly #settings: EntranceSettings;
  readonly #tls: TlsServer | null;
  #client: ClientInfo;
  #stage: ProxyHeaderStage | TlsHandshake | null = null;

  constructor(
    all: Chain<Arrival>,
    owner: EntranceOwner,
    settings: EntranceSettings,
    client: ClientInfo,
    tls: TlsServer | null,
  ) {
    super();
    this.#all = all;
    this.#owner = owner;
    this.#settings = settings;
    this.#client = client;
    this.#tls = tls;
    all.add(this);
    settings.metrics?.active.up();
  }

  /** Who has sent nothing yet is closed; the others may finish. */
  drain(): void {
    if (this.#stage?.hasBegun === false) this.cancel();
  }

  /** Ends it. */
  cancel(): void {
    this.#stage?.cancel();
    this.#leave();
    this.#owner.onTurnedAway();
  }

  /** Its PROXY header comes first. */
  awaitHeader(connection: TcpConnection): void {
    const { tls } = this.#settings;
    this.#stage = new ProxyHeaderStage(connection, tls?.handshakeTimeout ?? PROXY_HEADER_MS, this);
  }

  onProxyHeader(connection: TcpConnection, { addresses }: ProxyHeader, rest: Buffer): void {
    if (addresses !== null) {
      const { source, sourcePort, destination, destinationPort } = addresses;
      this.#client = {
        ...this.#client,
        peer: source,
        peerPort: sourcePort,
        localAddress: destination,
        localPort: destinationPort,
      };
    }
    const first = rest.length === 0 ? null : rest;
    if (this.#tls !== null) return this.secure(connection, first);
    this.#leave();
    this.#owner.onEntered(connection, this.#client, first);
  }

  onNoProxyHeader(reason: string): void {
    this.#settings.metrics?.noHeader.add(1);
    this.#refuse("no PROXY header", { reason });
  }

  secure(connection: TcpConnection, first: Buffer | null): void {
    // Its owner may be called back before this returns.
    this.#stage = null;
    const handshake = this.#tls!.accept(connection, this, first);
    if (this.#all.has(this)) this.#stage = handshake;
  }

  onSecured(connection: TlsConnection, facts: HandshakeFacts): void {
    this.#leave();
    this.#settings.metrics?.handshakes.add(1);
    if (facts.resumed) this.#settings.metrics?.resumed.add(1);
    if (facts.alpn === "acme-tls/1") {
      // The handshake is all that the challenge wants (RFC 8737 §3).
      connection.close(false);
      this.#owner.onTurnedAway();
      return;
    }
    this.#owner.onEntered(connection, { ...this.#client, tls: facts }, null);
  }

  onHandshakeFailed(code: HandshakeFailure, reason: string, serverName: string): void {
    this.#settings.metrics?.failures.add(handshakeFailureNumber(code), 1);
    this.#refuse("a TLS handshake failed", { code, reason, serverName: serverName === "" ? undefined : serverName });
  }

  /** The connection is destroyed. */
  fault(thrown: unknown): void {
    this.#leave();
    this.#owner.onTurnedAway();
    this.#owner.fault(thrown);
  }

  #refuse(message: string, facts: Facts): void {
    this.#leave();
    lines.info(this.#settings.log, message, { ...facts, peer: this.#client.peer });
    this.#owner.onTurnedAway();
  }

  #leave(): void {
    this.#stage = null;
    if (this.#all.delete(this)) this.#settings.metrics?.active.down();
  }
}

/**
 * Opens a connection to an endpoint: tries its addresses in turn, says in a PROXY header whose
 * connection it is, and does the TLS handshake, as the upstream wants it.
 */
import { Failure, type FailureCode } from "../base/failure.ts";
import { parseAddress } from "../net/address.ts";
import { type ConnectHandler, Connecting } from "../net/connect.ts";
import type { Connection } from "../net/connection.ts";
import type { TcpConnection } from "../net/tcp.ts";
import {
  type HandshakeProblem,
  type OriginFacts,
  type TlsClientSettings,
  type TlsConnectHandler,
  TlsConnecting,
  type TlsSessions,
} from "../net/tls-client.ts";
import type { TlsConnection } from "../net/tls-connection.ts";

/** Who wants the connection. */
export interface OpenTaker {
  /** @param alpn the protocol that was agreed on; "" if none was, or without TLS */
  onOpened(connection: Connection, alpn: string): void;
  onOpenFailed(failure: Failure): void;
}

/** Where to, and how. */
export interface Destination {
  /** Of the endpoint, for messages. */
  readonly address: string;
  readonly sockaddrs: readonly Uint8Array[];
  /** null: plain. */
  readonly tls: TlsClientSettings | null;
  /** Name that the certificate must be good for. */
  readonly serverName: string;
  readonly sessions: TlsSessions | null;
  /** Octets that go before everything else: a PROXY header; null: none. */
  readonly preamble: Uint8Array | null;
}

const HANDSHAKE_CODES: Readonly<Record<HandshakeProblem, FailureCode>> = {
  untrusted: "upstream-untrusted",
  refused: "upstream-tls-refused",
  timeout: "upstream-tls-timeout",
  protocol: "upstream-tls-failed",
};

/** It begins with `start`; the taker hears of it later, never from within. */
export class Opening implements ConnectHandler, TlsConnectHandler {
  readonly #to: Destination;
  readonly #timeoutMs: number;
  readonly #taker: OpenTaker;
  #next = 0;
  #connecting: { cancel(): void } | null = null;
  #cancelled = false;

  /** @param timeoutMs for each address; Infinity: the kernel's own limit */
  constructor(to: Destination, timeoutMs: number, taker: OpenTaker) {
    this.#to = to;
    this.#timeoutMs = timeoutMs;
    this.#taker = taker;
  }

  start(): void {
    const { sockaddrs, tls, serverName, sessions, preamble } = this.#to;
    const sockaddr = sockaddrs[this.#next++];
    if (sockaddr === undefined) queueMicrotask(() => this.#failUnresolved());
    else if (tls === null) this.#connecting = new Connecting(sockaddr, this.#timeoutMs, this);
    else {
      this.#connecting = new TlsConnecting(sockaddr, this.#timeoutMs, serverName, tls, sessions, this, preamble);
    }
  }

  /** Gives up; the taker is not called. */
  cancel(): void {
    this.#cancelled = true;
    this.#connecting?.cancel();
  }

  #failUnresolved(): void {
    if (!this.#cancelled) this.#fail("upstream-resolve-failed", "the name has no address");
  }

  onConnected(connection: TcpConnection | TlsConnection, facts?: OriginFacts): void {
    const { tls, preamble } = this.#to;
    if (tls === null && preamble !== null) connection.write(preamble);
    this.#taker.onOpened(connection, facts?.alpn ?? "");
  }

  onConnectFailed(error: string): void {
    if (this.#next < this.#to.sockaddrs.length) return this.start();
    const code =
      error === "ECONNREFUSED"
        ? "upstream-connect-refused"
        : error === "ETIMEDOUT"
          ? "upstream-connect-timeout"
          : "upstream-connect-failed";
    this.#fail(code, `connect failed: ${error}`);
  }

  onHandshakeFailed(problem: HandshakeProblem, reason: string): void {
    if (this.#next < this.#to.sockaddrs.length) return this.start();
    this.#fail(HANDSHAKE_CODES[problem], `TLS failed: ${reason}`);
  }

  fault(thrown: unknown): void {
    this.#taker.onOpenFailed(Failure.from(thrown));
  }

  #fail(code: FailureCode, reason: string): void {
    this.#taker.onOpenFailed(new Failure(code, `${this.#to.address}: ${reason}`));
  }
}

/** Name of the server at an address: its host, "localhost" for a unix socket. */
export function serverNameOf(address: string): string {
  const parsed = parseAddress(address);
  return parsed?.kind === "tcp" ? parsed.host : "localhost";
}

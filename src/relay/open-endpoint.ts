/** Opens a connection to an endpoint: its addresses in turn. */
import { Failure } from "../base/failure.ts";
import type { ClientInfo } from "../http/exchange.ts";
import { type ConnectHandler, Connecting } from "../net/connect.ts";
import type { Connection } from "../net/connection.ts";
import type { TcpConnection } from "../net/tcp.ts";
import type { Endpoint } from "../upstream/endpoint.ts";

export interface OpenTaker {
  onOpened(connection: Connection): void;
  onOpenFailed(failure: Failure): void;
}

export function openEndpoint(
  endpoint: Endpoint,
  timeoutMs: number,
  _client: ClientInfo,
  taker: OpenTaker,
): { cancel(): void } {
  const opening = new Opening(endpoint, timeoutMs, taker);
  opening.next();
  return opening;
}

class Opening implements ConnectHandler {
  readonly #endpoint: Endpoint;
  readonly #timeoutMs: number;
  readonly #taker: OpenTaker;
  #at = 0;
  #connecting: Connecting | null = null;
  #cancelled = false;

  constructor(endpoint: Endpoint, timeoutMs: number, taker: OpenTaker) {
    this.#endpoint = endpoint;
    this.#timeoutMs = timeoutMs;
    this.#taker = taker;
  }

  next(): void {
    const sockaddr = this.#endpoint.sockaddrs[this.#at++];
    if (sockaddr !== undefined) this.#connecting = new Connecting(sockaddr, this.#timeoutMs, this);
    else
      queueMicrotask(() => {
        if (this.#cancelled) return;
        const text = `${this.#endpoint.address}: the name has no address`;
        this.#taker.onOpenFailed(new Failure("upstream-resolve-failed", text));
      });
  }

  cancel(): void {
    this.#cancelled = true;
    this.#connecting?.cancel();
  }

  onConnected(connection: TcpConnection): void {
    this.#taker.onOpened(connection);
  }

  onConnectFailed(error: string): void {
    if (this.#at < this.#endpoint.sockaddrs.length) return this.next();
    const code =
      error === "ECONNREFUSED"
        ? "upstream-connect-refused"
        : error === "ETIMEDOUT"
          ? "upstream-connect-timeout"
          : "upstream-connect-failed";
    this.#taker.onOpenFailed(new Failure(code, `${this.#endpoint.address}: connect failed: ${error}`));
  }

  fault(thrown: unknown): void {
    this.#taker.onOpenFailed(Failure.from(thrown));
  }
}

/**
 * Finds a connection to an endpoint of an upstream: asks the circuit, picks, waits for room where the
 * endpoints have limits, and tries another endpoint where one cannot be reached.
 */
import { Failure } from "../base/failure.ts";
import { clock } from "../base/timer.ts";
import type { RetryConfig } from "../config/gateway-config.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Connection } from "../net/connection.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { noEndpoint } from "../upstream/no-endpoint.ts";
import type { OpenTaker } from "../upstream/opening.ts";
import { proxyAddresses } from "../upstream/proxy-out.ts";
import type { QueueWaiter } from "../upstream/queue.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { RelayAttempt } from "./relay-attempt.ts";

export interface TcpDialOwner {
  /** The connection is the owner's, who calls `release` when it is done with it. */
  onDialed(connection: Connection, attempt: RelayAttempt): void;
  /** There is none to be had. */
  onDialFailed(failure: Failure): void;
}

export class TcpDial implements QueueWaiter, OpenTaker {
  readonly #exchange: Exchange;
  readonly #upstream: Upstream;
  readonly #retry: RetryConfig;
  readonly #owner: TcpDialOwner;
  /** Whom the endpoint is told about. */
  #tried: Endpoint[] | null = null;
  #retries = 0;
  /** How the last attempt failed. */
  #failure: Failure | null = null;
  #attempt: RelayAttempt | null = null;
  /** The connection is counted on it. */
  #endpoint: Endpoint | null = null;
  #waiting: { cancel(): void } | null = null;
  #opening: { cancel(): void } | null = null;
  #opened = false;
  /** What the circuit breaker wants back, once; 0: nothing. */
  #pass = 0;

  constructor(exchange: Exchange, upstream: Upstream, retry: RetryConfig, owner: TcpDialOwner) {
    this.#exchange = exchange;
    this.#upstream = upstream;
    this.#retry = retry;
    this.#owner = owner;
  }

  /** Calls its owner back, maybe before it returns. */
  start(): void {
    const { name, circuit, budget } = this.#upstream;
    this.#exchange.upstream = name;
    if (circuit !== null) {
      this.#pass = circuit.admit();
      if (this.#pass === 0) {
        const text = `upstream ${name} has failed too often: its circuit is open`;
        return this.#owner.onDialFailed(new Failure("circuit-open", text));
      }
    }
    budget.exchange();
    this.#pick();
  }

  /** Gives up; the owner is not called. */
  cancel(): void {
    this.#waiting?.cancel();
    this.#opening?.cancel();
    this.#waiting = null;
    this.#opening = null;
    this.#tellCircuit("abandoned");
    this.release();
  }

  /** The connection is not used any more, and its endpoint has one less. */
  release(): void {
    const endpoint = this.#endpoint;
    this.#endpoint = null;
    if (endpoint === null) return;
    if (this.#opened) endpoint.closed();
    this.#upstream.release(endpoint);
  }

  /** The endpoint reset the connection without having said anything: that counts against its health. */
  fell(failure: Failure): void {
    if (this.#endpoint !== null) this.#upstream.failed(this.#endpoint, failure, true, this.#attempt!.ageMs);
  }

  #pick(): void {
    const endpoint = this.#upstream.pick(this.#exchange, this.#tried);
    if (endpoint !== null) this.#open(endpoint);
    else if (this.#upstream.isFull) this.#wait();
    else this.#giveUp(this.#failure ?? noEndpoint(this.#upstream));
  }

  #wait(): void {
    this.#exchange.phase = "queue";
    this.#waiting = this.#upstream.wait(this);
    if (this.#waiting !== null) return;
    const text = `upstream ${this.#upstream.name}: every endpoint is at its limit, and the queue is full`;
    this.#giveUp(this.#failure ?? new Failure("queue-full", text));
  }

  onRoom(): boolean {
    const endpoint = this.#upstream.pick(this.#exchange, this.#tried);
    if (endpoint === null && this.#upstream.isFull) return false;
    this.#waiting = null;
    if (endpoint === null) this.#giveUp(this.#failure ?? noEndpoint(this.#upstream));
    else this.#open(endpoint);
    return true;
  }

  onQueueTimeout(): void {
    this.#waiting = null;
    const text = `upstream ${this.#upstream.name}: no endpoint had room within queue.timeout`;
    this.#giveUp(this.#failure ?? new Failure("queue-timeout", text));
  }

  #open(endpoint: Endpoint): void {
    this.#endpoint = endpoint;
    this.#exchange.phase = "connect";
    this.#attempt = new RelayAttempt(endpoint);
    if (this.#exchange.attempts === null) this.#exchange.attempts = [this.#attempt];
    else this.#exchange.attempts.push(this.#attempt);
    this.#opening = endpoint.open(proxyAddresses(this.#exchange), this.#upstream.settings.connectMs, this);
  }

  onOpened(connection: Connection): void {
    const attempt = this.#attempt!;
    this.#opening = null;
    this.#opened = true;
    attempt.connectedAt = clock.now;
    // At layer 4 a connection is all the answer there is.
    this.#upstream.answered(this.#endpoint!, 0, attempt.ageMs);
    this.#tellCircuit("succeeded");
    this.#owner.onDialed(connection, attempt);
  }

  onOpenFailed(failure: Failure): void {
    const endpoint = this.#endpoint!;
    const attempt = this.#attempt!;
    this.#opening = null;
    this.#failure = failure;
    attempt.failure = failure;
    this.#upstream.failed(endpoint, failure, false, attempt.ageMs);
    this.release();
    if (this.#tried === null) this.#tried = [endpoint];
    else this.#tried.push(endpoint);
    if (!this.#mayTryAgain(failure)) return this.#giveUp(failure);
    this.#retries++;
    this.#pick();
  }

  #mayTryAgain(failure: Failure): boolean {
    const { attempts, on } = this.#retry;
    if (this.#retries >= attempts || failure.retry === "never" || !on.includes(failure.retry)) return false;
    // Where there is no other there is nothing to take from the budget.
    return this.#upstream.endpoints.length > this.#tried!.length && this.#upstream.budget.tryRetry();
  }

  #giveUp(failure: Failure): void {
    this.#tellCircuit(failure.side === "upstream" ? "failed" : "abandoned");
    this.#owner.onDialFailed(failure);
  }

  #tellCircuit(outcome: "succeeded" | "failed" | "abandoned"): void {
    const pass = this.#pass;
    this.#pass = 0;
    if (pass !== 0) this.#upstream.circuit?.[outcome](pass);
  }
}

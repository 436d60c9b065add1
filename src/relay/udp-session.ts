/** What one client sends by UDP, and what the endpoint that was chosen for it answers. */
import { Member } from "../base/chain.ts";
import { Failure } from "../base/failure.ts";
import { clock, Timer, type TimerList } from "../base/timer.ts";
import type { Exchange } from "../http/exchange.ts";
import {
  type DatagramListener,
  type DatagramPeer,
  DatagramPort,
  type DatagramPortHandler,
  type ReceivedDatagram,
} from "../net/udp.ts";
import type { RelayRouteMetrics } from "../telemetry/relay-metrics.ts";
import type { Endpoint } from "../upstream/endpoint.ts";
import { Status } from "../upstream/endpoint-state.ts";
import { noEndpoint } from "../upstream/no-endpoint.ts";
import { RelayAttempt } from "./relay-attempt.ts";
import type { RelayTarget } from "./tcp-relay.ts";

export interface UdpSessionSettings {
  /** Answers to each datagram, after which it is over; null: only silence ends it. */
  readonly responses: number | null;
  /** How long a silence ends it. */
  readonly idleTime: TimerList;
}

export interface UdpSessionOwner {
  onFirstAnswer(session: UdpSession): void;
  onAnswered(count: number): void;
  /** Once. */
  onOver(session: UdpSession, exchange: Exchange): void;
  fault(thrown: unknown): void;
}

/** What this machine has no more of. */
const OURS: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** No traffic goes to an endpoint with one of these. */
const OUT = Status.disabled | Status.down | Status.ejected;

export class UdpSession extends Member implements DatagramPortHandler {
  readonly key: number | string;
  /** How long a silence ends it. */
  #idleTime: TimerList;
  /** Number of the config that it was last routed by. */
  config: number;
  readonly #exchange: Exchange;
  #target: RelayTarget;
  #metrics: RelayRouteMetrics | null;
  readonly #responses: number | null;
  readonly #owner: UdpSessionOwner;
  readonly #timer = new Timer(() => this.#expire());
  #port: DatagramPort | null = null;
  #endpoint: Endpoint | null = null;
  /** Of the upstream, as it was when this was last known to lead somewhere. */
  #endpoints: readonly Endpoint[] = [];
  #attempt!: RelayAttempt;
  #sent = 0;
  #answers = 0;
  /** Datagrams since the last answer. */
  #silent = 0;
  /** What the circuit breaker wants back, once; 0: nothing. */
  #pass = 0;
  /** Its silence is cut short by us: it says nothing about the endpoint. */
  #isShortened = false;

  constructor(
    key: number | string,
    exchange: Exchange,
    target: RelayTarget,
    { responses, idleTime }: UdpSessionSettings,
    config: number,
    owner: UdpSessionOwner,
  ) {
    super();
    this.key = key;
    this.config = config;
    this.#idleTime = idleTime;
    this.#exchange = exchange;
    this.#target = target;
    this.#metrics = target.metrics;
    this.#responses = responses;
    this.#owner = owner;
  }

  /** @returns null, or why there is no way to an endpoint; then there is no session */
  open(listener: DatagramListener, peer: DatagramPeer): Failure | null {
    const { upstream } = this.#target;
    const { name, circuit } = upstream;
    this.#exchange.upstream = name;
    if (circuit !== null) {
      this.#pass = circuit.admit();
      if (this.#pass === 0)
        return new Failure("circuit-open", `upstream ${name} has failed too often: its circuit is open`);
    }
    upstream.budget.exchange();
    const endpoint = upstream.pick(this.#exchange, null);
    if (endpoint === null) {
      this.#tellCircuit("abandoned");
      // Datagrams do not wait: whoever misses an answer asks again.
      return upstream.isFull
        ? new Failure("queue-full", `upstream ${name}: every endpoint is at its limit`)
        : noEndpoint(upstream);
    }
    this.#attempt = new RelayAttempt(endpoint);
    this.#exchange.attempts = [this.#attempt];
    try {
      const [sockaddr] = endpoint.sockaddrs;
      if (sockaddr === undefined) throw new Error("the name has no address");
      this.#port = new DatagramPort(sockaddr, listener, peer, this);
    } catch (thrown) {
      const { message } = thrown as Error;
      upstream.release(endpoint);
      if (OURS.has(message)) {
        // A flood that uses up our descriptors says nothing about the endpoint.
        this.#tellCircuit("abandoned");
        return new Failure("internal", `a session cannot have a socket: ${message}`);
      }
      const failure = new Failure("upstream-connect-failed", `${endpoint.address}: ${message}`);
      this.#tellCircuit("failed");
      upstream.failed(endpoint, failure, false, 0);
      return failure;
    }
    this.#attempt.connectedAt = clock.now;
    this.#endpoint = endpoint;
    this.#endpoints = upstream.endpoints;
    this.#exchange.phase = "first-octet";
    return null;
  }

  /** Its address. */
  get client(): string {
    return this.#exchange.client.peer;
  }

  /** Another config sends the client there. @returns false if its endpoint is none of that */
  join(target: RelayTarget, config: number): boolean {
    if (!target.upstream.endpoints.includes(this.#endpoint!)) return false;
    if (target.upstream !== this.#target.upstream) this.#tellCircuit("abandoned");
    this.#target = target;
    this.#endpoints = target.upstream.endpoints;
    this.config = config;
    return true;
  }

  /** From now on it is counted there, under its route's name; nowhere if there is no such route. */
  useMetrics(routes: ReadonlyMap<string, RelayRouteMetrics>): void {
    this.#metrics = routes.get(this.#exchange.route!) ?? null;
  }

  get isAnswered(): boolean {
    return this.#answers > 0;
  }

  /** False: its endpoint is gone, or is out and silent, so another one had better be chosen. */
  get leadsSomewhere(): boolean {
    const { endpoints } = this.#target.upstream;
    if (endpoints !== this.#endpoints) {
      if (!endpoints.includes(this.#endpoint!)) return false;
      this.#endpoints = endpoints;
    }
    return this.#silent === 0 || (this.#endpoint!.state.status & OUT) === 0;
  }

  /** From now on a silence of this length ends it, without blame on the endpoint: its time to answer is not over. */
  shorten(idleTime: TimerList): void {
    this.#isShortened = true;
    this.#idleTime = idleTime;
    this.#timer.arm(idleTime);
  }

  /** From the client. */
  send(datagram: ReceivedDatagram): void {
    const { length } = datagram;
    this.#sent++;
    this.#silent++;
    this.#exchange.requestOctets += length;
    this.#metrics?.receivedOctets.add(length);
    this.#timer.arm(this.#idleTime);
    this.#port!.send(datagram);
  }

  onAnswers(count: number, octets: number): void {
    if (this.#answers === 0) {
      this.#attempt.firstOctetAt = clock.now;
      this.#exchange.phase = "tunnel";
      this.#target.upstream.answered(this.#endpoint!, 0, this.#attempt.ageMs);
      this.#tellCircuit("succeeded");
      this.#owner.onFirstAnswer(this);
    }
    this.#answers += count;
    this.#silent = 0;
    this.#exchange.responseOctets += octets;
    this.#metrics?.sentOctets.add(octets);
    this.#owner.onAnswered(count);
    if (this.#responses !== null && this.#answers >= this.#responses * this.#sent) this.end(null);
    else this.#timer.arm(this.#idleTime);
  }

  /** ICMP: the endpoint is not there. */
  onPortError(error: string): void {
    const code = error === "ECONNREFUSED" ? "upstream-connect-refused" : "upstream-connect-failed";
    this.#fail(new Failure(code, `${this.#attempt.endpoint}: ${error}`));
  }

  fault(thrown: unknown): void {
    this.#owner.fault(thrown);
    this.end(Failure.from(thrown));
  }

  #expire(): void {
    // Where answers are expected, silence is a failure; else it is how sessions end.
    if (this.#responses === null || this.#silent === 0 || this.#isShortened) return this.end(null);
    const text = `${this.#attempt.endpoint}: ${this.#silent} datagrams have had no answer`;
    this.#fail(new Failure("upstream-first-octet-timeout", text));
  }

  #fail(failure: Failure): void {
    const endpoint = this.#endpoint;
    if (endpoint === null) return;
    this.#attempt.failure = failure;
    this.#target.upstream.failed(endpoint, failure, this.#answers > 0, this.#attempt.ageMs);
    this.#tellCircuit("failed");
    this.end(failure);
  }

  /** @param failure null: it has come to its end */
  end(failure: Failure | null): void {
    const endpoint = this.#endpoint;
    if (endpoint === null) return;
    this.#endpoint = null;
    this.#timer.cancel();
    this.#port!.close();
    this.#target.upstream.release(endpoint);
    this.#tellCircuit("abandoned");
    const exchange = this.#exchange;
    exchange.failure = failure;
    if (failure === null) exchange.phase = "done";
    this.#metrics?.duration.observe(clock.now - exchange.startedAt);
    this.#owner.onOver(this, exchange);
  }

  #tellCircuit(outcome: "succeeded" | "failed" | "abandoned"): void {
    const pass = this.#pass;
    this.#pass = 0;
    if (pass !== 0) this.#target.upstream.circuit?.[outcome](pass);
  }
}

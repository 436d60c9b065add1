/**
 * One TCP connection: waits for its ClientHello if a route depends on it, finds the route, gets a
 * connection to an endpoint, and moves octets until both sides have ended.
 *
 * Until there is an endpoint nothing is read beyond the first octets, so a client that waits holds
 * one read at most.
 */
import { Member } from "../base/chain.ts";
import { Failure, type FailureCode } from "../base/failure.ts";
import { clock, Timer, type TimerList } from "../base/timer.ts";
import type { RetryConfig } from "../config/gateway-config.ts";
import type { ClientInfo, Exchange } from "../http/exchange.ts";
import type { Connection, ConnectionHandler } from "../net/connection.ts";
import { alertRecord, NotAClientHello, readClientHello, UNRECOGNIZED_NAME } from "../net/tls-client-hello.ts";
import type { RelayRouteMetrics } from "../telemetry/relay-metrics.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { Pump, type PumpEnd, type PumpOwner } from "./pump.ts";
import type { RelayAttempt } from "./relay-attempt.ts";
import { passingTls, relayExchange } from "./relay-exchange.ts";
import type { RelayRoutes } from "./routes.ts";
import { TcpDial, type TcpDialOwner } from "./tcp-dial.ts";

/** Where a route leads. */
export interface RelayTarget {
  readonly upstream: Upstream;
  readonly retry: RetryConfig;
  readonly metrics: RelayRouteMetrics;
}

/** What the connections of one `tcp` entry share. */
export interface TcpRelaySettings {
  readonly routes: RelayRoutes<RelayTarget>;
  /** Until the ClientHello is there, where a route depends on it; null: no limit. */
  readonly helloTime: TimerList | null;
  /** null: no limit. */
  readonly idleTime: TimerList | null;
  /** The same once one side has ended; null: as before. */
  readonly halfClosedTime: TimerList | null;
}

export interface TcpRelayOwner {
  /** Once, when it is over: both connections are closed, or close when what is queued is sent. */
  onRelayed(relay: TcpRelay, exchange: Exchange, metrics: RelayRouteMetrics | null): void;
  fault(thrown: unknown): void;
}

/** How a pump that did not come to its end is told. */
const ENDS: Readonly<Record<Exclude<PumpEnd, "complete">, readonly [code: FailureCode, text: string]>> = {
  idle: ["tunnel-idle", "nothing has come from either side for too long"],
  "client-lost": ["client-closed", "the client's connection was lost"],
  "endpoint-lost": ["upstream-reset", "the endpoint's connection was lost"],
};

export class TcpRelay extends Member implements ConnectionHandler, TcpDialOwner, PumpOwner {
  readonly #client: Connection;
  readonly #settings: TcpRelaySettings;
  readonly #owner: TcpRelayOwner;
  #exchange: Exchange;
  #metrics: RelayRouteMetrics | null = null;
  /** What the client has sent and no endpoint has got. */
  #first: Buffer | null;
  #clientEnded = false;
  /** The ClientHello is what comes next. */
  #awaitsHello = false;
  readonly #helloTimer = new Timer(() => this.#refuse("head-timeout", "the ClientHello took too long"));
  #dial: TcpDial | null = null;
  #attempt: RelayAttempt | null = null;
  #pump: Pump | null = null;
  #done = false;

  /**
   * @param first  octets that were read already; borrowed
   * @param acceptedAt  ms of `clock`
   */
  constructor(
    connection: Connection,
    client: ClientInfo,
    first: Buffer | null,
    acceptedAt: number,
    settings: TcpRelaySettings,
    owner: TcpRelayOwner,
  ) {
    super();
    this.#client = connection;
    this.#settings = settings;
    this.#owner = owner;
    this.#first = first === null ? null : Buffer.from(first);
    this.#exchange = relayExchange("TCP", client, acceptedAt);
    connection.handler = this;
  }

  /** May call its owner back before it returns. */
  start(): void {
    const { routes, helloTime } = this.#settings;
    const { tls } = this.#exchange.client;
    if (tls !== null || !routes.wantServerName) {
      return this.#choose(tls === null || tls.serverName === "" ? null : tls.serverName, false);
    }
    this.#exchange.phase = "head";
    this.#awaitsHello = true;
    if (helloTime !== null) this.#helloTimer.arm(helloTime);
    if (this.#first !== null) this.#lookForHello();
  }

  /** From now on it is counted there, under its route's name; nowhere if there is no such route. */
  useMetrics(routes: ReadonlyMap<string, RelayRouteMetrics>): void {
    this.#metrics = this.#exchange.route === null ? null : (routes.get(this.#exchange.route) ?? null);
  }

  /** No octet has come of it yet, or none is waited for any more: nobody misses it. */
  get isIdle(): boolean {
    return this.#awaitsHello && this.#first === null;
  }

  /** Ends it where it is. */
  terminate(why: Failure): void {
    if (this.#done) return;
    if (this.#pump === null) return this.#giveUp(why);
    this.#pump.cut();
    this.#exchange.failure = why;
    this.#finish();
  }

  // ── what the client says before there is an endpoint ───────────────────────────────────────

  get expectsHead(): boolean {
    return true;
  }

  onOctets(room: Buffer, length: number): void {
    const octets = room.subarray(0, length);
    this.#first = this.#first === null ? Buffer.from(octets) : Buffer.concat([this.#first, octets]);
    if (this.#awaitsHello) this.#lookForHello();
    else this.#client.pause();
  }

  onRoom(): void {}

  onPeerEnd(): void {
    this.#clientEnded = true;
    if (this.#awaitsHello) this.#refuse("client-closed", "the client has closed the connection before its ClientHello");
  }

  onLost(error: string): void {
    this.#giveUp(new Failure("client-closed", `the client's connection was lost (${error})`));
  }

  onFault(thrown: unknown): void {
    this.fault(thrown);
  }

  #lookForHello(): void {
    let serverName: string | null;
    try {
      const hello = readClientHello(this.#first!);
      if (hello === null) return;
      ({ serverName } = hello);
    } catch (thrown) {
      if (!(thrown instanceof NotAClientHello)) throw thrown;
      // What is not TLS at all may be meant for a route without a server name.
      if (thrown.alert === 0) return this.#choose(null, false);
      this.#client.write(alertRecord(thrown.alert));
      return this.#refuse("request-malformed", thrown.message);
    }
    this.#choose(serverName, true);
  }

  /** @param passesTls a ClientHello waits for its answer */
  #choose(serverName: string | null, passesTls: boolean): void {
    this.#awaitsHello = false;
    this.#helloTimer.cancel();
    const { client, startedAt } = this.#exchange;
    if (passesTls) {
      this.#exchange = relayExchange("TCP", { ...client, tls: passingTls(serverName ?? "") }, startedAt);
    }
    const route = this.#settings.routes.find(serverName, client.peer);
    if (route === null) {
      if (passesTls) this.#client.write(alertRecord(UNRECOGNIZED_NAME));
      return this.#refuse(
        "no-route",
        serverName === null ? "no route takes it" : `no route takes server name ${serverName}`,
      );
    }
    const { upstream, retry, metrics } = route.target;
    this.#exchange.route = route.name;
    this.#metrics = metrics;
    metrics.begun.add(1);
    if (this.#first !== null) this.#client.pause();
    this.#dial = new TcpDial(this.#exchange, upstream, retry, this);
    this.#dial.start();
  }

  /** Closes the connection, after what was written to it. */
  #refuse(code: FailureCode, text: string): void {
    if (this.#done) return;
    this.#exchange.failure = new Failure(code, text);
    if (code === "request-malformed" || code === "no-route") this.#client.close(true);
    else this.#client.destroy(true);
    this.#finish();
  }

  /** There is no endpoint for it, or nobody who wants one. */
  #giveUp(why: Failure): void {
    if (this.#done) return;
    this.#exchange.failure = why;
    this.#dial?.cancel();
    this.#client.destroy(true);
    this.#finish();
  }

  // ── with an endpoint ───────────────────────────────────────────────────────────────────────

  onDialed(endpoint: Connection, attempt: RelayAttempt): void {
    this.#attempt = attempt;
    this.#exchange.phase = "tunnel";
    const { idleTime, halfClosedTime } = this.#settings;
    this.#pump = new Pump(this.#client, endpoint, idleTime, halfClosedTime, this);
    const first = this.#first;
    this.#first = null;
    if (first !== null) {
      this.onMoved(true, first.length);
      endpoint.write(first);
    }
    this.#pump.start(this.#clientEnded);
  }

  onDialFailed(failure: Failure): void {
    this.#dial = null;
    this.#giveUp(failure);
  }

  onMoved(fromClient: boolean, octets: number): void {
    const metrics = this.#metrics;
    if (fromClient) {
      this.#exchange.requestOctets += octets;
      metrics?.receivedOctets.add(octets);
      return;
    }
    const attempt = this.#attempt!;
    if (attempt.firstOctetAt === 0) attempt.firstOctetAt = clock.now;
    this.#exchange.responseOctets += octets;
    metrics?.sentOctets.add(octets);
  }

  onPumpEnd(end: PumpEnd, error: string): void {
    if (end === "complete") this.#exchange.phase = "done";
    else {
      const [code, text] = ENDS[end];
      const failure = new Failure(code, error === "" ? text : `${text} (${error})`);
      this.#exchange.failure = failure;
      if (end === "endpoint-lost") {
        const attempt = this.#attempt!;
        attempt.failure = failure;
        if (attempt.firstOctetAt === 0) this.#dial!.fell(failure);
      }
    }
    this.#finish();
  }

  /** A callback of the client's connection or of the pump threw: a fault of ours. */
  fault(thrown: unknown): void {
    this.#owner.fault(thrown);
    if (this.#done) return;
    this.#exchange.failure = Failure.from(thrown);
    this.#pump?.cut();
    this.#client.destroy(true);
    this.#finish();
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#helloTimer.cancel();
    this.#first = null;
    if (this.#pump === null) this.#dial?.cancel();
    else this.#dial!.release();
    this.#owner.onRelayed(this, this.#exchange, this.#metrics);
  }
}

/**
 * The traffic side of a worker: listeners, their connections, and the generation that answers.
 */

import { Failure } from "../base/failure.ts";
import type { Log } from "../base/log.ts";
import { clock, timerList } from "../base/timer.ts";
import type { GatewayConfig, ListenerConfig } from "../config/gateway-config.ts";
import type { ClientInfo } from "../http/exchange.ts";
import { parseAddress } from "../net/address.ts";
import { type AcceptHandler, Listener } from "../net/listener.ts";
import { setQueueBudget, type TcpConnection } from "../net/tcp.ts";
import { type ExchangeHooks, Http1ServerConnection, type Http1ServerSettings } from "../protocol/http1/server.ts";
import type { GatewayMetrics, ListenerMetrics } from "../telemetry/metrics.ts";
import type { ExchangeRecorder } from "../telemetry/record.ts";
import { Generation } from "./generation.ts";

export interface GatewayOptions {
  readonly config: GatewayConfig;
  /** Folder of the config file. */
  readonly directory: string;
  /** Sockets that are bound and listen already. */
  readonly listeners: readonly { readonly name: string; readonly fd: number }[];
  /** Workers that share the limits of connections. */
  readonly workers: number;
  readonly recorder: ExchangeRecorder;
  readonly metrics: GatewayMetrics;
  readonly log: Log;
}

export interface Gateway {
  start(): Promise<void>;
  /** Accepts no more, ends idle connections, lets the others finish; what is left after the grace time is cut. */
  drain(graceMs: number): Promise<void>;
}

/** @throws if the config cannot be built; nothing has been accepted then */
export function createGateway(options: GatewayOptions): Gateway {
  return new TrafficGateway(options);
}

const LAST_REQUESTS_MS = 100;

class TrafficGateway implements Gateway {
  readonly #generation: Generation;
  readonly #doors: Door[];
  readonly #connections = new Set<Http1ServerConnection>();
  #draining = false;
  #onEmpty: (() => void) | null = null;

  constructor(options: GatewayOptions) {
    this.#generation = new Generation(options);
    setQueueBudget(options.config.limits.queued);
    this.#doors = options.listeners.map(({ name, fd }) => {
      const config = options.config.listeners.find((listener) => listener.name === name)!;
      return new Door(
        config,
        fd,
        options,
        this.#generation,
        this.#connections,
        () => this.#draining,
        () => this.#closed(),
      );
    });
  }

  async start(): Promise<void> {
    await this.#generation.start();
    for (const door of this.#doors) door.listener.start();
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    for (const { listener } of this.#doors) listener.stop();
    // A request may be on its way on a kept connection: it is read before the idle ones are closed.
    const lastMs = Math.min(graceMs, LAST_REQUESTS_MS);
    await new Promise((resolve) => setTimeout(resolve, lastMs));
    for (const connection of [...this.#connections]) connection.drain();
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
        if (graceMs !== Infinity) setTimeout(resolve, graceMs - lastMs);
      });
    }
    for (const connection of [...this.#connections])
      connection.terminate(new Failure("shutting-down", "the drain time is over"));
    this.#generation.dispose();
  }

  #closed(): void {
    if (this.#connections.size === 0) this.#onEmpty?.();
  }
}

/** A listener with what its connections share. */
class Door implements AcceptHandler, ExchangeHooks {
  readonly listener: Listener;
  readonly handle: ExchangeHooks["handle"];
  readonly #name: string;
  readonly #localAddress: string;
  readonly #localPort: number;
  readonly #settings: Http1ServerSettings;
  readonly #metrics: ListenerMetrics;
  readonly #recorder: ExchangeRecorder;
  readonly #log: Log;
  readonly #connections: Set<Http1ServerConnection>;
  readonly #isDraining: () => boolean;
  readonly #onClosed: () => void;
  #warnedAt = -Infinity;

  constructor(
    config: ListenerConfig,
    fd: number,
    options: GatewayOptions,
    generation: Generation,
    connections: Set<Http1ServerConnection>,
    isDraining: () => boolean,
    onClosed: () => void,
  ) {
    const address = parseAddress(config.address);
    this.#name = config.name;
    this.#localAddress = address?.kind === "tcp" ? address.host : "";
    this.#localPort = address?.kind === "tcp" ? address.port : 0;
    this.#settings = serverSettings(options.config);
    this.#metrics = options.metrics.listener(config.name);
    this.#recorder = options.recorder;
    this.#log = options.log.with({ listener: config.name });
    this.#connections = connections;
    this.#isDraining = isDraining;
    this.#onClosed = onClosed;
    this.handle = generation.handle;
    this.listener = new Listener(fd, Math.max(1, Math.ceil(config.maxConnections / options.workers)), this);
  }

  get draining(): boolean {
    return this.#isDraining();
  }

  onConnection(connection: TcpConnection, peer: string, peerPort: number): void {
    const client: ClientInfo = {
      listener: this.#name,
      peer,
      peerPort,
      localAddress: this.#localAddress,
      localPort: this.#localPort,
      tls: null,
    };
    const server = new Http1ServerConnection(connection, client, this.#settings, this);
    connection.handler = server;
    this.#connections.add(server);
    this.#metrics.accepted.add(1);
    this.#metrics.active.up();
  }

  onAcceptPaused(reason: string): void {
    this.#metrics.pauses.add(1);
    if (clock.now - this.#warnedAt < 10_000) return;
    this.#warnedAt = clock.now;
    const what = reason === "limit" ? "the listener's maxConnections is reached" : `accept failed: ${reason}`;
    this.#log.warn(`${what}; clients wait`, { connections: this.listener.connections });
  }

  finish(exchange: Parameters<ExchangeHooks["finish"]>[0]): void {
    this.#recorder.record(exchange);
  }

  malformed(client: ClientInfo, failure: Failure, octets: number): void {
    this.#recorder.recordMalformed(client, failure, octets);
  }

  closed(connection: Http1ServerConnection): void {
    this.#connections.delete(connection);
    this.#metrics.active.down();
    this.listener.released();
    this.#onClosed();
  }

  fault(thrown: unknown): void {
    this.#log.error("a fault in an exchange", {
      error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
    });
  }
}

/** What the connections of a listener share. */
export function serverSettings({ limits, timeouts }: GatewayConfig): Http1ServerSettings {
  return {
    scheme: "http",
    head: {
      requestLineOctets: limits.requestLine,
      fieldLineOctets: limits.fieldLine,
      fieldSectionOctets: limits.fieldSection,
      fieldCount: limits.fields,
    },
    content: { trailerOctets: limits.trailers, chunkExtensionOctets: limits.chunkExtensions },
    headTime: timerList(timeouts.head),
    keepAliveTime: timerList(timeouts.keepAlive),
    contentIdleTime: timerList(timeouts.contentIdle),
    sendTime: timerList(timeouts.send),
    continueTime: timerList(timeouts.continue),
    tunnelIdleTime: timerList(timeouts.tunnelIdle),
    contentRate: timeouts.contentRate,
  };
}

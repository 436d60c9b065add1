/**
 * The traffic side of a worker: listeners, their connections, and the generation that answers. A
 * reload prepares everything beside what serves, and then exchanges a few references.
 */
import { Chain } from "../base/chain.ts";
import { Failure } from "../base/failure.ts";
import type { Log } from "../base/log.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { libc } from "../net/libc.ts";
import { setQueueBudget } from "../net/tcp.ts";
import { windowGrowth } from "../protocol/http2/window-growth.ts";
import type { ServerConnection } from "../protocol/server-connection.ts";
import type { Zone } from "../state/zone.ts";
import type { GatewayMetrics } from "../telemetry/metrics.ts";
import type { ExchangeRecorder } from "../telemetry/record.ts";
import type { TlsMaterial } from "../tls/tls-material.ts";
import type { EndpointSet } from "../upstream/endpoint-spec.ts";
import { altSvcOf } from "./alt-svc.ts";
import { Certificates, type PreparedStore } from "./certificates.ts";
import { Door } from "./door.ts";
import type { Arrival } from "./entrance.ts";
import { Generation } from "./generation.ts";
import type { QuicAddress } from "./ipc.ts";
import type { ListenKind } from "./listen-spec.ts";
import { type PreparedFront, QuicFront } from "./quic-front.ts";
import { type RelaySocket, Relays } from "./relays.ts";
import { type PreparedUpstreams, Upstreams } from "./upstreams.ts";

export interface GatewayOptions {
  readonly zone: Zone;
  /** Of this worker in the zone. */
  readonly slot: number;
  /** Workers that share the limits of connections. */
  readonly workers: number;
  /** This process serves HTTP/3, and nothing else. */
  readonly servesQuic: boolean;
  readonly recorder: ExchangeRecorder;
  readonly log: Log;
  /** A client waits for the certificate of this name; `certificateAnswered` follows. */
  askForCertificate(name: string): void;
}

/** A socket that is bound and listens already. */
export interface GatewaySocket {
  /** The same over reloads. */
  readonly id: number;
  readonly kind: ListenKind;
  /** Of the listener. */
  readonly name: string;
  /** null: the gateway has it already. */
  readonly fd: number | null;
}

/** What a reload can change. */
export interface GatewayFacts {
  readonly config: GatewayConfig;
  /** Folder of the config file. */
  readonly directory: string;
  readonly metrics: GatewayMetrics;
  readonly sets: readonly EndpointSet[];
  readonly material: TlsMaterial;
  readonly quic: readonly QuicAddress[];
  /** All of them: one that is not among them any more is closed at the commit. */
  readonly sockets: readonly GatewaySocket[];
}

/** Something else to serve, built and waiting. */
export interface PreparedGateway {
  /** Serves it from now on. */
  commit(): void;
  /** Forgets it, and closes the sockets that came with it. */
  abort(): void;
}

/** Open kept connections get this long to send one more request before they are closed (gentle drain). */
const GENTLE_IDLE_MS = 5000;
const LAST_REQUESTS_MS = 100;

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #upstreams: Upstreams;
  readonly #certificates: Certificates;
  readonly #quic: QuicFront;
  readonly #connections = new Chain<ServerConnection>();
  /** Those whose PROXY header or handshake is not over. */
  readonly #arrivals = new Chain<Arrival>();
  readonly #relays: Relays;
  /** Of the sockets in force, by id. */
  #fds = new Map<number, number>();
  #doors = new Map<number, Door>();
  #generation: Generation | null = null;
  #onEmpty: (() => void) | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#upstreams = new Upstreams(options);
    this.#certificates = new Certificates((name) => options.askForCertificate(name));
    this.#quic = new QuicFront(
      { ...options, certificates: this.#certificates, connections: this.#connections },
      this.#closed,
    );
    this.#relays = new Relays({
      ...options,
      certificates: this.#certificates,
      arrivals: this.#arrivals,
      onClosed: this.#closed,
    });
  }

  /** @throws {Error} if it cannot be built; what serves is untouched, and sockets that came with it are closed */
  async prepare(facts: GatewayFacts): Promise<PreparedGateway> {
    const { config, directory, metrics, sets, sockets, material, quic: addresses } = facts;
    let upstreams: PreparedUpstreams | null = null;
    let generation: Generation | null = null;
    try {
      upstreams = await this.#upstreams.prepare(config, sets, metrics, material);
      const { log, servesQuic } = this.#options;
      const options = { config, directory, upstreams: upstreams.upstreams, log, covers: this.#certificates.covers };
      generation = await Generation.build(options, this.#generation);
      const store = this.#certificates.prepare(config, material);
      const quic = await this.#quic.prepare(config, servesQuic ? addresses : [], store.store);
      return {
        commit: () => this.#commit(facts, upstreams!, store, quic, generation!),
        abort: () => {
          upstreams!.abort();
          generation!.retire();
          quic.abort();
          closeNew(sockets);
        },
      };
    } catch (thrown) {
      upstreams?.abort();
      generation?.retire();
      closeNew(sockets);
      throw thrown;
    }
  }

  /** The endpoints of one upstream have changed. */
  change(set: EndpointSet): Promise<void> {
    return this.#upstreams.change(set);
  }

  /** Certificates, or what else the TLS part of the config in force names, have changed. */
  useMaterial(material: TlsMaterial): void {
    this.#certificates.change(material);
    this.#upstreams.useMaterial(material);
    for (const door of this.#doors.values()) door.materialChanged();
    this.#quic.materialChanged();
  }

  /** The supervisor has got a certificate for this name, which was sent before, or there is none. */
  certificateAnswered(name: string): void {
    this.#certificates.answered(name);
  }

  /**
   * Accepts no more, lets what is in flight finish; what is left after the grace time is cut.
   * @param gentle others accept on the same sockets, so idle connections are closed late, when no
   *   request can be on its way any more
   */
  async drain(graceMs: number, gentle: boolean): Promise<void> {
    for (const door of this.#doors.values()) door.shut();
    this.#relays.shut();
    this.#quic.shut();
    // A request may be on its way on a kept connection: it is read before the idle ones are closed.
    const lastMs = Math.min(graceMs, gentle ? GENTLE_IDLE_MS : LAST_REQUESTS_MS);
    const grace = graceMs === Infinity ? null : graceMs;
    await this.#empty(lastMs);
    for (const arrival of this.#arrivals.all()) arrival.drain();
    for (const connection of this.#connections.all()) connection.drain();
    this.#relays.drain();
    await this.#empty(grace === null ? null : grace - lastMs);
    for (const arrival of this.#arrivals.all()) arrival.cancel();
    for (const connection of this.#connections.all())
      connection.terminate(new Failure("shutting-down", "the drain time is over"));
    this.#relays.terminate();
    this.#upstreams.close();
    this.#generation?.retire();
  }

  /** Settles when no connection is left, or the time is over. */
  async #empty(withinMs: number | null): Promise<void> {
    if (this.#isEmpty) return;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (withinMs !== null) setTimeout(resolve, withinMs);
    });
    this.#onEmpty = null;
  }

  #commit(
    { config, metrics, sockets, quic: addresses }: GatewayFacts,
    upstreams: PreparedUpstreams,
    store: PreparedStore,
    quic: PreparedFront,
    generation: Generation,
  ): void {
    upstreams.commit();
    store.commit();
    setQueueBudget(config.limits.queued);
    windowGrowth.most = config.limits.http2.windowGrowth;
    const before = this.#generation;
    const doors = new Map<number, Door>();
    const relays: RelaySocket[] = [];
    const fds = new Map(sockets.map(({ id, fd }) => [id, fd ?? this.#fds.get(id)!]));
    for (const { id, kind, name } of sockets) {
      if (kind !== "http") {
        relays.push({ id, kind, name, fd: fds.get(id)! });
        continue;
      }
      const listener = config.listeners.find((one) => one.name === name)!;
      const door = this.#doors.get(id) ?? this.#open(fds.get(id)!);
      door.use(listener, config, metrics.listener(name), generation, altSvcOf(listener, addresses));
      doors.set(id, door);
    }
    for (const [id, door] of this.#doors) if (!doors.has(id)) this.#remove(door);
    this.#relays.use(relays, config, metrics, upstreams.upstreams);
    quic.commit(metrics, generation);
    for (const [id, door] of doors) if (!this.#doors.has(id)) door.listener.start();
    for (const [id, fd] of this.#fds) if (!fds.has(id)) libc.close(fd);
    this.#fds = fds;
    this.#doors = doors;
    this.#generation = generation;
    before?.retire();
  }

  #open(fd: number): Door {
    return new Door(fd, {
      ...this.#options,
      certificates: this.#certificates,
      connections: this.#connections,
      arrivals: this.#arrivals,
      onClosed: this.#closed,
    });
  }

  /** Its connections finish; they are closed when no request can be on its way any more. */
  #remove(door: Door): void {
    door.shut();
    setTimeout(() => {
      for (const connection of this.#connections.all()) if (connection.hooks === door) connection.drain();
    }, GENTLE_IDLE_MS);
  }

  get #isEmpty(): boolean {
    return this.#connections.size === 0 && this.#arrivals.size === 0 && this.#relays.open === 0;
  }

  readonly #closed = (): void => {
    if (this.#isEmpty) this.#onEmpty?.();
  };
}

function closeNew(sockets: readonly GatewaySocket[]): void {
  for (const { fd } of sockets) if (fd !== null) libc.close(fd);
}

/** The layer-4 side of a worker: the sockets of `tcp` and `udp`, over reloads. */
import type { Chain } from "../base/chain.ts";
import type { Log } from "../base/log.ts";
import { timerList } from "../base/timer.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { RelayConfig, UdpConfig } from "../config/relay-config.ts";
import type { Exchange } from "../http/exchange.ts";
import { RelayRoutes } from "../relay/routes.ts";
import type { RelayTarget } from "../relay/tcp-relay.ts";
import { UdpRelay, type UdpRelayOwner, type UdpRelaySettings } from "../relay/udp-relay.ts";
import type { GatewayMetrics } from "../telemetry/metrics.ts";
import type { ExchangeRecorder } from "../telemetry/record.ts";
import type { RelayMetrics, UdpMetrics } from "../telemetry/relay-metrics.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Certificates } from "./certificates.ts";
import type { Arrival } from "./entrance.ts";
import { TcpDoor } from "./tcp-door.ts";

/** What all doors of a worker share. */
export interface RelayParts {
  /** Workers that share the limits. */
  readonly workers: number;
  readonly recorder: ExchangeRecorder;
  readonly log: Log;
  readonly certificates: Certificates;
  /** Connections whose PROXY header or handshake is not over. */
  readonly arrivals: Chain<Arrival>;
  /** A connection or a session is over. */
  onClosed(): void;
}

/** A socket of the config that is put in force. */
export interface RelaySocket {
  readonly id: number;
  readonly kind: "tcp" | "udp";
  /** Of the entry. */
  readonly name: string;
  readonly fd: number;
}

/** What both kinds have in common. */
type RelayDoor = TcpDoor | UdpRelay;

export class Relays implements UdpRelayOwner {
  readonly #parts: RelayParts;
  #doors = new Map<number, RelayDoor>();
  /** Their sockets are gone; what they relay goes on. */
  readonly #retired = new Set<RelayDoor>();

  constructor(parts: RelayParts) {
    this.#parts = parts;
  }

  /** Puts a config in force. Closing the sockets that are not in it any more is the caller's. */
  use(
    sockets: readonly RelaySocket[],
    config: GatewayConfig,
    metrics: GatewayMetrics,
    upstreams: ReadonlyMap<string, Upstream>,
  ): void {
    const retries = new Map(config.upstreams.map(({ name, retry }) => [name, retry]));
    const routesOf = ({ routes }: RelayConfig, { routes: counted }: RelayMetrics): RelayRoutes<RelayTarget> =>
      new RelayRoutes(
        routes.map(({ name, match, to }) => {
          const target = { upstream: upstreams.get(to)!, retry: retries.get(to)!, metrics: counted.get(name)! };
          return { name, match, target };
        }),
      );
    const doors = new Map<number, RelayDoor>();
    for (const { id, kind, name, fd } of sockets) {
      const known = this.#doors.get(id);
      if (kind === "tcp") {
        const entry = config.tcp.find((one) => one.name === name)!;
        const counted = metrics.tcp(name);
        const door = known instanceof TcpDoor ? known : new TcpDoor(fd, this.#parts);
        door.use(entry, routesOf(entry, counted), counted);
        doors.set(id, door);
      } else {
        const entry = config.udp.find((one) => one.name === name)!;
        const counted = metrics.udp(name);
        const door = known instanceof UdpRelay ? known : new UdpRelay(fd, this);
        door.use(this.#udpSettings(entry, routesOf(entry, counted), counted));
        doors.set(id, door);
      }
    }
    for (const [id, door] of this.#doors) if (!doors.has(id)) this.#retire(door);
    for (const [id, door] of doors) if (!this.#doors.has(id)) door.start();
    this.#doors = doors;
  }

  /** Connections and sessions open. */
  get open(): number {
    let open = 0;
    for (const door of this.#all()) open += door.open;
    return open;
  }

  /** Takes nothing new. */
  shut(): void {
    for (const door of this.#doors.values()) door.shut();
  }

  /** What has nothing to lose ends; the rest may come to its end. */
  drain(): void {
    for (const door of this.#all()) door.drain();
  }

  terminate(): void {
    for (const door of this.#all()) door.terminate();
  }

  onSessionOver(exchange: Exchange): void {
    this.#parts.recorder.recordRelay(exchange);
    this.#parts.onClosed();
  }

  #udpSettings(entry: UdpConfig, routes: RelayRoutes<RelayTarget>, metrics: UdpMetrics): UdpRelaySettings {
    const { name, maxSessions, maxPerClient, responses, timeouts } = entry;
    const { workers, log } = this.#parts;
    return {
      name,
      routes,
      metrics,
      maxSessions: Math.max(1, Math.ceil(maxSessions / workers)),
      maxPerClient,
      responses,
      idleTime: timerList(timeouts.idle)!,
      log: log.with({ listener: name }),
    };
  }

  #retire(door: RelayDoor): void {
    door.retire();
    for (const one of this.#retired) if (one.open === 0) this.#retired.delete(one);
    if (door.open > 0) this.#retired.add(door);
  }

  *#all(): Generator<RelayDoor> {
    yield* this.#doors.values();
    yield* this.#retired;
  }
}

/** For tests of this room: a relay between a peer and origin servers whose every octet is in the test. */
import { clock, timerList } from "../base/timer.ts";
import type { RelayMatchConfig } from "../config/relay-config.ts";
import type { ClientInfo, Exchange } from "../http/exchange.ts";
import { libc } from "../net/libc.ts";
import { Listener } from "../net/listener.ts";
import { listening, Peer, until } from "../net/testing.ts";
import { Counter, Histogram } from "../telemetry/registry.ts";
import type { RelayRouteMetrics } from "../telemetry/relay-metrics.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { RelayRoutes } from "./routes.ts";
import { TcpRelay, type TcpRelayOwner } from "./tcp-relay.ts";

export const HOUR_MS = 3_600_000;
/** Longer than every other limit. */
export const IDLE_MS = 3 * HOUR_MS;

export function routeMetrics(): RelayRouteMetrics {
  const cells = new Float64Array(64);
  return {
    begun: new Counter(cells, 0),
    receivedOctets: new Counter(cells, 1),
    sentOctets: new Counter(cells, 2),
    duration: new Histogram(cells, 8),
  };
}

const RETRY = {
  attempts: 2,
  on: ["connect" as const],
  anyMethod: false,
  budget: 1,
  budgetFloor: 100,
  content: 0,
  perAttempt: Infinity,
};

export interface RelayFacts {
  /** By name of the route. */
  readonly routes: Readonly<Record<string, { readonly match?: RelayMatchConfig; readonly to: Upstream }>>;
  readonly attempts?: number;
  readonly client?: Partial<ClientInfo>;
  /** Read already. */
  readonly first?: string;
}

/** A relay that has just accepted its client. */
export async function relay(facts: RelayFacts): Promise<{ client: Peer; relay: TcpRelay; over: Over }> {
  const { fd, sockaddr } = listening();
  const over = new Over();
  const specs = Object.entries(facts.routes).map(([name, { match = {}, to: upstream }]) => {
    const retry = { ...RETRY, attempts: facts.attempts ?? 2 };
    return { name, match, target: { upstream, retry, metrics: routeMetrics() } };
  });
  const settings = {
    routes: new RelayRoutes(specs),
    helloTime: timerList(HOUR_MS),
    idleTime: timerList(IDLE_MS),
    halfClosedTime: timerList(2 * HOUR_MS),
  };
  const { promise, resolve } = Promise.withResolvers<TcpRelay>();
  const listener = new Listener(fd, 10, {
    onConnection(connection, peer, peerPort) {
      const client = { listener: "in", peer, peerPort, localAddress: "", localPort: 0, tls: null, ...facts.client };
      const first = facts.first === undefined ? null : Buffer.from(facts.first, "latin1");
      const made = new TcpRelay(connection, client, first, clock.now, settings, over);
      made.start();
      resolve(made);
    },
    onAcceptPaused() {},
    fault(thrown) {
      throw thrown;
    },
  });
  listener.start();
  const client = new Peer(sockaddr);
  const made = await promise;
  listener.stop();
  libc.close(fd);
  return { client, relay: made, over };
}

/** What a relay's owner heard. */
export class Over implements TcpRelayOwner {
  exchange: Exchange | null = null;
  times = 0;
  readonly faults: unknown[] = [];

  onRelayed(_relay: TcpRelay, exchange: Exchange): void {
    this.times++;
    this.exchange = exchange;
  }

  fault(thrown: unknown): void {
    this.faults.push(thrown);
  }

  /** Waits until it is over. @returns the code of its failure; null: it is complete */
  async code(): Promise<string | null> {
    await until(() => this.times > 0, "the end of the relay");
    return this.exchange!.failure?.code ?? null;
  }
}

/** What has come up to so many octets. */
export async function received(peer: Peer, octets: number): Promise<string> {
  let text = "";
  await until(() => (text += peer.receive().toString("latin1")).length >= octets, `${octets} octets`);
  return text;
}

/** The end that the peer sees after everything else: "end", or the name of an error. */
export async function endOf(peer: Peer): Promise<string> {
  const { end } = await peer.receiveAll(10_000);
  return end;
}

const u16 = (value: number) => Uint8Array.of(value >> 8, value & 255);
const counted = (...parts: Uint8Array[]) => {
  const octets = Buffer.concat(parts);
  return Buffer.concat([u16(octets.length), octets]);
};

/** A ClientHello in one record (RFC 8446 §4.1.2). @param serverName null: without one */
export function clientHello(serverName: string | null): Buffer {
  const name = Buffer.from(serverName ?? "", "latin1");
  const extension = Buffer.concat([u16(0), counted(counted(Uint8Array.of(0), counted(name)))]);
  const body = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    Uint8Array.of(0),
    counted(u16(0x1301)),
    Uint8Array.of(1, 0),
    ...(serverName === null ? [] : [counted(extension)]),
  ]);
  const message = Buffer.concat([Uint8Array.of(1, 0, body.length >> 8, body.length & 255), body]);
  return Buffer.concat([Uint8Array.of(22, 3, 1), counted(message)]);
}

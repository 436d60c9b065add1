/**
 * Moves octets between two connections, both ways, until both have ended. A full side stops the other
 * (at most one read, or a pipe of 1 MiB, waits in between); each may end its half before the other does.
 *
 * Where both are plain, octets that come in large pieces stay in the kernel (net/pipe.ts). Small ones
 * are read and written: with a pipe they would cost a third system call each.
 */
import { Timer, type TimerList } from "../base/timer.ts";
import type { Connection, ConnectionHandler, UnseenOctets } from "../net/connection.ts";

/** A read of so many octets is probably followed by more: those are moved. */
const BULK_OCTETS = 32 * 1024;
/** Pieces of this size are read again. */
const SMALL_OCTETS = 4 * 1024;

export type PumpEnd =
  /** Both sides have said all. */
  | "complete"
  /** Nothing moved for too long. */
  | "idle"
  /** The connection to the client, or to the endpoint, was reset. */
  | "client-lost"
  | "endpoint-lost";

export interface PumpOwner {
  /** Octets have come from the client, or from the endpoint. */
  onMoved(fromClient: boolean, octets: number): void;
  /** Once. Both connections are closed, or close as soon as what is queued is sent. @param error of a loss, such as "ECONNRESET" */
  onPumpEnd(end: PumpEnd, error: string): void;
  /** A callback threw; both connections are destroyed. */
  fault(thrown: unknown): void;
}

export class Pump {
  readonly #client: Side;
  readonly #endpoint: Side;
  readonly #owner: PumpOwner;
  #idle: TimerList | null;
  readonly #halfClosed: TimerList | null;
  readonly #timer = new Timer(() => this.#abort("idle", ""));
  #done = false;

  /**
   * Takes both connections over.
   * @param idle  without an octet; null: no limit
   * @param halfClosed  the same once one side has ended
   */
  constructor(
    client: Connection,
    endpoint: Connection,
    idle: TimerList | null,
    halfClosed: TimerList | null,
    owner: PumpOwner,
  ) {
    this.#owner = owner;
    this.#idle = idle;
    this.#halfClosed = halfClosed;
    this.#client = new Side(client, endpoint, true, this);
    this.#endpoint = new Side(endpoint, client, false, this);
    client.handler = this.#client;
    endpoint.handler = this.#endpoint;
  }

  /** @param clientEnded the client has ended its half already */
  start(clientEnded: boolean): void {
    this.#touch();
    if (clientEnded) this.#client.onPeerEnd();
    this.#client.connection.resume();
    // What went to the endpoint before may have filled it.
    if (this.#endpoint.connection.full) this.#client.connection.pause();
  }

  /** Ends it where it is; neither side takes it for complete. */
  cut(): void {
    this.#stop();
    this.#client.connection.destroy(true);
    this.#endpoint.connection.destroy(true);
  }

  /** @internal */
  moved(fromClient: boolean, octets: number): void {
    this.#touch();
    this.#owner.onMoved(fromClient, octets);
  }

  /** @internal The kernel has taken what was queued: something moves. */
  touched(): void {
    this.#touch();
  }

  /** @internal */
  ended(): void {
    if (this.#halfClosed !== null) this.#idle = this.#halfClosed;
    this.#touch();
    if (!this.#client.ended || !this.#endpoint.ended) return;
    this.#stop();
    this.#client.connection.close(false);
    this.#endpoint.connection.close(false);
    this.#owner.onPumpEnd("complete", "");
  }

  /** @internal */
  lost(fromClient: boolean, error: string): void {
    this.#abort(fromClient ? "client-lost" : "endpoint-lost", error);
  }

  /** @internal */
  fault(thrown: unknown): void {
    this.cut();
    this.#owner.fault(thrown);
  }

  #abort(end: PumpEnd, error: string): void {
    if (this.#done) return;
    // The last words of one that was reset may be an explanation, and they may be in the same turn.
    this.#client.connection.flush();
    this.#endpoint.connection.flush();
    this.cut();
    this.#owner.onPumpEnd(end, error);
  }

  #touch(): void {
    if (this.#idle !== null && !this.#done) this.#timer.arm(this.#idle);
  }

  #stop(): void {
    this.#done = true;
    this.#timer.cancel();
  }
}

/** One of the two connections: what it sends goes to the other. */
class Side implements ConnectionHandler {
  readonly connection: Connection;
  ended = false;
  readonly #to: Connection;
  readonly #isClient: boolean;
  readonly #pump: Pump;
  #bulk = false;

  constructor(connection: Connection, to: Connection, isClient: boolean, pump: Pump) {
    this.connection = connection;
    this.#to = to;
    this.#isClient = isClient;
    this.#pump = pump;
  }

  get unseen(): number {
    return this.#bulk ? Number.POSITIVE_INFINITY : 0;
  }

  onOctets(room: Buffer, length: number): void {
    const to = this.#to;
    this.#pump.moved(this.#isClient, length);
    to.write(room.subarray(0, length));
    this.#bulk = length >= BULK_OCTETS && to.takesUnseen !== false;
    if (to.full) this.connection.pause();
  }

  onUnseen(octets: UnseenOctets): void {
    const to = this.#to;
    const { length } = octets;
    this.#pump.moved(this.#isClient, length);
    to.writeUnseen(octets);
    this.#bulk = length >= SMALL_OCTETS;
    if (to.full) this.connection.pause();
  }

  /** This one takes octets again. */
  onRoom(): void {
    this.#pump.touched();
    this.#to.resume();
  }

  onPeerEnd(): void {
    if (this.ended) return;
    this.ended = true;
    this.#to.endWriting();
    this.#pump.ended();
  }

  onLost(error: string): void {
    this.#pump.lost(this.#isClient, error);
  }

  onFault(thrown: unknown): void {
    this.#pump.fault(thrown);
  }
}

/**
 * For connections on which nothing has been agreed: waits for the first octets, which say whether
 * the client begins with HTTP/2 (RFC 9113 §3.3) or with a request of HTTP/1. Three octets decide: no
 * method of HTTP is "PRI", and never will be (RFC 9113 §11.6).
 */
import { Failure } from "../base/failure.ts";
import { Timer, type TimerList } from "../base/timer.ts";
import type { ClientInfo } from "../http/exchange.ts";
import type { Connection, ConnectionHandler } from "../net/connection.ts";
import type { ExchangeHooks } from "./http1/server.ts";
import type { ServerConnection } from "./server-connection.ts";

const FIRST = Buffer.from("PRI");

/** True: HTTP/2; false: not; null: it takes more octets to say. */
export function beginsHttp2(octets: Uint8Array, length: number): boolean | null {
  const most = Math.min(length, FIRST.length);
  for (let i = 0; i < most; i++) if (octets[i] !== FIRST[i]) return false;
  return length >= FIRST.length ? true : null;
}

export class PriorKnowledge implements ServerConnection, ConnectionHandler {
  readonly connection: Connection;
  readonly hooks: ExchangeHooks;
  readonly client: ClientInfo;
  /** Puts an engine on the connection in place of this. */
  readonly #choose: (isHttp2: boolean) => ConnectionHandler;
  readonly #timer = new Timer(() => this.#silent());
  #held: Buffer = Buffer.alloc(0);
  #isOver = false;

  /** @param headTime until there is something to decide by; null = no limit */
  constructor(
    connection: Connection,
    client: ClientInfo,
    headTime: TimerList | null,
    hooks: ExchangeHooks,
    choose: (isHttp2: boolean) => ConnectionHandler,
  ) {
    this.connection = connection;
    this.hooks = hooks;
    this.client = client;
    this.#choose = choose;
    if (headTime !== null) this.#timer.arm(headTime);
  }

  onOctets(room: Buffer, length: number): void {
    // Nearly always all in one read, and handed on from where it lies.
    const octets = this.#held.length === 0 ? room : Buffer.concat([this.#held, room.subarray(0, length)]);
    const end = this.#held.length + length;
    const isHttp2 = beginsHttp2(octets, end);
    if (isHttp2 === null) {
      this.#held = Buffer.from(octets.subarray(0, end));
      return;
    }
    this.#isOver = true;
    this.#timer.cancel();
    this.#choose(isHttp2).onOctets(octets, end);
  }

  onRoom(): void {}

  onPeerEnd(): void {
    if (this.#held.length > 0)
      this.#malformed(new Failure("client-closed", "the client closed in the middle of a head"));
    this.#close();
  }

  onLost(): void {
    this.#gone();
  }

  onFault(thrown: unknown): void {
    this.hooks.fault(thrown);
    this.#gone();
  }

  #silent(): void {
    if (this.#held.length > 0)
      this.#malformed(new Failure("head-timeout", "the request head took longer than timeouts.head"));
    this.#close();
  }

  #malformed(failure: Failure): void {
    this.hooks.malformed(this.client, failure, this.#held.length);
  }

  /** A request may be on its way: it is waited for, as long as its head may take. */
  drain(): void {}

  terminate(): void {
    this.#close();
  }

  #close(): void {
    if (this.#isOver) return;
    this.connection.close(false);
    this.#gone();
  }

  #gone(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer.cancel();
    this.hooks.closed(this);
  }
}

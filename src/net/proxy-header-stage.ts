/** Waits for the PROXY header of an accepted connection, before anything else looks at it. */
import { Timer, timerList } from "../base/timer.ts";
import type { ConnectionHandler } from "./connection.ts";
import { NotAProxyHeader, type ProxyHeader, readProxyHeader } from "./proxy-protocol.ts";
import type { TcpConnection } from "./tcp.ts";

export interface ProxyHeaderOwner {
  /**
   * The connection is the owner's now, who gives it a handler.
   * @param rest octets after the header, borrowed until the call returns
   */
  onProxyHeader(connection: TcpConnection, header: ProxyHeader, rest: Buffer): void;
  /** The connection is closed. */
  onNoProxyHeader(reason: string): void;
  /** `onProxyHeader` threw; the connection is destroyed. */
  fault(thrown: unknown): void;
}

export class ProxyHeaderStage implements ConnectionHandler {
  readonly #connection: TcpConnection;
  readonly #owner: ProxyHeaderOwner;
  readonly #timer = new Timer(() => this.#fail("the PROXY header took too long"));
  #received: Buffer | null = null;

  /** @param timeoutMs Infinity: no limit */
  constructor(connection: TcpConnection, timeoutMs: number, owner: ProxyHeaderOwner) {
    this.#connection = connection;
    this.#owner = owner;
    connection.handler = this;
    const timeout = timerList(timeoutMs);
    if (timeout !== null) this.#timer.arm(timeout);
  }

  /** Something has come from the peer. */
  get hasBegun(): boolean {
    return this.#received !== null;
  }

  /** Ends it without a word to its owner. */
  cancel(): void {
    this.#timer.cancel();
    this.#connection.destroy(true);
  }

  get expectsHead(): boolean {
    return true;
  }

  onOctets(room: Buffer, length: number): void {
    const octets = room.subarray(0, length);
    const all = this.#received === null ? octets : Buffer.concat([this.#received, octets]);
    let read: ReturnType<typeof readProxyHeader>;
    try {
      read = readProxyHeader(all);
    } catch (thrown) {
      if (thrown instanceof NotAProxyHeader) return this.#fail(thrown.message);
      throw thrown;
    }
    if (read === null) {
      this.#received = all === octets ? Buffer.from(octets) : all;
      return;
    }
    this.#timer.cancel();
    this.#owner.onProxyHeader(this.#connection, read.header, all.subarray(read.length));
  }

  onRoom(): void {}

  onPeerEnd(): void {
    this.#fail("the connection ended before its PROXY header");
  }

  onLost(error: string): void {
    this.#fail(`the connection was lost before its PROXY header (${error})`);
  }

  onFault(thrown: unknown): void {
    this.#timer.cancel();
    this.#owner.fault(thrown);
  }

  /** Without a word and without an answer to whoever it is. */
  #fail(reason: string): void {
    this.#timer.cancel();
    this.#connection.destroy(true);
    this.#owner.onNoProxyHeader(reason);
  }
}

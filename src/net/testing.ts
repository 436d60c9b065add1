/** For tests of this room and those above: sockets that listen, peers that do exactly what they are told, and what a connection said. */

import { ptr } from "bun:ffi";
import { readdirSync, readlinkSync } from "node:fs";
import { clock, Timer, tickTimers, timerList } from "../base/timer.ts";
import { type Address, encodeSockaddr, familyOf, sockaddrPort } from "./address.ts";
import type { ConnectionHandler } from "./connection.ts";
import {
  EAGAIN,
  errno,
  errnoName,
  libc,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_LINGER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./libc.ts";
import { Listener } from "./listener.ts";
import { run } from "./loop.ts";
import type { TcpConnection } from "./tcp.ts";

export const LOOPBACK: Address = { kind: "tcp", host: "127.0.0.1", port: 0 };

/** A socket that listens. @returns its descriptor, and the address with the port that the system chose */
export function listening(
  address: Address = LOOPBACK,
  backlog = 128,
): { fd: number; address: Address; sockaddr: Uint8Array } {
  const sockaddr = encodeSockaddr(address);
  const fd = libc.socket(familyOf(sockaddr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (libc.bind(fd, sockaddr, sockaddr.length) !== 0) throw new Error(`bind: ${errnoName(errno())}`);
  if (libc.listen(fd, backlog) !== 0) throw new Error(`listen: ${errnoName(errno())}`);
  if (address.kind === "unix") return { fd, address, sockaddr };
  const octets = new Uint8Array(28);
  libc.getsockname(fd, octets, Uint32Array.of(octets.length));
  const bound = { ...address, port: sockaddrPort(octets) };
  return { fd, address: bound, sockaddr: encodeSockaddr(bound) };
}

/**
 * A peer by plain system calls. Nothing of it runs by itself: no loop reads ahead or answers an
 * end, so a test sees exactly what reached the other side.
 */
export class Peer {
  readonly fd: number;
  readonly #room = Buffer.allocUnsafeSlow(256 * 1024);
  #open = true;

  /** Connects at once, to a socket that listens on this machine; or takes over a socket. */
  constructor(from: Uint8Array | number) {
    if (typeof from === "number") {
      this.fd = from;
      return;
    }
    this.fd = libc.socket(familyOf(from), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (libc.connect(this.fd, from, from.length) === 0) return;
    const error = errnoName(errno());
    this.close();
    throw new Error(error);
  }

  /** The next connection to a socket that listens, once there is one. */
  static async accept(listening: number): Promise<Peer> {
    let fd = -1;
    await until(() => (fd = libc.accept4(listening, null, null, SOCK_CLOEXEC)) >= 0, "a connection");
    return new Peer(fd);
  }

  /** @returns how many octets the kernel took: 0 if it is full */
  send(octets: Uint8Array | string): number {
    const data = typeof octets === "string" ? Buffer.from(octets, "latin1") : octets;
    const sent = libc.send(this.fd, ptr(data), data.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return sent;
    const error = errno();
    if (error === EAGAIN) return 0;
    throw new Error(errnoName(error));
  }

  /** What has arrived: octets (copied), "" if nothing has, "end" after a FIN, or the name of an error. */
  receive(): Buffer | "" | "end" | string {
    const length = libc.recv(this.fd, ptr(this.#room), this.#room.length, MSG_DONTWAIT);
    if (length > 0) return Buffer.from(this.#room.subarray(0, length));
    if (length === 0) return "end";
    const error = errno();
    return error === EAGAIN ? "" : errnoName(error);
  }

  /** Receives until the end or an error, or until nothing has come for `quietMs`. */
  async receiveAll(quietMs = 2000): Promise<{ octets: Buffer; end: string }> {
    const pieces: Buffer[] = [];
    for (let waited = 0; waited < quietMs; ) {
      const piece = this.receive();
      if (typeof piece !== "string") {
        pieces.push(piece);
        waited = 0;
      } else if (piece !== "") return { octets: Buffer.concat(pieces), end: piece };
      else {
        await wait(1);
        waited += 1;
      }
    }
    return { octets: Buffer.concat(pieces), end: "" };
  }

  /** Sends FIN. */
  endWriting(): void {
    libc.shutdown(this.fd, SHUT_WR);
  }

  /** Closes with RST. */
  reset(): void {
    if (!this.#open) return;
    libc.setsockopt(this.fd, SOL_SOCKET, SO_LINGER, new Int32Array([1, 0]), 8);
    this.close();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    libc.close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Writes down what a connection says. */
export class Recorder implements ConnectionHandler {
  /** "octets", "room", "end", "lost ECONNRESET" and "fault …", in order; octets that follow each other count once. */
  readonly events: string[] = [];
  readonly pieces: Buffer[] = [];

  get text(): string {
    return Buffer.concat(this.pieces).toString("latin1");
  }

  onOctets(room: Buffer, length: number): void {
    this.pieces.push(Buffer.from(room.subarray(0, length)));
    if (this.events.at(-1) !== "octets") this.events.push("octets");
  }

  onRoom(): void {
    this.events.push("room");
  }

  onPeerEnd(): void {
    this.events.push("end");
  }

  onLost(error: string): void {
    this.events.push(`lost ${error}`);
  }

  onFault(thrown: unknown): void {
    this.events.push(`fault ${thrown instanceof Error ? thrown.message : thrown}`);
  }
}

/** A connection between this room's end and a peer's, accepted by a listener. */
export async function pair<H extends ConnectionHandler = Recorder>(
  options: { handler?: H; address?: Address } = {},
): Promise<{ connection: TcpConnection; heard: H; peer: Peer }> {
  const { fd, sockaddr } = listening(options.address);
  const heard = (options.handler ?? new Recorder()) as H;
  const { promise, resolve } = Promise.withResolvers<TcpConnection>();
  const listener = new Listener(fd, 10, {
    onConnection(connection) {
      connection.handler = heard;
      resolve(connection);
    },
    onAcceptPaused() {},
    fault(thrown) {
      throw thrown;
    },
  });
  listener.start();
  const peer = new Peer(sockaddr);
  const connection = await promise;
  listener.stop();
  libc.close(fd);
  return { connection, heard, peer };
}

/** Waits by our own loop's clock: the runtime's timers may be late by more than a quick test takes. */
export function wait(ms: number): Promise<void> {
  run();
  return new Promise((resolve) => new Timer(resolve).arm(timerList(ms)!));
}

/**
 * So much time passes at once for every deadline of base/timer.ts; the next turn of the loop goes on with the true one.
 * Nothing has to be waited for then, and a machine that is late changes nothing.
 *
 * @param from what was armed since does not see all of it
 */
export function jump(ms: number, from = clock.now): void {
  tickTimers(from + ms);
  clock.now = performance.now();
}

/** Waits until something holds. */
export async function until(holds: () => boolean, what = "what was waited for", withinMs = 10_000): Promise<void> {
  for (const end = performance.now() + withinMs; !holds(); await wait(1)) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
  }
}

/** Lets both loops have a pass. */
export const pass = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A port that needs root, and that nobody listens on. */
export function freePortBelow1024(): number {
  for (let port = 1023; port > 512; port--) {
    try {
      Bun.listen({ hostname: "0.0.0.0", port, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // Taken.
    }
  }
  throw new Error("every port from 513 to 1023 is taken");
}

/** Sockets that this process has open. */
export function openSockets(): number {
  let sockets = 0;
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")) sockets++;
    } catch {
      // Closed meanwhile: the listing's own descriptor.
    }
  }
  return sockets;
}

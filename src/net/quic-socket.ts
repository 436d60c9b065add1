/**
 * The socket that the runtime has made for QUIC, found by its port, and what is wrong with it put right.
 *
 * The runtime asks for the errors of single packets (IP_RECVERR). If a client is gone and its machine says so
 * (ICMP port unreachable), the next packet to anybody fails, and then nothing is sent to anybody for up to a
 * second: one closed browser would hold up all others, and a stranger could do so for ever. Without it the
 * kernel keeps such news to itself; a client that is gone is noticed by its silence.
 *
 * A datagram from port 0 cannot be answered: sending fails, with the same consequence. The kernel drops it here.
 */

import { ptr } from "bun:ffi";
import { readdirSync, readlinkSync } from "node:fs";
import { sockaddrPort } from "./address.ts";
import { IPPROTO_IP, IPPROTO_IPV6, libc, SOCK_DGRAM, SOL_SOCKET, setOption } from "./libc.ts";

const IP_RECVERR = 11;
const IPV6_RECVERR = 25;
const SO_TYPE = 3;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
/** What the kernel doubles for its own bookkeeping, and cuts to net.core.rmem_max. */
const RECEIVE_OCTETS = 2 * 1024 * 1024;

/** Classic BPF on the UDP header: the source port; 0 is dropped, all else kept whole. */
const NOT_FROM_PORT_0 = [
  [0x28, 0, 0, 0], // ldh [0]
  [0x15, 0, 1, 0], // jeq #0, next, else skip one
  [0x06, 0, 0, 0], // ret #0
  [0x06, 0, 0, 0xffffffff], // ret all
] as const;

/** @throws {Error} if there is no such socket */
export function mendQuicSocket(port: number): void {
  const fds = findUdpSockets(port);
  if (fds.length === 0) throw new Error(`the runtime's UDP socket of port ${port} was not found in /proc/self/fd`);
  // Several addresses may have the port: which one is new is not known, and doing it twice changes nothing.
  for (const fd of fds) {
    setOption(fd, IPPROTO_IP, IP_RECVERR, 0);
    setOption(fd, IPPROTO_IPV6, IPV6_RECVERR, 0);
    setOption(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_OCTETS);
    attachFilter(fd);
  }
}

/** Descriptors of the UDP sockets of a port, whatever their addresses. */
export function findUdpSockets(port: number): number[] {
  const found: number[] = [];
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (target(fd).startsWith("socket:") && option(fd, SO_TYPE) === SOCK_DGRAM && portOf(fd) === port) found.push(fd);
  }
  return found;
}

function target(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

function option(fd: number, name: number): number {
  const value = new Int32Array(1);
  libc.getsockopt(fd, SOL_SOCKET, name, value, Uint32Array.of(4));
  return value[0]!;
}

function portOf(fd: number): number {
  const octets = new Uint8Array(28);
  libc.getsockname(fd, octets, Uint32Array.of(octets.length));
  return sockaddrPort(octets);
}

/** struct sock_fprog: the number of instructions, and where they are. */
function attachFilter(fd: number): void {
  // Of buffers of their own: the memory of small typed arrays may move.
  const code = new DataView(new ArrayBuffer(NOT_FROM_PORT_0.length * 8));
  NOT_FROM_PORT_0.forEach(([operation, ifTrue, ifFalse, operand], i) => {
    code.setUint16(i * 8, operation, true);
    code.setUint8(i * 8 + 2, ifTrue);
    code.setUint8(i * 8 + 3, ifFalse);
    code.setUint32(i * 8 + 4, operand, true);
  });
  const program = new DataView(new ArrayBuffer(16));
  program.setUint16(0, NOT_FROM_PORT_0.length, true);
  program.setBigUint64(8, BigInt(ptr(code)), true);
  libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(program.buffer), 16);
}

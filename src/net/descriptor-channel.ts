/**
 * Hands open descriptors to a process that runs already: unix(7), SCM_RIGHTS. Each goes with a
 * number of the caller's choice, so that the two sides need not agree on an order.
 *
 * Messages keep their bounds (SOCK_SEQPACKET), and a message lies in the other side's queue when
 * `send` returns: who is told by another way that it was sent can receive it at once.
 */
import { ptr } from "bun:ffi";
import {
  AF_UNIX,
  EAGAIN,
  errno,
  errnoName,
  libc,
  MSG_CMSG_CLOEXEC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SCM_RIGHTS,
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
  SOL_SOCKET,
} from "./libc.ts";

export interface LabelledDescriptor {
  /** 32 bits. */
  readonly id: number;
  readonly fd: number;
}

/** The kernel takes 253 in one message. */
const PER_MESSAGE = 200;
/** struct cmsghdr on 64 bits: length (8 octets), level, type. Descriptors follow. */
const CONTROL_HEADER = 16;
const MSG_CTRUNC = 0x08;

export class DescriptorChannel {
  readonly fd: number;
  #open = true;
  // Views of buffers made first: the runtime moves the octets of a small typed array when somebody asks for its buffer.
  readonly #ids = new Int32Array(new ArrayBuffer(PER_MESSAGE * 4));
  readonly #control = new DataView(new ArrayBuffer(CONTROL_HEADER + PER_MESSAGE * 4));
  readonly #vector = new BigUint64Array(new ArrayBuffer(16));
  /** struct msghdr on 64 bits: name, its length, vectors, their number, control, its length, flags. */
  readonly #message = new BigUint64Array(new ArrayBuffer(56));

  /** @param fd one end of a pair; `close` closes it */
  constructor(fd: number) {
    this.fd = fd;
    this.#vector[0] = BigInt(ptr(this.#ids));
    this.#message[2] = BigInt(ptr(this.#vector));
    this.#message[3] = 1n;
    this.#message[4] = BigInt(ptr(this.#control.buffer as ArrayBuffer));
  }

  /** Two ends that are closed on exec: one for each process. */
  static pair(): [DescriptorChannel, DescriptorChannel] {
    const ends = new Int32Array(2);
    if (libc.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) !== 0) {
      throw new Error(`a channel for descriptors cannot be made: ${errnoName(errno())}`);
    }
    return [new DescriptorChannel(ends[0]!), new DescriptorChannel(ends[1]!)];
  }

  /**
   * The receiver gets copies; ours stay open.
   * @throws {Error} if the other side is gone, or has far too much waiting to be received
   */
  send(descriptors: readonly LabelledDescriptor[]): void {
    for (let at = 0; at < descriptors.length; at += PER_MESSAGE) this.#send(descriptors.slice(at, at + PER_MESSAGE));
  }

  /** What has been sent and not been received yet; all of it is closed on exec. Never waits. */
  receive(): LabelledDescriptor[] {
    const received: LabelledDescriptor[] = [];
    for (;;) {
      const octets = this.#prepare(PER_MESSAGE);
      const length = libc.recvmsg(this.fd, ptr(this.#message), MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
      // 0: the other side is gone.
      if (length <= 0) {
        const error = length < 0 ? errno() : EAGAIN;
        if (error === EAGAIN) return received;
        throw new Error(`descriptors cannot be received: ${errnoName(error)}`);
      }
      const fds = this.#received(octets);
      for (const [i, fd] of fds.entries()) received.push({ id: this.#ids[i]!, fd });
      // Out of descriptors, the kernel drops those that do not fit.
      if ((Number(this.#message[6]! & 0xffffffffn) & MSG_CTRUNC) !== 0 || fds.length * 4 !== length) {
        for (const { fd } of received) libc.close(fd);
        throw new Error("descriptors cannot be received: too many open files");
      }
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    libc.close(this.fd);
  }

  #send(descriptors: readonly LabelledDescriptor[]): void {
    const octets = this.#prepare(descriptors.length);
    const header = this.#control;
    header.setBigUint64(0, BigInt(octets), true);
    header.setInt32(8, SOL_SOCKET, true);
    header.setInt32(12, SCM_RIGHTS, true);
    for (const [i, { id, fd }] of descriptors.entries()) {
      this.#ids[i] = id;
      header.setInt32(CONTROL_HEADER + i * 4, fd, true);
    }
    if (libc.sendmsg(this.fd, ptr(this.#message), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) return;
    throw new Error(`descriptors cannot be sent: ${errnoName(errno())}`);
  }

  /** @returns octets of the control data of that many descriptors */
  #prepare(count: number): number {
    const octets = CONTROL_HEADER + count * 4;
    this.#vector[1] = BigInt(count * 4);
    // CMSG_SPACE: the kernel counts in words of 8.
    this.#message[5] = BigInt(Math.ceil(octets / 8) * 8);
    this.#message[6] = 0n;
    return octets;
  }

  #received(room: number): number[] {
    const control = this.#control;
    const length = this.#message[5] === 0n ? 0 : Math.min(Number(control.getBigUint64(0, true)), room);
    const fds: number[] = [];
    for (let at = CONTROL_HEADER; at + 4 <= length; at += 4) fds.push(control.getInt32(at, true));
    return fds;
  }
}

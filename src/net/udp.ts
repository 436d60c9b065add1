/**
 * UDP on the event loop. Datagrams come and go by the batch (recvmmsg, sendmmsg) through buffers that
 * live as long as the process: what an endpoint answers is received where it is sent from, so a round
 * trip copies nothing and allocates nothing.
 *
 * An error that the network reports (ICMP) belongs to the connected socket it came for, and ends nothing else.
 */
import { type Pointer, ptr } from "bun:ffi";
import "../base/buffer.ts";
import { numberHash, textHash } from "../base/hash.ts";
import { familyOf } from "./address.ts";
import {
  AF_INET,
  AF_INET6,
  EAGAIN,
  EINTR,
  ENOBUFS,
  errno,
  errnoName,
  F_DUPFD_CLOEXEC,
  IP_PKTINFO,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_RECVPKTINFO,
  libc,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  setOption,
} from "./libc.ts";
import { isWildcard, localAddressOf } from "./local-address.ts";
import { closeAtTurnEnd, onTurnEnd, type Pollable, unwatch, watch } from "./loop.ts";

/** Datagrams of a batch. */
const SLOTS = 32;
/** As large as a datagram can be. */
const SLOT_OCTETS = 64 * 1024;
/** Then others have their turn. */
const BATCHES_PER_TURN = 4;
const NAME_OCTETS = 28;
/** Room for the address that a datagram was sent to (IPV6_PKTINFO is 40 octets with its head). */
const CONTROL_OCTETS = 64;
// struct mmsghdr: name, namelen, iov, iovlen, control, controllen, flags; then the length of the datagram.
const HEADER_OCTETS = 64;
const HEADER_WORDS = HEADER_OCTETS / 4;
const NAMELEN = 2;
const CONTROL = 8;
const CONTROLLEN = 10;
const LENGTH = 14;

/** Memory that stays where it is. That of small arrays without a buffer of their own moves when somebody asks for it. */
const fixed = (octets: number): ArrayBuffer => new ArrayBuffer(octets);

/** The memory of so many datagrams, laid out for both calls. */
class Batch {
  readonly room = Buffer.allocUnsafeSlow(SLOTS * SLOT_OCTETS);
  readonly address: number = ptr(this.room);
  readonly names = Buffer.from(fixed(SLOTS * NAME_OCTETS));
  readonly controls = Buffer.from(fixed(SLOTS * CONTROL_OCTETS));
  readonly headers = new Uint32Array(fixed(SLOTS * HEADER_OCTETS));
  readonly headersAddress: number = ptr(this.headers);
  /** struct iovec: pointer and length. */
  readonly #iovs = new Uint32Array(fixed(SLOTS * 16));
  readonly #controlsAddress: number = ptr(this.controls);

  /** @param named with peers' addresses; else for a connected socket */
  constructor(named: boolean) {
    const names = ptr(this.names);
    const iovs = ptr(this.#iovs);
    for (let i = 0; i < SLOTS; i++) {
      const at = i * HEADER_WORDS;
      if (named) this.#point(this.headers, at, names + i * NAME_OCTETS);
      this.#point(this.headers, at + 4, iovs + i * 16);
      this.headers[at + 6] = 1;
      this.#point(this.#iovs, i * 4, this.address + i * SLOT_OCTETS);
      this.open(i);
    }
  }

  #point(words: Uint32Array, at: number, address: number): void {
    words[at] = address % 2 ** 32;
    words[at + 1] = Math.floor(address / 2 ** 32);
  }

  /** Makes a slot ready to receive. */
  open(i: number): void {
    const at = i * HEADER_WORDS;
    this.headers[at + NAMELEN] = NAME_OCTETS;
    this.#point(this.headers, at + CONTROL, this.#controlsAddress + i * CONTROL_OCTETS);
    this.headers[at + CONTROLLEN] = CONTROL_OCTETS;
    this.#iovs[i * 4 + 2] = SLOT_OCTETS;
  }

  /** Octets received into a slot. */
  length(i: number): number {
    return this.headers[i * HEADER_WORDS + LENGTH]!;
  }

  controlLength(i: number): number {
    return this.headers[i * HEADER_WORDS + CONTROLLEN]!;
  }

  /** Makes a slot ready to be sent. */
  fill(i: number, length: number, { sockaddr, control }: DatagramPeer): void {
    const at = i * HEADER_WORDS;
    this.names.set(sockaddr, i * NAME_OCTETS);
    this.headers[at + NAMELEN] = sockaddr.length;
    if (control !== null) this.controls.set(control, i * CONTROL_OCTETS);
    this.#point(this.headers, at + CONTROL, control === null ? 0 : this.#controlsAddress + i * CONTROL_OCTETS);
    this.headers[at + CONTROLLEN] = control?.length ?? 0;
    this.#iovs[i * 4 + 2] = length;
  }
}

/** Memory that only the kernel points at. */
const kept: unknown[] = [];

/** Datagrams from clients. */
const incoming = new Batch(true);
/** Datagrams to clients; endpoints' answers are received into the free slots. */
const outgoing = new Batch(true);
/** The same memory, as a connected socket receives into it. */
const answers = answersInto(outgoing);
let outgoingTo: DatagramListener | null = null;
let outgoingCount = 0;

function answersInto(batch: Batch): { readonly headers: Uint32Array; readonly address: number } {
  const headers = new Uint32Array(fixed(SLOTS * HEADER_OCTETS));
  const iovs = new Uint32Array(fixed(SLOTS * 16));
  const iovsAddress = ptr(iovs);
  for (let i = 0; i < SLOTS; i++) {
    const at = i * HEADER_WORDS;
    const room = batch.address + i * SLOT_OCTETS;
    const iov = iovsAddress + i * 16;
    headers[at + 4] = iov % 2 ** 32;
    headers[at + 5] = Math.floor(iov / 2 ** 32);
    headers[at + 6] = 1;
    iovs[i * 4] = room % 2 ** 32;
    iovs[i * 4 + 1] = Math.floor(room / 2 ** 32);
    iovs[i * 4 + 2] = SLOT_OCTETS;
  }
  kept.push(iovs);
  return { headers, address: ptr(headers) };
}

onTurnEnd(flush);

/** Sends what waits. */
function flush(): void {
  const to = outgoingTo;
  const count = outgoingCount;
  outgoingTo = null;
  outgoingCount = 0;
  if (to !== null && count > 0) to.send(count);
}

/** Somebody who sends datagrams to us. */
export interface DatagramPeer {
  /** As the kernel gave it. */
  readonly sockaddr: Uint8Array;
  /** Says which of our addresses it has sent to, so that answers come from there; null: there is only one. */
  readonly control: Uint8Array | null;
}

/** A datagram that has come; valid until the call returns. */
export interface ReceivedDatagram {
  /** Of its octets, and how many there are. */
  readonly address: number;
  readonly length: number;
  /** Tells peers apart: address and port. */
  readonly key: number | string;
  /** Copies who has sent it. */
  peer(): DatagramPeer;
}

export interface DatagramHandler {
  onDatagram(datagram: ReceivedDatagram): void;
  /** So many datagrams to clients could not be sent. @param error an errno name */
  onUnsent(count: number, error: string): void;
  /** `onDatagram` threw: a fault of ours; that datagram is lost. */
  fault(thrown: unknown): void;
}

/** One look at a slot of `incoming`; the same object for all. */
class Slot implements ReceivedDatagram {
  address = 0;
  length = 0;
  key: number | string = 0;
  #at = 0;

  take(i: number): this {
    this.#at = i;
    this.address = incoming.address + i * SLOT_OCTETS;
    this.length = incoming.length(i);
    this.key = keyOf(incoming.names, i * NAME_OCTETS);
    return this;
  }

  peer(): DatagramPeer {
    const i = this.#at;
    const at = i * NAME_OCTETS;
    const length = incoming.names[at] === AF_INET ? 16 : NAME_OCTETS;
    const controlLength = incoming.controlLength(i);
    return {
      sockaddr: new Uint8Array(incoming.names.subarray(at, at + length)),
      control:
        controlLength === 0
          ? null
          : sourceOf(
              new Uint8Array(incoming.controls.subarray(i * CONTROL_OCTETS, i * CONTROL_OCTETS + controlLength)),
            ),
    };
  }
}

const slot = new Slot();

/** IPv4, mapped or not, as a number; else the octets as text. */
function keyOf(names: Buffer, at: number): number | string {
  const port = (names[at + 2]! << 8) | names[at + 3]!;
  if (names[at] === AF_INET) return names.readUInt32BE(at + 4) * 65_536 + port;
  const isMapped =
    names.readUInt32BE(at + 8) === 0 && names.readUInt32BE(at + 12) === 0 && names.readUInt32BE(at + 16) === 0xffff;
  if (isMapped) return names.readUInt32BE(at + 20) * 65_536 + port;
  return names.latin1Slice(at + 2, at + 4) + names.latin1Slice(at + 8, at + NAME_OCTETS);
}

/** Of a datagram's key, for tables. */
export const datagramHash = (key: number | string): number =>
  typeof key === "number" ? numberHash(key) : textHash(key);

/** The control message that a datagram came with, as one that says where an answer comes from. The way is the kernel's choice. */
function sourceOf(control: Uint8Array): Uint8Array | null {
  // struct cmsghdr: size_t length, int level, int type; then in_pktinfo or in6_pktinfo.
  const isIpv6 = control[8] === IPPROTO_IPV6;
  const isLinkLocal = isIpv6 && control[16] === 0xfe && (control[17]! & 0xc0) === 0x80;
  const interfaceAt = isIpv6 ? 32 : 16;
  if (!isLinkLocal) control.fill(0, interfaceAt, interfaceAt + 4);
  return control;
}

/** A socket that datagrams of clients come to. */
export class DatagramListener implements Pollable {
  readonly #fd: number;
  readonly #handler: DatagramHandler;
  #watching = false;

  /** @param fd bound; a descriptor of our own is made of it */
  constructor(fd: number, handler: DatagramHandler) {
    this.#fd = libc.fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (this.#fd < 0) throw new Error(`a socket for datagrams cannot be taken over: ${errnoName(errno())}`);
    this.#handler = handler;
    const { host } = localAddressOf(this.#fd);
    if (!isWildcard(host)) return;
    if (host.includes(":")) setOption(this.#fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    else setOption(this.#fd, IPPROTO_IP, IP_PKTINFO, 1);
  }

  start(): void {
    if (this.#watching) return;
    this.#watching = true;
    watch(this.#fd, this, "listener");
  }

  /** Takes no more; answers can still be sent. */
  stop(): void {
    if (!this.#watching) return;
    this.#watching = false;
    unwatch(this.#fd);
  }

  close(): void {
    this.#watching = false;
    if (outgoingTo === this) flush();
    closeAtTurnEnd(this.#fd);
  }

  onReady(): void {
    for (let batch = 0; batch < BATCHES_PER_TURN && this.#watching; batch++) {
      const count = libc.recvmmsg(this.#fd, incoming.headersAddress as Pointer, SLOTS, MSG_DONTWAIT, null);
      // Nothing there, or an error of a datagram that we sent: neither is about those to come.
      if (count <= 0) return;
      for (let i = 0; i < count; i++) {
        try {
          this.#handler.onDatagram(slot.take(i));
        } catch (thrown) {
          this.#handler.fault(thrown);
        }
        incoming.open(i);
      }
      if (count < SLOTS) return;
    }
  }

  onAgain(): void {}

  onFault(thrown: unknown): void {
    this.#handler.fault(thrown);
  }

  /** @internal Sends the first datagrams of `outgoing`. */
  send(count: number): void {
    for (let at = 0; at < count; ) {
      const address = (outgoing.headersAddress + at * HEADER_OCTETS) as Pointer;
      const sent = libc.sendmmsg(this.#fd, address, count - at, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) {
        at += sent;
        continue;
      }
      const error = errno();
      if (error === EINTR) continue;
      // The first of them cannot be sent, or none at all.
      const lost = error === EAGAIN || error === ENOBUFS ? count - at : 1;
      this.#handler.onUnsent(lost, errnoName(error));
      at += lost;
    }
  }
}

export interface DatagramPortHandler {
  /** Datagrams have come, and are on their way to the peer. @param octets of all of them */
  onAnswers(count: number, octets: number): void;
  /** The network said that datagrams do not arrive. @param error an errno name, such as "ECONNREFUSED" */
  onPortError(error: string): void;
  fault(thrown: unknown): void;
}

/** A socket of our own toward one endpoint: what comes from there goes to one peer of a listener. */
export class DatagramPort implements Pollable {
  readonly #fd: number;
  readonly #listener: DatagramListener;
  readonly #peer: DatagramPeer;
  readonly #handler: DatagramPortHandler;
  #open = true;

  /** @throws {Error} with an errno name as its message */
  constructor(sockaddr: Uint8Array, listener: DatagramListener, peer: DatagramPeer, handler: DatagramPortHandler) {
    this.#listener = listener;
    this.#peer = peer;
    this.#handler = handler;
    const family = familyOf(sockaddr);
    if (family !== AF_INET && family !== AF_INET6) throw new Error("EAFNOSUPPORT");
    this.#fd = libc.socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw new Error(errnoName(errno()));
    if (libc.connect(this.#fd, sockaddr, sockaddr.length) !== 0) {
      const error = errnoName(errno());
      libc.close(this.#fd);
      throw new Error(error);
    }
    watch(this.#fd, this, "listener");
  }

  /** What it sends comes from there. */
  get localPort(): number {
    return localAddressOf(this.#fd).port;
  }

  /** Passes a datagram on. One that the kernel has no room for is lost, as on any network. */
  send({ address, length }: ReceivedDatagram): void {
    if (!this.#open) return;
    if (libc.send(this.#fd, address as Pointer, length, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return;
    const error = errno();
    if (error !== EAGAIN && error !== EINTR && error !== ENOBUFS) this.#handler.onPortError(errnoName(error));
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeAtTurnEnd(this.#fd);
  }

  onReady(): void {
    if (!this.#open) return;
    if (outgoingTo !== this.#listener || outgoingCount === SLOTS) flush();
    outgoingTo = this.#listener;
    const first = outgoingCount;
    const address = (answers.address + first * HEADER_OCTETS) as Pointer;
    const count = libc.recvmmsg(this.#fd, address, SLOTS - first, MSG_DONTWAIT, null);
    if (count <= 0) {
      const error = errno();
      if (count < 0 && error !== EAGAIN && error !== EINTR) this.#handler.onPortError(errnoName(error));
      return;
    }
    let octets = 0;
    for (let i = first; i < first + count; i++) {
      const length = answers.headers[i * HEADER_WORDS + LENGTH]!;
      outgoing.fill(i, length, this.#peer);
      octets += length;
    }
    outgoingCount = first + count;
    this.#handler.onAnswers(count, octets);
  }

  onAgain(): void {}

  onFault(thrown: unknown): void {
    this.close();
    this.#handler.fault(thrown);
  }
}

/**
 * What a connection has to send and the kernel did not take: copies of octets, and pipes with
 * octets that stayed in the kernel, in order.
 */
import { EAGAIN, EINTR, ENOBUFS, errno, libc, MSG_NOSIGNAL } from "./libc.ts";
import { Pipe } from "./pipe.ts";

/** What all connections have queued. */
let allOctets = 0;

export function queuedOctets(): number {
  return allOctets;
}

/** For engines that keep octets of their own for slow peers: they count like those of a connection. */
export function countQueued(octets: number): void {
  allOctets += octets;
}

export class SendQueue {
  readonly #items: (Uint8Array | Pipe)[] = [];
  octets = 0;

  /** Copies octets to the end. */
  push(octets: Uint8Array): void {
    this.#items.push(new Uint8Array(octets));
    this.#count(octets.length);
  }

  /** Takes what is in a pipe. */
  pushPipe(pipe: Pipe): void {
    pipe.take();
    this.#items.push(pipe);
    this.#count(pipe.length);
  }

  /** Sends until the kernel takes no more. @returns 0, or the error that ends the connection */
  send(fd: number): number {
    const items = this.#items;
    while (items.length > 0) {
      const item = items[0]!;
      const { length } = item;
      const sent = item instanceof Pipe ? item.emptyInto(fd) : libc.send(fd, item, length, MSG_NOSIGNAL);
      if (sent < 0) {
        const error = errno();
        return isFull(error) ? 0 : error;
      }
      this.#count(-sent);
      if (item instanceof Pipe) {
        // Asked again until the kernel says that it is full: only then it will tell when it is not.
        if (item.length > 0 && sent > 0) continue;
        if (item.length > 0) return 0;
        item.release();
      } else if (sent < length) {
        items[0] = item.subarray(sent);
        return 0;
      }
      items.shift();
    }
    return 0;
  }

  /** Nobody will take it. */
  drop(): void {
    for (const item of this.#items) if (item instanceof Pipe) item.release();
    this.#items.length = 0;
    this.#count(-this.octets);
  }

  #count(octets: number): void {
    this.octets += octets;
    allOctets += octets;
  }
}

/** The kernel takes nothing now, and will say when it does. */
export function isFull(error: number): boolean {
  return error === EAGAIN || error === EINTR || error === ENOBUFS;
}

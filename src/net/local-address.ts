/** Where a socket is bound, as the kernel says it. */

import { sockaddrHost, sockaddrPort } from "./address.ts";
import { AF_UNIX, libc } from "./libc.ts";

const octets = new Uint8Array(112);
const length = new Uint32Array(1);

/** Of an accepted connection this is where its client connected to. `host` is "" on a unix socket. */
export function localAddressOf(fd: number): { host: string; port: number } {
  length[0] = octets.length;
  octets[0] = AF_UNIX;
  libc.getsockname(fd, octets, length);
  return { host: sockaddrHost(octets), port: sockaddrPort(octets) };
}

/** A socket that is bound to it takes what comes to any address of the machine. */
export const isWildcard = (host: string): boolean => host === "" || host === "0.0.0.0" || host === "::";

/**
 * Binds the listening sockets. The supervisor owns them for its whole life: each worker slot has a
 * socket of its own (SO_REUSEPORT, so the kernel spreads connections), which queues while a worker
 * is being replaced, so that no client is refused.
 */

import { lookup } from "node:dns/promises";
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import {
  type Address,
  encodeSockaddr,
  familyOf,
  formatAddress,
  isIp,
  parseAddress,
  sockaddrPort,
} from "../net/address.ts";
import {
  AF_INET6,
  ECONNREFUSED,
  errno,
  errnoName,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  libc,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  setOption,
} from "../net/libc.ts";
import type { ListenSpec } from "./listen-spec.ts";
import { portOwner } from "./supervisor-port-owner.ts";

/** The sockets of one address. */
export interface BoundListener {
  readonly name: string;
  /** With the port that the system chose, if the config says 0. */
  readonly address: Address;
  /** One descriptor per slot; on a unix socket they are all the same one. */
  readonly fds: readonly number[];
  close(): void;
}

/** An address cannot be listened on; the message says what to do. */
export class ListenError extends Error {}

type IpAddress = Address & { readonly kind: "tcp" };

const EACCES = 13;
const EADDRINUSE = 98;
const UNIX_MODE = 0o666;

/**
 * @returns one entry per address: a host name may have several
 * @throws {ListenError}
 */
export async function bindListener(config: ListenSpec, slots: number): Promise<BoundListener[]> {
  const address = parseAddress(config.address);
  if (address === null) throw new ListenError(`${titleOf(config)}: ${config.address} is not an address`);
  if (address.kind === "unix") return [bindUnix(config, address)];
  const bound: BoundListener[] = [];
  try {
    for (const host of await hostsOf(titleOf(config), address.host)) {
      const port = address.port === 0 && bound.length > 0 ? (bound[0]!.address as typeof address).port : address.port;
      bound.push(bindIp(config, { kind: "tcp", host, port }, slots));
    }
    return bound;
  } catch (error) {
    for (const one of bound) one.close();
    throw error;
  }
}

async function hostsOf(who: string, host: string): Promise<string[]> {
  if (host === "") return [hasIpv6() ? "::" : "0.0.0.0"];
  if (isIp(host)) return [host];
  try {
    return [...new Set((await lookup(host, { all: true })).map(({ address }) => address))];
  } catch (error) {
    throw new ListenError(`${who}: ${host} has no address: ${error instanceof Error ? error.message : error}`);
  }
}

/** False where IPv6 is switched off altogether. */
function hasIpv6(): boolean {
  const sockaddr = encodeSockaddr({ kind: "tcp", host: "::", port: 0 });
  const fd = libc.socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bound = libc.bind(fd, sockaddr, sockaddr.length) === 0;
  libc.close(fd);
  return bound;
}

function bindIp(config: ListenSpec, wanted: IpAddress, slots: number): BoundListener {
  const who = titleOf(config);
  const type = typeOf(config);
  claimAddress(who, wanted, type);
  const fds: number[] = [];
  let address = wanted;
  const close = () => {
    for (const fd of fds.splice(0)) libc.close(fd);
  };
  try {
    for (let slot = 0; slot < slots; slot++) {
      const fd = bindSocket(who, address, true, type);
      fds.push(fd);
      if (address.port === 0) address = { ...address, port: boundPort(fd) };
      if (type === SOCK_STREAM && libc.listen(fd, config.backlog) !== 0) throw refused(who, address, errno());
    }
  } catch (error) {
    close();
    throw error;
  }
  return { name: config.name, address, fds, close };
}

function bindSocket(who: string, address: IpAddress, shared: boolean, type: number): number {
  const sockaddr = encodeSockaddr(address);
  const fd = openSocket(who, familyOf(sockaddr), address, type);
  // For datagrams it would let two share a port.
  if (type === SOCK_STREAM) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (shared) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (address.host === "::") setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (libc.bind(fd, sockaddr, sockaddr.length) === 0) return fd;
  const error = errno();
  libc.close(fd);
  throw refused(who, address, error, type);
}

function openSocket(who: string, family: number, address: Address, type: number = SOCK_STREAM): number {
  const fd = libc.socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw refused(who, address, errno());
  return fd;
}

function boundPort(fd: number): number {
  const octets = new Uint8Array(28);
  libc.getsockname(fd, octets, Uint32Array.of(octets.length));
  return sockaddrPort(octets);
}

function refused(who: string, address: Address, error: number, type: number = SOCK_STREAM): ListenError {
  const place = `${who} cannot listen on ${formatAddress(address)}`;
  if (error === EADDRINUSE) {
    const owner = address.kind === "tcp" ? portOwner(address.port, type === SOCK_DGRAM ? "udp" : "tcp") : null;
    return new ListenError(`${place}: ${owner ?? "another process"} already does. Stop it or choose another address`);
  }
  if (error === EACCES && address.kind === "tcp") {
    return new ListenError(
      `${place}: port ${address.port} needs a privilege. Start as root with \`user\` set, grant the capability ` +
        "CAP_NET_BIND_SERVICE, or choose a port from 1024 up",
    );
  }
  return new ListenError(`${place}: ${errnoName(error)}`);
}

/** One socket that all slots accept from. A file that nobody accepts on is left from a crash and goes. */
function bindUnix(config: ListenSpec, address: Address & { kind: "unix" }): BoundListener {
  const who = titleOf(config);
  claimAddress(who, address);
  const sockaddr = encodeSockaddr(address);
  const inFileSystem = !address.path.startsWith("@");
  const fd = openSocket(who, familyOf(sockaddr), address);
  try {
    if (libc.bind(fd, sockaddr, sockaddr.length) !== 0) throw refused(who, address, errno());
    if (inFileSystem) chmodSync(address.path, UNIX_MODE);
    if (libc.listen(fd, config.backlog) !== 0) throw refused(who, address, errno());
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  const removeFile = socketFileOf(address);
  const close = () => {
    libc.close(fd);
    removeFile();
  };
  return { name: config.name, address, fds: [fd], close };
}

/** @returns removes the file that a unix socket has now, unless there is another by then */
export function socketFileOf(address: Address): () => void {
  if (address.kind === "tcp" || address.path.startsWith("@")) return () => {};
  const inode = inodeOf(address.path);
  return () => {
    // A successor may have put its own there.
    if (inodeOf(address.path) === inode) unlinkIfAllowed(address.path);
  };
}

/** Further sockets beside those that listen on an address already, by the same user. @returns fewer if the system refuses */
export function bindMore(config: ListenSpec, address: Address, count: number): number[] {
  const fds: number[] = [];
  if (address.kind === "unix") return fds;
  try {
    while (fds.length < count) {
      const fd = bindSocket(titleOf(config), address, true, typeOf(config));
      fds.push(fd);
      if (config.kind !== "udp") libc.listen(fd, config.backlog);
    }
  } catch {
    // Another user's, or a port that needs a privilege we gave up: those there are will be shared.
  }
  return fds;
}

/**
 * Makes sure that nobody else listens on an address, and removes the socket file of one who has
 * gone. With SO_REUSEPORT two processes of a user can bind the same port unnoticed, and each takes
 * half of the connections; a socket without it finds out.
 * @param who for the message, such as `listener "web"`
 * @throws {ListenError}
 */
export function claimAddress(who: string, address: Address, type: number = SOCK_STREAM): void {
  if (address.kind === "unix") removeStale(who, address);
  else if (address.port !== 0) libc.close(bindSocket(who, address, false, type));
}

function removeStale(who: string, address: Address & { kind: "unix" }): void {
  const found = lstatSync(address.path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new ListenError(`${who}: ${address.path} exists and is not a socket`);
  const sockaddr = encodeSockaddr(address);
  const probe = openSocket(who, familyOf(sockaddr), address);
  const error = libc.connect(probe, sockaddr, sockaddr.length) === 0 ? EADDRINUSE : errno();
  libc.close(probe);
  if (error !== ECONNREFUSED) throw refused(who, address, error);
  unlinkSync(address.path);
}

/** Once root's rights are gone the folder may be closed to us; the next start takes the file away. */
function unlinkIfAllowed(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It stays.
  }
}

const typeOf = ({ kind }: ListenSpec): number => (kind === "udp" ? SOCK_DGRAM : SOCK_STREAM);

const titleOf = ({ kind, name }: ListenSpec): string => `${kind === "http" ? "listener" : kind} "${name}"`;

const inodeOf = (path: string): number => lstatSync(path, { throwIfNoEntry: false })?.ino ?? -1;

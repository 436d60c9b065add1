/** Addresses of endpoints and listeners: their text, and the octets the kernel wants (struct sockaddr). */
import { AF_INET, AF_INET6, AF_UNIX } from "./libc.ts";

export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/**
 * Reads "host:port", "[v6]:port", ":port" or "unix:/path".
 * @returns null if the text is none of these; `host` is "" for ":port"
 */
export function parseAddress(text: string): Address | null {
  if (text.startsWith("unix:")) return text.length > 5 ? { kind: "unix", path: text.slice(5) } : null;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]*)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  return port > 65535 ? null : { kind: "tcp", host: match[1] ?? match[2]!, port };
}

export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** True for an IPv4 or IPv6 literal; names have to be resolved first. */
export function isIp(host: string): boolean {
  return parseIpv4(host) !== null || parseIpv6(host) !== null;
}

/** The one spelling of an IP literal: RFC 5952, IPv4-mapped as IPv4. null for anything else. */
export function canonicalIp(host: string): string | null {
  if (parseIpv4(host) !== null) return host;
  return parseIpv6(host) === null ? null : sockaddrHost(encodeSockaddr({ kind: "tcp", host, port: 0 }));
}

/**
 * The kernel's form of an address.
 * @throws {TypeError} if the host is a name, not an IP literal, or a socket path is over 107 octets
 */
export function encodeSockaddr(address: Address): Uint8Array {
  if (address.kind === "unix") {
    const path = Buffer.from(address.path.startsWith("@") ? `\0${address.path.slice(1)}` : address.path);
    if (path.length > 107)
      throw new TypeError(`the socket path is ${path.length} octets long; the system takes 107: ${address.path}`);
    const octets = new Uint8Array(2 + path.length + (path[0] === 0 ? 0 : 1));
    octets[0] = AF_UNIX;
    octets.set(path, 2);
    return octets;
  }
  const { host, port } = address;
  const v4 = parseIpv4(host);
  if (v4 !== null) return Uint8Array.from([AF_INET, 0, port >> 8, port & 255, ...v4, 0, 0, 0, 0, 0, 0, 0, 0]);
  const v6 = parseIpv6(host === "" ? "::" : host);
  if (v6 === null) throw new TypeError(`${host} is not an IP address`);
  return Uint8Array.from([AF_INET6, 0, port >> 8, port & 255, 0, 0, 0, 0, ...v6, 0, 0, 0, 0]);
}

export function familyOf(sockaddr: Uint8Array): number {
  return sockaddr[0]!;
}

let lastIpv4 = -1;
let lastIpv4Text = "";

/** Many connections in a row often come from one peer, such as another proxy: its text is kept. */
function ipv4Text(octets: Uint8Array, at: number): string {
  const number = ((octets[at]! << 24) | (octets[at + 1]! << 16) | (octets[at + 2]! << 8) | octets[at + 3]!) >>> 0;
  if (number !== lastIpv4) {
    lastIpv4 = number;
    lastIpv4Text = `${octets[at]}.${octets[at + 1]}.${octets[at + 2]}.${octets[at + 3]}`;
  }
  return lastIpv4Text;
}

/** Host of a sockaddr the kernel filled in; IPv4-mapped IPv6 reads as IPv4; "" for a unix socket. */
export function sockaddrHost(octets: Uint8Array): string {
  if (octets[0] === AF_INET) return ipv4Text(octets, 4);
  if (octets[0] !== AF_INET6) return "";
  if (isMapped(octets)) return ipv4Text(octets, 20);
  const words: number[] = [];
  for (let i = 8; i < 24; i += 2) words.push((octets[i]! << 8) | octets[i + 1]!);
  return formatIpv6(words);
}

export function sockaddrPort(octets: Uint8Array): number {
  return octets[0] === AF_UNIX ? 0 : (octets[2]! << 8) | octets[3]!;
}

function isMapped(octets: Uint8Array): boolean {
  for (let i = 8; i < 18; i++) if (octets[i] !== 0) return false;
  return octets[18] === 0xff && octets[19] === 0xff;
}

function parseIpv4(text: string): number[] | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  const octets: number[] = [];
  for (const part of parts) {
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    octets.push(Number(part));
  }
  return octets;
}

function parseIpv6(text: string): number[] | null {
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(":")) return null;
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const left = parseWords(halves[0]!, halves.length === 1);
  const right = halves.length === 2 ? parseWords(halves[1]!, true) : [];
  if (left === null || right === null) return null;
  const missing = 8 - left.length - right.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  const words = [...left, ...new Array<number>(missing).fill(0), ...right];
  return words.flatMap((word) => [word >> 8, word & 255]);
}

/** @param atEnd the last two words may be written as IPv4 */
function parseWords(text: string, atEnd: boolean): number[] | null {
  if (text === "") return [];
  const words: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    const v4 = atEnd && i === parts.length - 1 ? parseIpv4(part) : null;
    if (v4 !== null) words.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) words.push(Number.parseInt(part, 16));
    else return null;
  }
  return words;
}

/** RFC 5952: lower case, no leading zeros, the longest run of zero words shortened. */
function formatIpv6(words: readonly number[]): string {
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && words[i + run] === 0) run++;
    if (run > length) [start, length] = [i, run];
  }
  const hex = words.map((word) => word.toString(16));
  if (start < 0) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

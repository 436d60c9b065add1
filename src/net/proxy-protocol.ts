/**
 * The PROXY protocol, versions 1 and 2: what a proxy at layer 4 says of a connection before the
 * connection's own octets. https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 */
import { canonicalIp, encodeSockaddr, sockaddrHost } from "./address.ts";

export interface ProxyHeader {
  /** Null for a connection of the proxy itself (LOCAL, such as a health check) and for what has no addresses (UNKNOWN, UNSPEC). */
  readonly addresses: ProxyAddresses | null;
  /** TLVs of version 2. */
  readonly facts: readonly ProxyFact[];
}

export interface ProxyAddresses {
  /** IP literals in their usual spelling; IPv4-mapped IPv6 as IPv4. */
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

/** Type, length and value (version 2, §2.2). */
export interface ProxyFact {
  readonly type: number;
  readonly value: Uint8Array;
}

export const PP2_TYPE_ALPN = 0x01;
export const PP2_TYPE_AUTHORITY = 0x02;
export const PP2_TYPE_CRC32C = 0x03;
export const PP2_TYPE_NOOP = 0x04;
export const PP2_TYPE_UNIQUE_ID = 0x05;

/** What was sent is no PROXY header, or a broken one: the connection cannot be used. */
export class NotAProxyHeader extends Error {}

/** Of version 1, with CR LF (§2.1). */
const MOST_V1 = 107;
/** Of version 2, after the first 16 octets; the format would allow 65535. */
const MOST_V2 = 4096;

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V1_START = Buffer.from("PROXY ", "latin1");

/**
 * Reads a header at the beginning of what was received.
 *
 * @returns the header and how many octets it takes, or null if more are needed
 * @throws {NotAProxyHeader}
 */
export function readProxyHeader(octets: Uint8Array): { header: ProxyHeader; length: number } | null {
  if (startsLike(octets, SIGNATURE)) return octets.length < 16 ? null : readV2(octets);
  if (startsLike(octets, V1_START)) return octets.length < V1_START.length ? null : readV1(octets);
  throw new NotAProxyHeader("the connection does not begin with a PROXY header");
}

/** As far as both go. */
function startsLike(octets: Uint8Array, start: Uint8Array): boolean {
  const length = Math.min(octets.length, start.length);
  for (let i = 0; i < length; i++) if (octets[i] !== start[i]) return false;
  return true;
}

function readV1(octets: Uint8Array): { header: ProxyHeader; length: number } | null {
  const text = Buffer.from(octets.subarray(0, MOST_V1)).toString("latin1");
  const end = text.indexOf("\r\n");
  if (end < 0) {
    if (octets.length >= MOST_V1)
      throw new NotAProxyHeader(`a PROXY header of version 1 has at most ${MOST_V1} octets`);
    return null;
  }
  const line = text.slice(0, end);
  const length = end + 2;
  // What follows UNKNOWN is to be ignored.
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { header: { addresses: null, facts: [] }, length };
  const match = /^PROXY TCP([46]) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/.exec(line);
  const source = match === null ? null : ofFamily(match[2]!, match[1]!);
  const destination = match === null ? null : ofFamily(match[3]!, match[1]!);
  const [sourcePort, destinationPort] = [Number(match?.[4]), Number(match?.[5])];
  if (source === null || destination === null || !(sourcePort <= 65535) || !(destinationPort <= 65535))
    throw new NotAProxyHeader(`this is not a PROXY header: ${JSON.stringify(line)}`);
  return { header: { addresses: { source, sourcePort, destination, destinationPort }, facts: [] }, length };
}

const ofFamily = (text: string, family: string): string | null =>
  text.includes(":") === (family === "6") ? canonicalIp(text) : null;

function readV2(octets: Uint8Array): { header: ProxyHeader; length: number } | null {
  const [version, command] = [octets[12]! >> 4, octets[12]! & 15];
  if (version !== 2) throw new NotAProxyHeader(`there is no version ${version} of the binary PROXY header`);
  if (command > 1) throw new NotAProxyHeader(`the PROXY header has an unknown command, ${command}`);
  const size = (octets[14]! << 8) | octets[15]!;
  if (size > MOST_V2)
    throw new NotAProxyHeader(`the PROXY header says it is ${size} octets long; at most ${MOST_V2} are read`);
  const length = 16 + size;
  if (octets.length < length) return null;
  const family = octets[13]! >> 4;
  const body = octets.subarray(16, length);
  const wanted = [0, 12, 36, 216][family];
  if (wanted === undefined) throw new NotAProxyHeader(`the PROXY header has an unknown address family, ${family}`);
  if (size < wanted) throw new NotAProxyHeader("the PROXY header is too short for its addresses");
  const ip = command === 1 && (family === 1 || family === 2);
  const addresses = ip ? readAddresses(body, family === 1 ? 4 : 16) : null;
  const facts = family === 0 && command === 0 ? [] : readFacts(body.subarray(wanted), octets.subarray(0, length));
  return { header: { addresses, facts }, length };
}

function readAddresses(body: Uint8Array, size: 4 | 16): ProxyAddresses {
  const port = (at: number) => (body[at]! << 8) | body[at + 1]!;
  return {
    source: hostText(body.subarray(0, size)),
    destination: hostText(body.subarray(size, 2 * size)),
    sourcePort: port(2 * size),
    destinationPort: port(2 * size + 2),
  };
}

/** Through the kernel's form, which knows the usual spelling. */
function hostText(octets: Uint8Array): string {
  const sockaddr = encodeSockaddr({ kind: "tcp", host: octets.length === 4 ? "0.0.0.0" : "::", port: 0 });
  sockaddr.set(octets, octets.length === 4 ? 4 : 8);
  return sockaddrHost(sockaddr);
}

function readFacts(octets: Uint8Array, whole: Uint8Array): ProxyFact[] {
  const facts: ProxyFact[] = [];
  for (let at = 0; at < octets.length; ) {
    if (at + 3 > octets.length) throw new NotAProxyHeader("the PROXY header ends within a TLV");
    const type = octets[at]!;
    const length = (octets[at + 1]! << 8) | octets[at + 2]!;
    if (at + 3 + length > octets.length) throw new NotAProxyHeader("the PROXY header ends within a TLV");
    const value = new Uint8Array(octets.subarray(at + 3, at + 3 + length));
    if (type === PP2_TYPE_CRC32C) checkCrc(whole, octets.byteOffset - whole.byteOffset + at + 3, value);
    if (type !== PP2_TYPE_NOOP) facts.push({ type, value });
    at += 3 + length;
  }
  return facts;
}

/** §2.2.3: over the whole header, with zeros in place of the sum. */
function checkCrc(whole: Uint8Array, at: number, value: Uint8Array): void {
  if (value.length !== 4) throw new NotAProxyHeader("the checksum of the PROXY header has not four octets");
  const copy = Buffer.from(whole);
  copy.fill(0, at, at + 4);
  if (crc32c(copy) !== new DataView(value.buffer, value.byteOffset).getUint32(0))
    throw new NotAProxyHeader("the checksum of the PROXY header is wrong");
}

/** Castagnoli's polynomial (RFC 9260 appendix A); bit by bit will do for a header. */
export function crc32c(octets: Uint8Array): number {
  let crc = 0xffffffff;
  for (const octet of octets) {
    crc ^= octet;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * Writes a header.
 * @param version  1 is a line of text, 2 is binary and may carry `facts`
 * @param addresses  null: a connection of our own (a health check), or one without addresses (a unix socket)
 */
export function writeProxyHeader(
  version: 1 | 2,
  addresses: ProxyAddresses | null,
  facts: readonly ProxyFact[] = [],
): Buffer {
  if (version === 1) return writeV1(addresses);
  const body: Uint8Array[] = [];
  let family = 0;
  if (addresses !== null) {
    const six = addresses.source.includes(":") || addresses.destination.includes(":");
    family = six ? 0x21 : 0x11;
    body.push(hostOctets(addresses.source, six), hostOctets(addresses.destination, six));
    const { sourcePort, destinationPort } = addresses;
    body.push(Uint8Array.of(sourcePort >> 8, sourcePort & 255, destinationPort >> 8, destinationPort & 255));
  }
  for (const { type, value } of facts) body.push(Uint8Array.of(type, value.length >> 8, value.length & 255), value);
  const size = body.reduce((sum, part) => sum + part.length, 0);
  const head = Uint8Array.of(addresses === null ? 0x20 : 0x21, family, size >> 8, size & 255);
  return Buffer.concat([SIGNATURE, head, ...body]);
}

function writeV1(addresses: ProxyAddresses | null): Buffer {
  if (addresses === null) return Buffer.from("PROXY UNKNOWN\r\n");
  const { source, destination, sourcePort, destinationPort } = addresses;
  const six = source.includes(":") || destination.includes(":");
  const spell = (host: string) => (six && !host.includes(":") ? `::ffff:${host}` : host);
  return Buffer.from(
    `PROXY TCP${six ? 6 : 4} ${spell(source)} ${spell(destination)} ${sourcePort} ${destinationPort}\r\n`,
  );
}

/** IPv4 among IPv6 is written mapped. */
function hostOctets(host: string, six: boolean): Uint8Array {
  const mapped = six && !host.includes(":") ? `::ffff:${host}` : host;
  const sockaddr = encodeSockaddr({ kind: "tcp", host: mapped, port: 0 });
  return six ? sockaddr.subarray(8, 24) : sockaddr.subarray(4, 8);
}

/**
 * DNS messages for dynamic updates (RFC 2136), signed with TSIG (RFC 8945): as much as one TXT record
 * and the question for a zone need.
 */
import { createHmac } from "node:crypto";

const TYPE = { soa: 6, txt: 16, tsig: 250 } as const;
const CLASS = { in: 1, none: 254, any: 255 } as const;
const FLAGS = { query: 0x0000, update: 0x2800, response: 0x8000 } as const;

export interface TsigKey {
  readonly name: string;
  readonly algorithm: "hmac-sha256" | "hmac-sha384" | "hmac-sha512" | "hmac-sha1";
  /** Base64. */
  readonly secret: string;
}

export interface TxtChange {
  readonly zone: string;
  readonly name: string;
  readonly value: string;
  /** 0 to remove it. */
  readonly ttlSeconds: number;
}

/** Clocks may differ by that many seconds (RFC 8945 §10). */
const FUDGE = 300;

/** Adds one record to those of its name, or removes it alone. */
export function updateMessage(id: number, change: TxtChange, key: TsigKey | null, unixSeconds: number): Buffer {
  const { zone, name, value, ttlSeconds } = change;
  const text = Buffer.from(value, "latin1");
  const data = Buffer.concat([Buffer.from([text.length]), text]);
  // RFC 2136 §2.5.1 adds to a set; §2.5.4 deletes one record from it.
  const [recordClass, ttl] = ttlSeconds > 0 ? [CLASS.in, ttlSeconds] : [CLASS.none, 0];
  const body = Buffer.concat([
    wireName(zone),
    uint16(TYPE.soa, CLASS.in),
    wireName(name),
    uint16(TYPE.txt, recordClass),
    uint32(ttl),
    uint16(data.length),
    data,
  ]);
  const message = Buffer.concat([uint16(id, FLAGS.update, 1, 0, 1, 0), body]);
  return key === null ? message : signed(message, id, key, unixSeconds);
}

/** Who answers for this name? The answer has a SOA record if it is a zone of the server's. */
export function zoneQuestion(id: number, name: string): Buffer {
  return Buffer.concat([uint16(id, FLAGS.query, 1, 0, 0, 0), wireName(name), uint16(TYPE.soa, CLASS.in)]);
}

function signed(message: Buffer, id: number, key: TsigKey, unixSeconds: number): Buffer {
  const name = wireName(key.name.toLowerCase());
  const algorithm = wireName(key.algorithm);
  const time = Buffer.concat([uint16(Math.floor(unixSeconds / 2 ** 32)), uint32(unixSeconds % 2 ** 32)]);
  const [error, otherLength] = [0, 0];
  // RFC 8945 §4.3.3.
  const variables = [name, uint16(CLASS.any), uint32(0), algorithm, time, uint16(FUDGE, error, otherLength)];
  const mac = createHmac(key.algorithm.slice("hmac-".length), Buffer.from(key.secret, "base64"))
    .update(Buffer.concat([message, ...variables]))
    .digest();
  const data = Buffer.concat([algorithm, time, uint16(FUDGE, mac.length), mac, uint16(id, error, otherLength)]);
  const record = Buffer.concat([name, uint16(TYPE.tsig, CLASS.any), uint32(0), uint16(data.length), data]);
  const whole = Buffer.concat([message, record]);
  whole.writeUInt16BE(1, 10); // one additional record
  return whole;
}

export interface DnsReply {
  /** RCODE. */
  readonly code: number;
  /** Its first record is a SOA. */
  readonly isZone: boolean;
}

/** @returns null if it is no answer to this id */
export function readReply(octets: Buffer, id: number): DnsReply | null {
  if (octets.length < 12 || octets.readUInt16BE(0) !== id) return null;
  const flags = octets.readUInt16BE(2);
  if ((flags & FLAGS.response) === 0) return null;
  return { code: flags & 0x0f, isZone: firstType(octets) === TYPE.soa };
}

/** Of the first record in the answer section; null: there is none. */
function firstType(octets: Buffer): number | null {
  if (octets.readUInt16BE(6) === 0) return null;
  let at = 12;
  for (let questions = octets.readUInt16BE(4); questions > 0; questions--) at = afterName(octets, at) + 4;
  at = afterName(octets, at);
  return at + 2 <= octets.length ? octets.readUInt16BE(at) : null;
}

function afterName(octets: Buffer, from: number): number {
  for (let at = from; at < octets.length; ) {
    const length = octets[at]!;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += length + 1;
  }
  return octets.length;
}

const CODES: readonly string[] = [
  "NOERROR",
  "FORMERR",
  "SERVFAIL",
  "NXDOMAIN",
  "NOTIMP",
  "REFUSED",
  "YXDOMAIN",
  "YXRRSET",
  "NXRRSET",
  "NOTAUTH",
  "NOTZONE",
];

/** As people know it: "REFUSED". */
export const nameOfCode = (code: number): string => CODES[code] ?? `RCODE${code}`;

/** @throws {RangeError} if it does not fit (RFC 1035 §2.3.4) */
export function wireName(name: string): Buffer {
  const labels = name === "" ? [] : name.replace(/\.$/, "").split(".");
  const parts = labels.map((label) => {
    const octets = Buffer.from(label, "latin1");
    if (octets.length === 0 || octets.length > 63) throw new RangeError(`${name} is no name for DNS`);
    return Buffer.concat([Buffer.from([octets.length]), octets]);
  });
  const wire = Buffer.concat([...parts, Buffer.from([0])]);
  if (wire.length > 255) throw new RangeError(`${name} is too long for DNS`);
  return wire;
}

function uint16(...numbers: readonly number[]): Buffer {
  const octets = Buffer.alloc(numbers.length * 2);
  for (const [i, number] of numbers.entries()) octets.writeUInt16BE(number, i * 2);
  return octets;
}

function uint32(number: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(number);
  return octets;
}

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
  /** What is wrong with the signature of what it answers (RFC 8945 §3); 0: nothing, or it does not say. */
  readonly keyError: number;
}

/** @returns null if it is no answer to this id */
export function readReply(octets: Buffer, id: number): DnsReply | null {
  if (octets.length < 12 || octets.readUInt16BE(0) !== id) return null;
  const flags = octets.readUInt16BE(2);
  if ((flags & FLAGS.response) === 0) return null;
  const [questions, answers, authorities, more] = [4, 6, 8, 10].map((at) => octets.readUInt16BE(at)) as Counts;
  let at = 12;
  for (let i = 0; i < questions && at < octets.length; i++) at = afterName(octets, at) + 4;
  let isZone = false;
  let keyError = 0;
  for (let i = 0; i < answers + authorities + more; i++) {
    const start = afterName(octets, at);
    if (start + 10 > octets.length) break;
    const type = octets.readUInt16BE(start);
    const data = octets.subarray(start + 10, start + 10 + octets.readUInt16BE(start + 8));
    if (i === 0 && answers > 0) isZone = type === TYPE.soa;
    if (type === TYPE.tsig) keyError = keyErrorIn(data);
    at = start + 10 + data.length;
  }
  return { code: flags & 0x0f, isZone, keyError };
}

/** Of questions, answers, authority and additional records. */
type Counts = [number, number, number, number];

/** RFC 8945 §4.2. */
function keyErrorIn(data: Buffer): number {
  const macAt = afterName(data, 0) + 10;
  if (macAt > data.length) return 0;
  const errorAt = macAt + data.readUInt16BE(macAt - 2) + 2;
  return errorAt + 2 > data.length ? 0 : data.readUInt16BE(errorAt);
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

const KEY_ERRORS: Readonly<Record<number, string>> = { 16: "BADSIG", 17: "BADKEY", 18: "BADTIME", 22: "BADTRUNC" };

/** As people know it: "REFUSED"; of a signature that is not taken "BADKEY". */
export const nameOfCode = (code: number): string => CODES[code] ?? KEY_ERRORS[code] ?? `RCODE${code}`;

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

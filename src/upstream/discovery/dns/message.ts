/**
 * DNS messages as a stub resolver needs them: one question out, one answer in. Of the records only
 * those that lead to endpoints are read: A, AAAA, CNAME and SRV.
 *
 * Names are in lower case without the last dot; octets that are no part of a host name are written
 * `\ddd`, so that no odd name can look like a plain one.
 *
 * RFC 1035 §4 (format), RFC 2782 (SRV), RFC 3596 (AAAA), RFC 6891 (EDNS).
 */
import { canonicalIp } from "../../../net/address.ts";

export const RecordType = { A: 1, CNAME: 5, AAAA: 28, SRV: 33 } as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];
const OPT = 41;
const CLASS_IN = 1;

export const ResponseCode = { noError: 0, formatError: 1, serverFailure: 2, noSuchName: 3, refused: 5 } as const;

const CODE_NAMES: readonly string[] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/** As people know it: "SERVFAIL". */
export const nameOfCode = (code: number): string => CODE_NAMES[code] ?? `RCODE${code}`;

export interface Question {
  readonly name: string;
  readonly type: RecordType;
}

interface RecordHead {
  readonly name: string;
  readonly ttlSeconds: number;
}

export interface AddressRecord extends RecordHead {
  readonly type: typeof RecordType.A | typeof RecordType.AAAA;
  /** In its one spelling (RFC 5952). */
  readonly address: string;
}

export interface AliasRecord extends RecordHead {
  readonly type: typeof RecordType.CNAME;
  readonly target: string;
}

export interface ServiceRecord extends RecordHead {
  readonly type: typeof RecordType.SRV;
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  /** "" if the service is decidedly not there (RFC 2782, a target of "."). */
  readonly target: string;
}

export type DnsRecord = AddressRecord | AliasRecord | ServiceRecord;

export interface Answer {
  readonly id: number;
  readonly code: number;
  /** It did not fit: ask again over TCP. The records are not read then. */
  readonly truncated: boolean;
  /** What it answers; null where a server that refuses did not repeat it. */
  readonly question: { readonly name: string; readonly type: number } | null;
  readonly answers: readonly DnsRecord[];
  readonly additional: readonly DnsRecord[];
}

/** These octets are no answer to anything. */
export class MalformedAnswer extends Error {}

/** Largest answer over UDP that passes every path unfragmented. */
const UDP_OCTETS = 1232;

/**
 * A query with recursion desired.
 * @param edns  say that larger answers than 512 octets can be received
 * @throws {RangeError} if the name does not fit (RFC 1035 §2.3.4); option schemas see to that before
 */
export function encodeQuery(id: number, { name, type }: Question, edns: boolean): Buffer {
  const labels = name === "" ? [] : name.split(".");
  const head = Buffer.from([id >> 8, id & 255, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0]);
  const encoded = labels.map((label) => {
    const octets = Buffer.from(label, "latin1");
    if (octets.length === 0 || octets.length > 63) throw new RangeError(`${name} is no name for DNS`);
    return Buffer.concat([Buffer.from([octets.length]), octets]);
  });
  const question = Buffer.concat([...encoded, Buffer.from([0, type >> 8, type & 255, 0, CLASS_IN])]);
  if (question.length - 4 > 255) throw new RangeError(`${name} is too long for DNS`);
  const options = edns
    ? Buffer.from([0, 0, OPT, UDP_OCTETS >> 8, UDP_OCTETS & 255, 0, 0, 0, 0, 0, 0])
    : Buffer.alloc(0);
  return Buffer.concat([head, question, options]);
}

/** @throws {MalformedAnswer} */
export function decodeAnswer(octets: Uint8Array): Answer {
  const reader = new Reader(octets);
  const id = reader.uint16();
  const flags = reader.uint16();
  const [questions, answers, authorities, additionals] = [
    reader.uint16(),
    reader.uint16(),
    reader.uint16(),
    reader.uint16(),
  ];
  if ((flags & 0x8000) === 0) throw new MalformedAnswer("it is a query");
  if ((flags & 0x7800) !== 0) throw new MalformedAnswer("it answers another kind of request");
  if (questions > 1) throw new MalformedAnswer(`it repeats ${questions} questions`);
  const question = questions === 0 ? null : reader.question();
  const truncated = (flags & 0x0200) !== 0;
  const head = { id, truncated, question };
  const code = flags & 0x000f;
  // A cut message may end within a record.
  if (truncated) return { ...head, code, answers: [], additional: [] };
  const found = reader.records(answers);
  reader.records(authorities);
  const additional = reader.records(additionals);
  return { ...head, code: code | (reader.extendedCode << 4), answers: found, additional };
}

class Reader {
  /** Upper bits of the code, if there was an OPT record. */
  extendedCode = 0;
  readonly #octets: Uint8Array;
  #at = 0;

  constructor(octets: Uint8Array) {
    this.#octets = octets;
  }

  uint8(): number {
    const octet = this.#octets[this.#at++];
    if (octet === undefined) throw new MalformedAnswer(`it ends after ${this.#octets.length} octets`);
    return octet;
  }

  uint16(): number {
    return (this.uint8() << 8) | this.uint8();
  }

  question(): { name: string; type: number } {
    const name = this.#name();
    const type = this.uint16();
    if (this.uint16() !== CLASS_IN) throw new MalformedAnswer("it is of another class");
    return { name, type };
  }

  records(count: number): DnsRecord[] {
    const records: DnsRecord[] = [];
    for (let i = 0; i < count; i++) {
      const record = this.#record();
      if (record !== null) records.push(record);
    }
    return records;
  }

  #record(): DnsRecord | null {
    const name = this.#name();
    const type = this.uint16();
    const recordClass = this.uint16();
    const ttl = this.uint16() * 65536 + this.uint16();
    const length = this.uint16();
    const end = this.#at + length;
    if (end > this.#octets.length) throw new MalformedAnswer("a record ends after the message");
    if (type === OPT) this.extendedCode = ttl >>> 24;
    const record = recordClass === CLASS_IN ? this.#data(type, length, { name, ttlSeconds: seconds(ttl) }) : null;
    if (record !== null && this.#at !== end) throw new MalformedAnswer(`a record of type ${type} has another length`);
    this.#at = end;
    return record;
  }

  #data(type: number, length: number, head: RecordHead): DnsRecord | null {
    switch (type) {
      case RecordType.A:
        return { ...head, type, address: this.#take(length, 4).join(".") };
      case RecordType.AAAA: {
        const words = Buffer.from(this.#take(length, 16)).toString("hex").match(/.{4}/g)!;
        return { ...head, type, address: canonicalIp(words.join(":"))! };
      }
      case RecordType.CNAME:
        return { ...head, type, target: this.#name() };
      case RecordType.SRV: {
        const [priority, weight, port] = [this.uint16(), this.uint16(), this.uint16()];
        return { ...head, type, priority, weight, port, target: this.#name() };
      }
      default:
        return null;
    }
  }

  #take(length: number, wanted: number): Uint8Array {
    if (length !== wanted) throw new MalformedAnswer(`an address has ${length} octets instead of ${wanted}`);
    const piece = this.#octets.subarray(this.#at, this.#at + length);
    this.#at += length;
    return piece;
  }

  #name(): string {
    const labels: string[] = [];
    let total = 1;
    let after: number | null = null;
    // Pointers lead backwards only, so they come to an end (RFC 1035 §4.1.4: "a prior occurrence").
    let before = this.#at;
    for (;;) {
      const length = this.uint8();
      if (length === 0) break;
      if (length >= 0xc0) {
        const target = ((length & 0x3f) << 8) | this.uint8();
        if (target >= before) throw new MalformedAnswer("a name refers to itself");
        after ??= this.#at;
        before = target;
        this.#at = target;
        continue;
      }
      total += length + 1;
      if (length > 63 || total > 255) throw new MalformedAnswer("a name is too long");
      let label = "";
      for (let i = 0; i < length; i++) label += shown(this.uint8());
      labels.push(label);
    }
    if (after !== null) this.#at = after;
    return labels.join(".");
  }
}

function shown(octet: number): string {
  const character = String.fromCharCode(octet);
  return /[\w-]/.test(character) ? character.toLowerCase() : `\\${String(octet).padStart(3, "0")}`;
}

/** RFC 2181 §8: a lifetime has 31 bits, and one with the highest bit set counts as 0. */
const seconds = (ttl: number): number => (ttl > 0x7fffffff ? 0 : ttl);

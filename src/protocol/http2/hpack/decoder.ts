/**
 * Decodes field blocks (RFC 7541 §3, §6). One per connection: its dynamic table is what the peer
 * says it is. Fields are handed on one by one; a block that is too large for a message is still
 * decoded to its end, since the table must be as the peer has it.
 *
 * The work is in proportion to the octets of the block, whatever the table holds, and the table is
 * bounded by `tableOctets`.
 */
import "../../../base/buffer.ts";
import { ConnectionError, ErrorCode } from "../error-code.ts";
import { HeaderField, problemOfValue } from "./header-field.ts";
import { huffmanDecode, huffmanExpansion } from "./huffman.ts";
import { STATIC_LENGTH, staticTable } from "./static-table.ts";

export interface FieldTaker {
  onField(field: HeaderField): void;
}

const COLON = 0x3a;
const SP = 0x20;
const CR = 0x0d;
const LF = 0x0a;

/** Where a literal is put together: name, colon, space, value, CRLF. It grows to what the largest block needs. */
let scratch = Buffer.allocUnsafeSlow(8 * 1024);

function reserve(octets: number, used: number): void {
  if (octets <= scratch.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(octets, scratch.length * 2));
  scratch.copy(larger, 0, 0, used);
  scratch = larger;
}

const EMPTY_RING: (HeaderField | null)[] = [];

export class HpackDecoder {
  /** SETTINGS_HEADER_TABLE_SIZE as we told the peer. */
  readonly #limit: number;
  /** What the peer uses of it. */
  #maxOctets: number;
  #octets = 0;
  #count = 0;
  /** The newest entry is at `#next - 1`; the length is a power of two, and grows with use. */
  #ring: (HeaderField | null)[] = EMPTY_RING;
  #next = 0;
  /** Index of the next octet of the block. */
  #at = 0;

  constructor(tableOctets = 4096) {
    this.#limit = tableOctets;
    this.#maxOctets = tableOctets;
  }

  /** Entries in the dynamic table, and what they take (RFC 7541 §4.1). */
  get entries(): number {
    return this.#count;
  }

  get octets(): number {
    return this.#octets;
  }

  /**
   * Decodes a complete block. Octets are borrowed until it returns.
   * @throws {ConnectionError} COMPRESSION_ERROR (RFC 9113 §4.3)
   */
  decode(octets: Buffer, start: number, end: number, taker: FieldTaker): void {
    this.#at = start;
    let maySize = true;
    while (this.#at < end) {
      const first = octets[this.#at]!;
      if (first >= 0x80) {
        taker.onField(this.#entry(this.#integer(octets, end, 0x7f)));
        maySize = false;
      } else if (first >= 0x40) {
        const field = this.#literal(octets, end, 0x3f);
        this.#insert(field);
        taker.onField(field);
        maySize = false;
      } else if (first >= 0x20) {
        if (!maySize) throw error("a table size update after a field (RFC 7541 §4.2)");
        this.#resize(this.#integer(octets, end, 0x1f));
      } else {
        taker.onField(this.#literal(octets, end, 0x0f));
        maySize = false;
      }
    }
  }

  /** A field line that is not in a table: its name may be. */
  #literal(octets: Buffer, end: number, mask: number): HeaderField {
    const index = this.#integer(octets, end, mask);
    let named: HeaderField | null = null;
    let nameEnd: number;
    if (index === 0) nameEnd = this.#string(octets, end, 0);
    else {
      named = this.#entry(index);
      reserve(named.name.length, 0);
      nameEnd = scratch.latin1Write(named.name, 0);
    }
    const valueStart = nameEnd + 2;
    const valueEnd = this.#string(octets, end, valueStart);
    reserve(valueEnd + 2, valueEnd);
    scratch[nameEnd] = COLON;
    scratch[nameEnd + 1] = SP;
    scratch[valueEnd] = CR;
    scratch[valueEnd + 1] = LF;
    const line = scratch.latin1Slice(0, valueEnd + 2);
    return new HeaderField(
      named === null ? line.slice(0, nameEnd) : named.name,
      line.slice(valueStart, valueEnd),
      line,
      named,
      problemOfValue(scratch, valueStart, valueEnd),
    );
  }

  /** Decodes a string (RFC 7541 §5.2) into the scratch from `to` on. @returns index after it */
  #string(octets: Buffer, end: number, to: number): number {
    if (this.#at >= end) throw truncated();
    const isHuffman = octets[this.#at]! >= 0x80;
    const length = this.#integer(octets, end, 0x7f);
    const start = this.#at;
    if (length > end - start) throw truncated();
    this.#at = start + length;
    if (!isHuffman) {
      reserve(to + length, to);
      if (length > 48) scratch.set(octets.subarray(start, this.#at), to);
      else for (let i = 0; i < length; i++) scratch[to + i] = octets[start + i]!;
      return to + length;
    }
    reserve(to + huffmanExpansion(length), to);
    const after = huffmanDecode(octets, start, this.#at, scratch, to);
    if (after < 0) throw error("a Huffman code with EOS or wrong padding in it (RFC 7541 §5.2)");
    return after;
  }

  /** An integer with a prefix (RFC 7541 §5.1). Nothing here needs one of 2^28 or more. */
  #integer(octets: Buffer, end: number, mask: number): number {
    let value = octets[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= end) throw truncated();
      const octet = octets[this.#at++]!;
      value += (octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
    throw error("an integer of 2^28 or more (RFC 7541 §5.1)");
  }

  #entry(index: number): HeaderField {
    if (index <= STATIC_LENGTH) {
      if (index === 0) throw error("index 0 (RFC 7541 §6.1)");
      return staticTable[index]!;
    }
    const age = index - STATIC_LENGTH;
    if (age > this.#count) throw error(`index ${index} is beyond the tables (RFC 7541 §2.3.3)`);
    return this.#ring[(this.#next - age) & (this.#ring.length - 1)]!;
  }

  #insert(field: HeaderField): void {
    const { size } = field;
    this.#evict(this.#maxOctets - size);
    // RFC 7541 §4.4: one that is larger than the table leaves it empty, and is no error.
    if (size > this.#maxOctets) return;
    if (this.#count === this.#ring.length) this.#growRing();
    this.#ring[this.#next & (this.#ring.length - 1)] = field;
    this.#next++;
    this.#count++;
    this.#octets += size;
  }

  /** Entries stay where their numbers say. */
  #growRing(): void {
    const before = this.#ring;
    const ring: (HeaderField | null)[] = new Array(Math.max(16, before.length * 2)).fill(null);
    for (let n = this.#next - this.#count; n < this.#next; n++)
      ring[n & (ring.length - 1)] = before[n & (before.length - 1)]!;
    this.#ring = ring;
  }

  #resize(octets: number): void {
    if (octets > this.#limit) throw error(`a table size of ${octets}; ${this.#limit} was allowed (RFC 7541 §6.3)`);
    this.#maxOctets = octets;
    this.#evict(octets);
  }

  /** Drops the oldest entries until the table takes no more than this. */
  #evict(octets: number): void {
    const mask = this.#ring.length - 1;
    while (this.#octets > octets && this.#count > 0) {
      const at = (this.#next - this.#count) & mask;
      this.#octets -= this.#ring[at]!.size;
      this.#ring[at] = null;
      this.#count--;
    }
  }
}

const error = (message: string): ConnectionError => new ConnectionError(ErrorCode.compression, message);
const truncated = (): ConnectionError => error("the field block ends within a field");

/**
 * Encodes field lines (RFC 7541 §6) straight into what the connection writes. One per connection.
 *
 * What goes into the table is decided per name: the first value, and a value that comes a second
 * time in a row. So what is the same in every message costs one octet, and what is new each time
 * (an id, a length, a tag) does not push the rest out. Secrets are never indexed, by nobody on the
 * way (§7.1.3). What goes into the table is written in Huffman code, what passes once as it is.
 */
import { Field, fieldSet, knownNameCount } from "../../../http/field-name.ts";
import type { LineTaker } from "../../../http/field-section.ts";
import type { FrameOutput } from "../frame-output.ts";
import { ENTRY_OVERHEAD } from "./header-field.ts";
import { huffmanEncode, huffmanLength } from "./huffman.ts";
import { STATIC_LENGTH, staticFieldIndex, staticNameIndex } from "./static-table.ts";

/** Ours is never larger than this, whatever the peer allows (RFC 7541 §4.2). */
const MOST_TABLE_OCTETS = 4096;
const MOST_ENTRIES = MOST_TABLE_OCTETS / ENTRY_OVERHEAD;
/** Values of one name that are known to be in the table. */
const VALUES = 4;
/** Names that are remembered besides the known ones. */
const MOST_NAMES = 256;

const SECRET = fieldSet("authorization", "proxy-authorization", "set-cookie");
/** A short cookie could be guessed octet by octet, a long one could not (RFC 7541 §7.1.3). */
const LEAST_COOKIE = 20;
/** New with each message, or nearly so. */
const PASSING = fieldSet(
  "content-length",
  "etag",
  "last-modified",
  "if-none-match",
  "if-modified-since",
  "if-range",
  "range",
  "age",
  "location",
  "x-request-id",
);

/** The first octet of each representation, and the bits that are left for the index (RFC 7541 §6). */
const Form = { indexed: 0x80, inserted: 0x40, plain: 0x00, never: 0x10 } as const;

/** What is known of a name: which of its values are in the table. */
class NameRecord {
  readonly staticIndex: number;
  readonly values: string[] = [];
  /** For each value, the how-manieth insertion it was. */
  readonly places: number[] = [];
  oldest = 0;
  /** Of the last value that was not in the table; 0: there was none. */
  passedHash = 0;

  constructor(name: string) {
    this.staticIndex = staticNameIndex(name);
  }
}

export class HpackEncoder implements LineTaker {
  readonly #known: (NameRecord | null)[] = new Array(knownNameCount).fill(null);
  readonly #others = new Map<string, NameRecord>();
  #out!: FrameOutput;

  // The table: only sizes matter. Entry number n is at n % MOST_ENTRIES.
  readonly #sizes = new Uint16Array(MOST_ENTRIES);
  #inserted = 0;
  #evicted = 0;
  #octets = 0;
  #maxOctets = MOST_TABLE_OCTETS;
  /** Smallest size since the last block, if the peer has to be told of it (RFC 7541 §4.2); -1: it has not. */
  #smallest = -1;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE has changed. */
  limit(octets: number): void {
    const size = Math.min(octets, MOST_TABLE_OCTETS);
    if (size === this.#maxOctets) return;
    this.#smallest = this.#smallest < 0 ? size : Math.min(this.#smallest, size);
    this.#maxOctets = size;
    this.#evict(this.#smallest);
  }

  /** Begins a field block. */
  begin(out: FrameOutput): void {
    this.#out = out;
    if (this.#smallest < 0) return;
    out.reserve(16, false);
    if (this.#smallest < this.#maxOctets) this.#integer(0x20, 0x1f, this.#smallest);
    this.#integer(0x20, 0x1f, this.#maxOctets);
    this.#smallest = -1;
  }

  status(status: number): void {
    const out = this.#out;
    out.reserve(8, false);
    const index = STATUS_INDEX[status];
    if (index !== undefined) {
      out.buffer[out.length++] = Form.indexed | index;
      return;
    }
    const { buffer } = out;
    buffer[out.length++] = Form.plain | STATUS_NAME;
    buffer[out.length++] = 3;
    buffer[out.length++] = 0x30 + Math.floor(status / 100);
    buffer[out.length++] = 0x30 + (Math.floor(status / 10) % 10);
    buffer[out.length++] = 0x30 + (status % 10);
  }

  /** A pseudo-field: one of the static table's, or a value like any other. `:path` is not remembered. */
  pseudo(name: ":method" | ":scheme" | ":authority" | ":path" | ":protocol", value: string): void {
    const index = requestFieldIndex(name, value);
    if (index > 0) {
      this.#out.reserve(1, false);
      this.#out.buffer[this.#out.length++] = Form.indexed | index;
    } else if (name === ":path") this.#literal(Form.plain, 0x0f, PATH_NAME, name, value);
    else this.onLine(0, name, value);
  }

  /** A field line. @param name in lower case, of octets; the value too */
  onLine(id: number, name: string, value: string): void {
    const record = id > 0 ? (this.#known[id] ?? this.#remember(id, name)) : this.#other(name);
    const { values, places } = record;
    for (let i = 0; i < values.length; i++) {
      if (values[i] !== value) continue;
      const place = places[i]!;
      if (place >= this.#evicted) {
        this.#out.reserve(6, false);
        this.#integer(Form.indexed, 0x7f, STATIC_LENGTH + this.#inserted - place);
      } else places[i] = this.#insert(record, name, value);
      return;
    }
    if (id > 0 && (SECRET[id] === 1 || (id === Field.cookie && value.length < LEAST_COOKIE)))
      return this.#literal(Form.never, 0x0f, record.staticIndex, name, value);
    if ((id > 0 && PASSING[id] === 1) || !this.#isWorthIt(record, name, value)) {
      const index = record.staticIndex > 0 ? record.staticIndex : this.#nameIndex(record);
      return this.#literal(Form.plain, 0x0f, index, name, value);
    }
    const place = this.#insert(record, name, value);
    const at = values.length < VALUES ? values.length : record.oldest++ % VALUES;
    // A copy of its own: the text it was cut from would be kept with it.
    values[at] = Buffer.from(value, "latin1").latin1Slice(0, value.length);
    places[at] = place;
  }

  /** The first value of a name, or one that has just been there; and it leaves room for others. */
  #isWorthIt(record: NameRecord, name: string, value: string): boolean {
    if (name.length + value.length + ENTRY_OVERHEAD > this.#maxOctets / 4) return false;
    if (record.values.length === 0 && record.passedHash === 0) return true;
    let hash = 1;
    for (let i = 0; i < value.length; i++) hash = (hash * 31 + value.charCodeAt(i)) | 0;
    const isAgain = hash === record.passedHash;
    record.passedHash = hash;
    return isAgain;
  }

  #remember(id: number, name: string): NameRecord {
    const record = new NameRecord(name);
    this.#known[id] = record;
    return record;
  }

  #other(name: string): NameRecord {
    let record = this.#others.get(name);
    if (record !== undefined) return record;
    if (this.#others.size >= MOST_NAMES) this.#others.clear();
    record = new NameRecord(name);
    this.#others.set(name, record);
    return record;
  }

  /** The index of an entry with this name; 0 if there is none. */
  #nameIndex({ places }: NameRecord): number {
    for (let i = 0; i < places.length; i++) {
      if (places[i]! >= this.#evicted) return STATIC_LENGTH + this.#inserted - places[i]!;
    }
    return 0;
  }

  /** Writes a literal that the peer puts into its table, and counts it. @returns its number */
  #insert(record: NameRecord, name: string, value: string): number {
    // The name is looked up before the entry pushes others out (RFC 7541 §4.4).
    const index = record.staticIndex > 0 ? record.staticIndex : this.#nameIndex(record);
    this.#literal(Form.inserted, 0x3f, index, name, value);
    const size = name.length + value.length + ENTRY_OVERHEAD;
    this.#evict(this.#maxOctets - size);
    // Too large after a change of the table's size: it is empty now.
    if (size > this.#maxOctets) return -1;
    this.#sizes[this.#inserted % MOST_ENTRIES] = size;
    this.#octets += size;
    return this.#inserted++;
  }

  #evict(octets: number): void {
    while (this.#octets > octets && this.#evicted < this.#inserted)
      this.#octets -= this.#sizes[this.#evicted++ % MOST_ENTRIES]!;
  }

  #literal(form: number, mask: number, nameIndex: number, name: string, value: string): void {
    // The Huffman code is only taken where it is shorter.
    this.#out.reserve(name.length + value.length + 20, false);
    this.#integer(form, mask, nameIndex);
    const isKept = form === Form.inserted;
    if (nameIndex === 0) this.#string(name, isKept);
    this.#string(value, isKept);
  }

  #string(text: string, mayShorten: boolean): void {
    const out = this.#out;
    const { length } = text;
    const shortened = mayShorten ? huffmanLength(text) : length;
    if (shortened < length) {
      this.#integer(0x80, 0x7f, shortened);
      out.length = huffmanEncode(text, out.buffer, out.length);
    } else {
      this.#integer(0, 0x7f, length);
      if (length > 0) out.length += out.buffer.latin1Write(text, out.length);
    }
  }

  /** An integer with a prefix (RFC 7541 §5.1). */
  #integer(form: number, mask: number, value: number): void {
    const out = this.#out;
    const { buffer } = out;
    if (value < mask) {
      buffer[out.length++] = form | value;
      return;
    }
    buffer[out.length++] = form | mask;
    value -= mask;
    while (value >= 0x80) {
      buffer[out.length++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    buffer[out.length++] = value;
  }
}

/** The index of a pseudo-field of requests in the static table; 0 if it is not there. A look-up by name and value costs five times as much. */
function requestFieldIndex(name: string, value: string): number {
  switch (name) {
    case ":method":
      return value === "GET" ? 2 : value === "POST" ? 3 : 0;
    case ":path":
      return value === "/" ? 4 : value === "/index.html" ? 5 : 0;
    case ":scheme":
      return value === "http" ? 6 : value === "https" ? 7 : 0;
    default:
      return 0;
  }
}

const PATH_NAME = staticNameIndex(":path");
const STATUS_NAME = staticNameIndex(":status");
const STATUS_INDEX: Readonly<Record<number, number>> = Object.fromEntries(
  [200, 204, 206, 304, 400, 404, 500].map((status) => [status, staticFieldIndex(":status", String(status))]),
);

/**
 * HPACK, the plain way: writes what a case needs, octet by octet, and reads whatever an engine
 * writes. RFC 7541.
 */
import type { FieldLine } from "./wire.ts";

const STATIC: readonly FieldLine[] = (
  ":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|" +
  ":status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|" +
  "accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|" +
  "content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|" +
  "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|" +
  "last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|" +
  "server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
  .split("|")
  .map((entry): FieldLine => {
    const equals = entry.indexOf("=");
    return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
  });

/**
 * Lengths of the Huffman codes in bits, one base-36 digit per octet value (RFC 7541 Appendix B). The
 * code is canonical, so the lengths are all there is to know; EOS is the last of the 30-bit codes.
 */
const LENGTHS =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca" +
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds" +
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq";

const EOS = 256;
/** Bits of each symbol, as text of "0" and "1". */
const codes: string[] = [];
/** Symbols by their bits. */
const symbols = new Map<string, number>();
{
  const lengths = [...LENGTHS].map((digit) => Number.parseInt(digit, 36));
  lengths.push(30);
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (lengths[symbol] !== length) continue;
      codes[symbol] = code.toString(2).padStart(length, "0");
      symbols.set(codes[symbol]!, symbol);
      code++;
    }
  }
  if (code !== 2 ** 30) throw new Error("the Huffman code is not complete");
}

const fromBits = (bits: string): Buffer =>
  Buffer.from((bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));

/** @param padding bits after the text; by default as many ones as fill the octet (RFC 7541 §5.2) */
export function huffman(text: string, padding?: string): Buffer {
  const bits = [...text].map((char) => codes[char.charCodeAt(0)]).join("");
  return fromBits(bits + (padding ?? "1".repeat((8 - (bits.length % 8)) % 8)));
}

/** The code of the end of string, which must not stand in one. */
export const eosBits = (): string => codes[EOS]!;

/** An integer whose first octet has `prefix` bits for it, the others being `pattern` (RFC 7541 §5.1). */
export function integer(value: number, prefix: number, pattern = 0): Buffer {
  const most = 2 ** prefix - 1;
  if (value < most) return Buffer.of(pattern | value);
  const out = [pattern | most];
  for (value -= most; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) + 128);
  return Buffer.from([...out, value]);
}

export function string(text: string, compressed = false): Buffer {
  const content = compressed ? huffman(text) : Buffer.from(text, "latin1");
  return Buffer.concat([integer(content.length, 7, compressed ? 0x80 : 0), content]);
}

/** How a literal asks to be treated (RFC 7541 §6.2). */
const INDEXING = { without: [4, 0x00], never: [4, 0x10], incremental: [6, 0x40] } as const;

export function literal(
  name: string | number,
  value: string,
  indexing: keyof typeof INDEXING = "without",
  compressed = false,
): Buffer {
  const [prefix, pattern] = INDEXING[indexing];
  const start = integer(typeof name === "number" ? name : 0, prefix, pattern);
  return Buffer.concat([
    start,
    ...(typeof name === "string" ? [string(name, compressed)] : []),
    string(value, compressed),
  ]);
}

export const literals = (fields: readonly FieldLine[]): Buffer =>
  Buffer.concat(fields.map(([name, value]) => literal(name, value)));

export const indexed = (index: number): Buffer => integer(index, 7, 0x80);

export const sizeUpdate = (octets: number): Buffer => integer(octets, 5, 0x20);

/** Reads field blocks, and minds that whoever wrote them keeps to the rules. */
export class Decoder {
  #table: FieldLine[] = [];
  #size = 4096;
  /** As we allow by SETTINGS_HEADER_TABLE_SIZE; the next block must come down to it first (RFC 7541 §4.2). */
  #allowed = 4096;
  /** The next block must begin with an update to at most this: the smallest we allowed since the last one. */
  #smallest = Infinity;

  /** Our SETTINGS_HEADER_TABLE_SIZE was acknowledged. */
  allow(octets: number): void {
    this.#allowed = octets;
    if (octets < this.#size) this.#smallest = Math.min(this.#smallest, octets);
  }

  /** @throws on anything that the encoder must not do */
  decode(block: Buffer): FieldLine[] {
    const fields: FieldLine[] = [];
    let at = 0;
    const number = (prefix: number): number => {
      const most = 2 ** prefix - 1;
      let value = block[at++]! & most;
      if (value < most) return value;
      for (let shift = 1; ; shift *= 128) {
        const octet = block[at++]!;
        value += (octet & 127) * shift;
        if (octet < 128) return value;
      }
    };
    const text = (): string => {
      const compressed = (block[at]! & 0x80) !== 0;
      const length = number(7);
      if (at + length > block.length) throw new Error("a string reaches beyond its block");
      const octets = block.subarray(at, (at += length));
      return compressed ? expand(octets) : octets.toString("latin1");
    };
    while (at < block.length) {
      const octet = block[at]!;
      if (octet >= 0x20 && octet < 0x40) {
        if (fields.length > 0) throw new Error("a size update after a field");
        const size = number(5);
        if (size > this.#allowed) throw new Error(`a table of ${size} octets, more than the ${this.#allowed} allowed`);
        this.#resize(size);
        continue;
      }
      if (this.#smallest < Infinity) throw new Error("no size update after the table's limit was lowered");
      if (octet >= 0x80) fields.push(this.#entry(number(7)));
      else {
        const index = number(octet >= 0x40 ? 6 : 4);
        const name = index === 0 ? text() : this.#entry(index)[0];
        const field: FieldLine = [name, text()];
        fields.push(field);
        if (octet >= 0x40) this.#table.unshift(field);
        this.#evict();
      }
    }
    return fields;
  }

  #entry(index: number): FieldLine {
    const field = index > STATIC.length ? this.#table[index - STATIC.length - 1] : STATIC[index - 1];
    if (field === undefined) throw new Error(`no entry ${index}`);
    return field;
  }

  #resize(size: number): void {
    this.#size = size;
    if (size <= this.#smallest) this.#smallest = Infinity;
    this.#evict();
  }

  #evict(): void {
    let octets = 0;
    const kept = this.#table.findIndex(([name, value]) => (octets += name.length + value.length + 32) > this.#size);
    if (kept >= 0) this.#table.length = kept;
  }
}

function expand(octets: Buffer): string {
  let text = "";
  let bits = "";
  for (const bit of [...octets].map((octet) => octet.toString(2).padStart(8, "0")).join("")) {
    bits += bit;
    const symbol = symbols.get(bits);
    if (symbol === undefined) continue;
    if (symbol === EOS) throw new Error("EOS in a string");
    text += String.fromCharCode(symbol);
    bits = "";
  }
  if (bits.length > 7 || bits.includes("0")) throw new Error("padding of a string that is not the start of EOS");
  return text;
}

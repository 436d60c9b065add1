/**
 * The Huffman code of HPACK (RFC 7541 §5.2, appendix B). It is canonical: shorter codes come first,
 * equal lengths in the order of their octets, so that the lengths alone say the codes.
 */

/** Bits per octet; the last is EOS. */
const LENGTHS = Uint8Array.from(
  // biome-ignore format: a table
  [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
  ],
);
const EOS = 256;
const LONGEST = 30;

/** Octets that decoding `length` octets can give: the shortest codes have 5 bits. */
export const huffmanExpansion = (length: number): number => Math.ceil((length * 8) / 5);

// ── canonical codes ──────────────────────────────────────────────────────────────────────────

const codes = new Uint32Array(257);
/** By length: the first code, the number of codes before it, and all symbols in the order of their codes. */
const firstCode = new Uint32Array(LONGEST + 2);
const firstPlace = new Uint16Array(LONGEST + 2);
const ordered = new Uint16Array(257);

{
  let code = 0;
  let place = 0;
  for (let length = 1; length <= LONGEST; length++) {
    firstCode[length] = code;
    firstPlace[length] = place;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (LENGTHS[symbol] !== length) continue;
      ordered[place++] = symbol;
      codes[symbol] = code++;
    }
    code *= 2;
  }
  firstPlace[LONGEST + 1] = place;
}

/** Codes up to this length are decoded by one look into a table; it covers all but nine printable octets. */
const QUICK_BITS = 12;
/** symbol << 4 | length; 0: the code is longer. */
const quick = new Uint16Array(1 << QUICK_BITS);
for (let symbol = 0; symbol < EOS; symbol++) {
  const length = LENGTHS[symbol]!;
  if (length > QUICK_BITS) continue;
  const first = codes[symbol]! << (QUICK_BITS - length);
  quick.fill((symbol << 4) | length, first, first + (1 << (QUICK_BITS - length)));
}

// ── decoding ─────────────────────────────────────────────────────────────────────────────────

/**
 * Decodes octets into `out` from `to` on; there must be room for `huffmanExpansion`.
 * @returns index after the last octet written; -1 if the code holds EOS or is not padded as it must be (RFC 7541 §5.2)
 */
export function huffmanDecode(octets: Uint8Array, start: number, end: number, out: Uint8Array, to: number): number {
  let at = start;
  /** The low `count` bits are still to be decoded. */
  let bits = 0;
  let count = 0;
  for (;;) {
    while (count < QUICK_BITS && at < end) {
      bits = (bits << 8) | octets[at++]!;
      count += 8;
    }
    // Fewer bits than a look needs are filled up with ones, as padding is.
    const window =
      count >= QUICK_BITS
        ? (bits >>> (count - QUICK_BITS)) & ((1 << QUICK_BITS) - 1)
        : ((bits << (QUICK_BITS - count)) | ((1 << (QUICK_BITS - count)) - 1)) & ((1 << QUICK_BITS) - 1);
    const found = quick[window]!;
    const length = found & 15;
    if (length !== 0 && length <= count) {
      out[to++] = found >>> 4;
      count -= length;
      continue;
    }
    // What is left when all is read is padding: less than an octet, all ones.
    if (at === end && count < 8 && (bits & ((1 << count) - 1)) === (1 << count) - 1) return to;
    const position = at * 8 - count;
    const long = longSymbol(octets, position, end * 8);
    if (long < 0) return -1;
    const symbol = long >>> 5;
    if (symbol === EOS) return -1;
    out[to++] = symbol;
    const next = position + (long & 31);
    at = (next + 7) >>> 3;
    count = at * 8 - next;
    bits = count === 0 ? 0 : octets[at - 1]!;
  }
}

/** One symbol from a bit on. @returns symbol << 5 | length; -1 if the octets end before it does */
function longSymbol(octets: Uint8Array, position: number, end: number): number {
  let code = 0;
  for (let length = 1; length <= LONGEST && position < end; length++, position++) {
    code = code * 2 + ((octets[position >>> 3]! >>> (7 - (position & 7))) & 1);
    const place = firstPlace[length]! + code - firstCode[length]!;
    if (place < firstPlace[length + 1]!) return (ordered[place]! << 5) | length;
  }
  return -1;
}

// ── encoding ─────────────────────────────────────────────────────────────────────────────────

/** Octets that text takes when encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += LENGTHS[text.charCodeAt(i)]!;
  return (bits + 7) >>> 3;
}

/** Encodes text whose characters are octets. @returns index after the last octet written */
export function huffmanEncode(text: string, out: Uint8Array, to: number): number {
  let bits = 0;
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    let length = LENGTHS[symbol]!;
    let code = codes[symbol]!;
    // Less than 8 bits wait, so that 24 more always fit.
    if (length > 24) {
      const high = length - 24;
      bits = (bits << high) | (code >>> 24);
      count += high;
      code &= 0xffffff;
      length = 24;
      while (count >= 8) out[to++] = bits >>> (count -= 8);
    }
    bits = (bits << length) | code;
    count += length;
    while (count >= 8) out[to++] = bits >>> (count -= 8);
  }
  if (count > 0) out[to++] = (bits << (8 - count)) | (0xff >>> count);
  return to;
}

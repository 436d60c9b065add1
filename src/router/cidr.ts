/**
 * Sets of IP addresses given as CIDR blocks (RFC 4632, RFC 4291).
 *
 * Blocks become sorted ranges when the set is built; a look-up reads the address's text straight into
 * words and searches by halves, without allocating. IPv4 and IPv6 are separate: `::/0` holds no IPv4
 * address. An IPv4-mapped address (`::ffff:192.0.2.1`) is the IPv4 address, in blocks and in look-ups.
 */

/** The address `parseAddress` read last: words of 32 bits, for IPv4 only the last one. One object for all: nothing here waits. */
const words = new Uint32Array(4);

/** IPv4 ranges are two words; IPv6 ranges two times four. */
export class CidrSet {
  readonly #v4: Uint32Array;
  readonly #v6: Uint32Array;

  /**
   * @param blocks "10.0.0.0/8", "fd00::/8"; a single address is a block of one; bits beyond the prefix count for nothing
   * @throws {TypeError} if one is not a block
   */
  constructor(blocks: Iterable<string>) {
    const v4: Range[] = [];
    const v6: Range[] = [];
    for (const block of blocks) {
      const { family, range } = parseBlock(block);
      (family === 4 ? v4 : v6).push(range);
    }
    this.#v4 = Uint32Array.from(merge(v4).flatMap(({ first, last }) => [first[3]!, last[3]!]));
    this.#v6 = Uint32Array.from(merge(v6).flatMap(({ first, last }) => [...first, ...last]));
  }

  /** False for what is not an address, such as "" of a unix socket. */
  has(address: string): boolean {
    switch (parseAddress(address)) {
      case 4:
        return this.#hasV4(words[3]!);
      case 6:
        return this.#hasV6();
      default:
        return false;
    }
  }

  #hasV4(address: number): boolean {
    const ranges = this.#v4;
    let low = 0;
    let high = ranges.length >> 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (address < ranges[middle * 2]!) high = middle;
      else if (address > ranges[middle * 2 + 1]!) low = middle + 1;
      else return true;
    }
    return false;
  }

  #hasV6(): boolean {
    const ranges = this.#v6;
    let low = 0;
    let high = ranges.length >> 3;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareAt(words, ranges, middle * 8) < 0) high = middle;
      else if (compareAt(words, ranges, middle * 8 + 4) > 0) low = middle + 1;
      else return true;
    }
    return false;
  }
}

interface Range {
  /** Four words each. */
  readonly first: Uint32Array;
  readonly last: Uint32Array;
}

function parseBlock(text: string): { family: 4 | 6; range: Range } {
  const slash = text.indexOf("/");
  const family = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const mapped = family === 4 && text.includes(":");
  const size = family === 4 && !mapped ? 32 : 128;
  const digits = slash < 0 ? String(size) : text.slice(slash + 1);
  const bits = /^\d{1,3}$/.test(digits) ? Number(digits) : Number.NaN;
  if (family === 0 || !(bits <= size)) {
    throw new TypeError(
      `${JSON.stringify(text)} is not a block of addresses: write one such as "10.0.0.0/8", "192.0.2.7" or "fd00::/8"`,
    );
  }
  // A block that is wider than all mapped addresses is one of IPv6.
  const isV6 = family === 6 || (mapped && bits < 96);
  if (isV6 && mapped) words[2] = 0xffff;
  const first = words.slice();
  const last = words.slice();
  // Counted in the 128 bits that the four words have.
  const prefix = size === 32 ? bits + 96 : bits;
  for (let i = isV6 ? 0 : 3; i < 4; i++) {
    const kept = Math.min(32, Math.max(0, prefix - i * 32));
    const mask = kept === 0 ? 0 : (0xffffffff << (32 - kept)) >>> 0;
    first[i] = first[i]! & mask;
    last[i] = last[i]! | ~mask;
  }
  return { family: isV6 ? 6 : 4, range: { first, last } };
}

/** Sorted, and without overlaps. */
function merge(ranges: readonly Range[]): Range[] {
  const merged: Range[] = [];
  for (const range of ranges.toSorted((a, b) => compareAt(a.first, b.first, 0))) {
    const before = merged.at(-1);
    if (before === undefined || compareAt(range.first, before.last, 0) > 0) merged.push(range);
    else if (compareAt(range.last, before.last, 0) > 0)
      merged[merged.length - 1] = { first: before.first, last: range.last };
  }
  return merged;
}

function compareAt(address: Uint32Array, ranges: Uint32Array, at: number): number {
  for (let i = 0; i < 4; i++) {
    const difference = address[i]! - ranges[at + i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Reads an address into `words`; a zone ("%eth0") is left out. @returns its family, or 0 if it is none */
function parseAddress(text: string): 0 | 4 | 6 {
  words.fill(0);
  const zone = text.indexOf("%");
  const end = zone < 0 ? text.length : zone;
  if (text.indexOf(":") < 0) return zone < 0 && parseV4(text, 0, end) ? 4 : 0;
  if (!parseV6(text, end)) return 0;
  if (words[0] !== 0 || words[1] !== 0 || words[2] !== 0xffff) return 6;
  words[2] = 0;
  return 4;
}

/** Four decimal octets without leading zeros, into the last word. */
function parseV4(text: string, start: number, end: number): boolean {
  let address = 0;
  let octet = -1;
  let dots = 0;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (octet < 0 || ++dots > 3) return false;
      address = address * 256 + octet;
      octet = -1;
    } else {
      const digit = code - 0x30;
      if (digit < 0 || digit > 9 || octet === 0) return false;
      octet = octet < 0 ? digit : octet * 10 + digit;
      if (octet > 255) return false;
    }
  }
  if (dots !== 3 || octet < 0) return false;
  words[3] = address * 256 + octet;
  return true;
}

/** Groups of 16 bits, those before "::" and those after it. */
const groups = new Uint16Array(8);

function parseV6(text: string, end: number): boolean {
  let count = 0;
  /** Index of the group that "::" stands before; -1: none. */
  let gap = -1;
  let i = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false;
    gap = 0;
    i = 2;
  }
  while (i < end) {
    if (count === 8) return false;
    const stop = groupEnd(text, i, end);
    if (stop < end && text.charCodeAt(stop) === DOT) {
      if (count > 6 || !parseV4(text, i, end)) return false;
      groups[count++] = words[3]! >>> 16;
      groups[count++] = words[3]! & 0xffff;
      i = end;
      break;
    }
    if (stop === i || stop - i > 4) return false;
    let group = 0;
    for (; i < stop; i++) group = group * 16 + hexDigit(text.charCodeAt(i));
    groups[count++] = group;
    if (i === end) break;
    if (text.charCodeAt(i) !== COLON || ++i === end) {
      return false; // Another character, or a single ":" at the end.
    }
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return false;
      gap = count;
      i++;
    }
  }
  if (gap < 0 ? count !== 8 : count > 7) return false;
  const skipped = 8 - count;
  words.fill(0);
  for (let g = 0; g < count; g++) {
    const place = gap >= 0 && g >= gap ? g + skipped : g;
    words[place >> 1] = words[place >> 1]! | (groups[g]! << (place % 2 === 0 ? 16 : 0));
  }
  return true;
}

const COLON = 0x3a;
const DOT = 0x2e;

/** Where the hexadecimal digits from `start` end. */
function groupEnd(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && hexDigit(text.charCodeAt(at)) >= 0) at++;
  return at;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

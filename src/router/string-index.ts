/**
 * Texts and a number for each, as a hash table in one array of numbers. With 10,000 hosts each place in
 * memory that a look-up has to wait for costs about 150 ns. A `Map` of strings follows pointers through
 * five; here the hash, the number and the characters stand side by side. Characters are packed by fours,
 * once per look-up, for hash and comparison alike: the loop is so short that the processor is already
 * fetching what the number leads to.
 *
 * The texts are those of the config; what clients send is only looked up, so nobody can choose texts
 * that collide.
 */

/** A row: hash, number + 1 (0: free), length of the text, its characters in words of four. */
const HEAD = 3;

/** The text packed last. One for all: nothing here waits. */
let packed = new Int32Array(64);

export class StringIndex {
  #rows = new Int32Array(0);
  /** Numbers per row: as many as the longest text needs. */
  #width = HEAD;
  /** Rows, less one; their number is a power of two. */
  #mask = -1;
  #size = 0;
  #longest = -1;

  /**
   * @param value a whole number from 0
   * @returns false if the text was there already; it keeps its value
   * @throws {TypeError} for a character above U+00FF: four of them must fit a word
   */
  add(text: string, value: number): boolean {
    if (this.find(text) >= 0) return false;
    const count = wordsOf(text.length);
    if (packed.length < count) packed = new Int32Array(count * 2);
    const rows = this.#mask + 1;
    // Half full at most, so that there is a free row at the end of every search.
    const isFull = (this.#size + 1) * 2 > rows;
    if (isFull || HEAD + count > this.#width) {
      this.#resize(isFull ? Math.max(16, rows * 2) : rows, Math.max(this.#width, HEAD + count));
    }
    const hashed = pack(text);
    if (hashed === null) throw new TypeError(`${JSON.stringify(text)} has a character above U+00FF`);
    this.#place([hashed, value + 1, text.length, ...packed.subarray(0, count)]);
    this.#size++;
    this.#longest = Math.max(this.#longest, text.length);
    return true;
  }

  /** @returns the value of the text, or -1 */
  find(text: string): number {
    const { length } = text;
    if (length > this.#longest) return -1;
    const hashed = pack(text);
    if (hashed === null) return -1;
    const rows = this.#rows;
    const mask = this.#mask;
    for (let row = hashed & mask; ; row = (row + 1) & mask) {
      const at = row * this.#width;
      if (rows[at + 1] === 0) return -1;
      if (rows[at] === hashed && rows[at + 2] === length && isPacked(rows, at + HEAD, wordsOf(length))) {
        return rows[at + 1]! - 1;
      }
    }
  }

  #resize(count: number, width: number): void {
    const before = this.#rows;
    const widthBefore = this.#width;
    this.#rows = new Int32Array(count * width);
    this.#width = width;
    this.#mask = count - 1;
    for (let at = 0; at < before.length; at += widthBefore) {
      if (before[at + 1] !== 0) this.#place(before.subarray(at, at + widthBefore));
    }
  }

  #place(filled: ArrayLike<number>): void {
    let row = filled[0]! & this.#mask;
    while (this.#rows[row * this.#width + 1] !== 0) row = (row + 1) & this.#mask;
    this.#rows.set(filled, row * this.#width);
  }
}

/** Are these the words of the text packed last? */
function isPacked(rows: Int32Array, start: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (rows[start + i] !== packed[i]) return false;
  return true;
}

const wordsOf = (length: number): number => (length + 3) >> 2;

/** Writes a text into `packed`, which must be long enough. @returns its hash, or null for a character above U+00FF */
function pack(text: string): number | null {
  const { length } = text;
  const words = packed;
  let value = length;
  let wide = 0;
  let word = 0;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    wide |= code;
    word |= code << ((i & 3) << 3);
    if ((i & 3) === 3) {
      words[i >> 2] = word;
      value = mixed(value, word);
      word = 0;
    }
  }
  if ((length & 3) !== 0) {
    words[length >> 2] = word;
    value = mixed(value, word);
  }
  return wide > 0xff ? null : value;
}

/** High bits are folded into the low ones, which choose the slot. */
function mixed(value: number, word: number): number {
  const product = Math.imul(value ^ word, 0x9e3779b1);
  return product ^ (product >>> 15);
}

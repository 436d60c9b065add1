/**
 * Texts and a number for each, as a hash table in two arrays of numbers. With 10,000 hosts each place in
 * memory that a look-up has to wait for costs about 150 ns. A `Map` of strings follows pointers through
 * five. Here a slot holds all that comes next, and what the number leads to is on its way while the
 * characters are still being compared, since they are compared by fours and that is a short loop.
 *
 * The texts are those of the config; what clients send is only looked up, so nobody can choose texts
 * that collide.
 */

/** Numbers per slot: hash, number + 1 (0: free), where the words of the text begin, its length. */
const SLOT = 4;

/** The text packed last. One for all: nothing here waits. */
let packed = new Int32Array(64);

export class StringIndex {
  #slots = new Int32Array(16 * SLOT);
  #words = new Int32Array(256);
  #used = 0;
  #size = 0;
  #longest = 0;

  /**
   * @param value a whole number from 0
   * @returns false if the text was there already; it keeps its value
   * @throws {TypeError} for a character above U+00FF: four of them must fit a word
   */
  add(text: string, value: number): boolean {
    if (this.find(text) >= 0) return false;
    if ((this.#size + 1) * 2 * SLOT > this.#slots.length) this.#grow();
    if (packed.length * 4 < text.length) packed = new Int32Array(text.length);
    const hashed = pack(text);
    if (hashed === null) throw new TypeError(`${JSON.stringify(text)} has a character above U+00FF`);
    const count = wordsOf(text.length);
    while (this.#used + count > this.#words.length) this.#words = doubled(this.#words);
    this.#words.set(packed.subarray(0, count), this.#used);
    place(this.#slots, [hashed, value + 1, this.#used, text.length]);
    this.#used += count;
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
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = (hashed * SLOT) & mask; slots[slot + 1] !== 0; slot = (slot + SLOT) & mask) {
      if (slots[slot] === hashed && slots[slot + 3] === length && this.#isPacked(slots[slot + 2]!, wordsOf(length))) {
        return slots[slot + 1]! - 1;
      }
    }
    return -1;
  }

  /** Are these the words of the text packed last? */
  #isPacked(start: number, count: number): boolean {
    const words = this.#words;
    for (let i = 0; i < count; i++) if (words[start + i] !== packed[i]) return false;
    return true;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Int32Array(before.length * 2);
    for (let slot = 0; slot < before.length; slot += SLOT) {
      if (before[slot + 1] !== 0) place(this.#slots, before.subarray(slot, slot + SLOT));
    }
  }
}

function place(slots: Int32Array, filled: ArrayLike<number>): void {
  const mask = slots.length - 1;
  let slot = (filled[0]! * SLOT) & mask;
  while (slots[slot + 1] !== 0) slot = (slot + SLOT) & mask;
  slots.set(filled, slot);
}

function doubled(numbers: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(numbers.length * 2);
  longer.set(numbers);
  return longer;
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

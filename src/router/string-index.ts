/**
 * A set of ASCII texts, each with a number, as a hash table in two arrays of numbers. For 10,000 hosts
 * a look-up touches two places in memory, where a `Map` of strings follows pointers through five. It
 * takes half the time once the table no longer lies in the processor's cache.
 *
 * The texts are those of the config; what clients send is only looked up, so nobody can choose texts
 * that collide.
 */

/** Numbers per slot: hash, number of the text + 1 (0: free), where its characters begin, how many they are. */
const SLOT = 4;

export class StringIndex {
  #slots = new Int32Array(16 * SLOT);
  #characters = new Uint8Array(256);
  #used = 0;
  #size = 0;
  #longest = 0;

  /** How many texts there are; the next one gets this number. */
  get size(): number {
    return this.#size;
  }

  /** @returns the number of the text, or -1 if it was there already */
  add(text: string): number {
    if (this.find(text) >= 0) return -1;
    if ((this.#size + 1) * 2 * SLOT > this.#slots.length) this.#grow();
    while (this.#used + text.length > this.#characters.length) {
      this.#characters = joined(this.#characters, this.#characters.length * 2);
    }
    for (let i = 0; i < text.length; i++) this.#characters[this.#used + i] = text.charCodeAt(i);
    place(this.#slots, hash(text), this.#size + 1, this.#used, text.length);
    this.#used += text.length;
    this.#longest = Math.max(this.#longest, text.length);
    return this.#size++;
  }

  /** @returns the number of the text, or -1 */
  find(text: string): number {
    if (text.length > this.#longest) return -1;
    const slots = this.#slots;
    const wanted = hash(text);
    const mask = slots.length - 1;
    for (let slot = (wanted * SLOT) & mask; slots[slot + 1] !== 0; slot = (slot + SLOT) & mask) {
      if (slots[slot] === wanted && this.#isAt(slots[slot + 2]!, slots[slot + 3]!, text)) return slots[slot + 1]! - 1;
    }
    return -1;
  }

  #isAt(start: number, length: number, text: string): boolean {
    if (length !== text.length) return false;
    const characters = this.#characters;
    for (let i = 0; i < length; i++) if (characters[start + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Int32Array(before.length * 2);
    for (let slot = 0; slot < before.length; slot += SLOT) {
      const number = before[slot + 1]!;
      if (number !== 0) place(this.#slots, before[slot]!, number, before[slot + 2]!, before[slot + 3]!);
    }
  }
}

function place(slots: Int32Array, hashed: number, number: number, start: number, length: number): void {
  const mask = slots.length - 1;
  let slot = (hashed * SLOT) & mask;
  while (slots[slot + 1] !== 0) slot = (slot + SLOT) & mask;
  slots.set([hashed, number, start, length], slot);
}

function joined(octets: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const longer = new Uint8Array(length);
  longer.set(octets);
  return longer;
}

/** FNV-1a, its high bits folded into the low ones, which choose the slot. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return (value ^ (value >>> 15)) | 0;
}

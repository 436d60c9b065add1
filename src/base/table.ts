/**
 * Objects by key, where they come and go with connections and requests: a `Map` would keep them alive for
 * the reason that is told in `chain.ts`. A hash table with open addressing and linear probing; what follows
 * a removed entry is moved up, so nothing is left of it.
 */
const LEAST_PLACES = 8;

export class Table<Key, Value> {
  readonly #hash: (key: Key) => number;
  /** As many as there are values, a power of two. */
  #keys: (Key | null)[] = places<Key>(LEAST_PLACES);
  /** null: the place is free. Half of them always are. */
  #values: (Value | null)[] = places<Value>(LEAST_PLACES);
  size = 0;

  /** @param hash of 32 bits, of which the lowest have to differ most; keys are compared by === */
  constructor(hash: (key: Key) => number) {
    this.#hash = hash;
  }

  get(key: Key): Value | null {
    return this.#values[this.#placeOf(key)]!;
  }

  /** @param key one that is not there */
  add(key: Key, value: Value): void {
    if (2 * (this.size + 1) > this.#values.length) this.#grow();
    const place = this.#placeOf(key);
    this.#keys[place] = key;
    this.#values[place] = value;
    this.size++;
  }

  /** @returns false if it was not there */
  delete(key: Key): boolean {
    const keys = this.#keys;
    const values = this.#values;
    const mask = values.length - 1;
    let free = this.#placeOf(key);
    if (values[free] === null) return false;
    for (let at = (free + 1) & mask; values[at] !== null; at = (at + 1) & mask) {
      const distance = (at - this.#hash(keys[at]!)) & mask;
      if (distance < ((at - free) & mask)) continue;
      keys[free] = keys[at]!;
      values[free] = values[at]!;
      free = at;
    }
    keys[free] = null;
    values[free] = null;
    this.size--;
    return true;
  }

  /** Those that are there now, whatever becomes of them meanwhile; in no order. */
  all(): Value[] {
    return this.#values.filter((value) => value !== null) as Value[];
  }

  /** Where it is, or would be. */
  #placeOf(key: Key): number {
    const keys = this.#keys;
    const values = this.#values;
    const mask = values.length - 1;
    let place = this.#hash(key) & mask;
    while (values[place] !== null && keys[place] !== key) place = (place + 1) & mask;
    return place;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = places(2 * values.length);
    this.#values = places(2 * values.length);
    this.size = 0;
    for (let i = 0; i < values.length; i++) if (values[i] !== null) this.add(keys[i]!, values[i]!);
  }
}

function places<T>(count: number): (T | null)[] {
  return new Array<T | null>(count).fill(null);
}

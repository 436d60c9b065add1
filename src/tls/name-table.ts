/** From a server name to what is kept for it: exact names first, then wildcards of one label, then the default. */

export class NameTable<T> {
  readonly #exact = new Map<string, T>();
  /** By what follows "*.". */
  readonly #wildcards = new Map<string, T>();
  fallback: T | null = null;

  /** @param pattern lower case: "shop.example.com" or "*.example.com" @returns what stood there before */
  set(pattern: string, value: T): T | undefined {
    const wildcard = pattern.startsWith("*.");
    const map = wildcard ? this.#wildcards : this.#exact;
    const name = wildcard ? pattern.slice(2) : pattern;
    const before = map.get(name);
    map.set(name, value);
    return before;
  }

  get(pattern: string): T | undefined {
    return pattern.startsWith("*.") ? this.#wildcards.get(pattern.slice(2)) : this.#exact.get(pattern);
  }

  /** @param name lower case, without trailing dot; null: none was sent */
  find(name: string | null): T | null {
    return (name === null ? undefined : this.match(name)) ?? this.fallback;
  }

  /** Without the default. A wildcard stands for exactly one label (RFC 9525 §6.3). */
  match(name: string): T | undefined {
    const exact = this.#exact.get(name);
    if (exact !== undefined) return exact;
    const dot = name.indexOf(".");
    return dot > 0 ? this.#wildcards.get(name.slice(dot + 1)) : undefined;
  }

  *patterns(): Generator<readonly [pattern: string, value: T]> {
    yield* this.#exact;
    for (const [name, value] of this.#wildcards) yield [`*.${name}`, value];
  }
}

/** Whether a name is among some: "a.example", "*.example" (one label), ".example" (any depth) or "*" (any). */
export class NameSet {
  readonly #names = new NameTable<true>();
  readonly #below = new Set<string>();

  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) {
      if (pattern === "*") this.#names.fallback = true;
      else if (pattern.startsWith(".")) this.#below.add(pattern.slice(1));
      else this.#names.set(pattern, true);
    }
  }

  /** @param name lower case */
  has(name: string): boolean {
    if (this.#names.find(name) !== null) return true;
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
      if (this.#below.has(name.slice(dot + 1))) return true;
    }
    return false;
  }
}

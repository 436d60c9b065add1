/**
 * Host patterns and what they stand for. Of the patterns a host fits, the most particular decides:
 * the exact name, then "*.x" (exactly one label before x), then ".x" (any depth below x; the longest
 * first), then "~regex" in the order they were added, then "*", which is every host.
 *
 * Hosts are in lower case and without port, as `exchange.host` is.
 */
import { compileRegex, isRegex, readHostPattern } from "../config/pattern.ts";

export interface HostEntry<T> {
  /** In its tidy form. */
  readonly pattern: string;
  readonly value: T;
}

export class HostMap<T> {
  readonly #exact = new Map<string, HostEntry<T>>();
  /** By what follows the one label: ".example.com". */
  readonly #oneLabel = new Map<string, HostEntry<T>>();
  readonly #suffixes = new Map<string, HostEntry<T>>();
  readonly #regexes: { readonly regex: RegExp; readonly entry: HostEntry<T> }[] = [];
  #everyHost: HostEntry<T> | null = null;
  #longestSuffix = 0;

  /**
   * The first to claim a pattern keeps it.
   * @returns who had it already, or null
   * @throws {TypeError} if the text is not a host pattern
   */
  add(text: string, value: T): HostEntry<T> | null {
    const reading = readHostPattern(text);
    if ("problem" in reading) throw new TypeError(reading.problem);
    const entry: HostEntry<T> = { pattern: reading.text, value };
    if (entry.pattern === "*") {
      const before = this.#everyHost;
      this.#everyHost ??= entry;
      return before;
    }
    if (isRegex(entry.pattern)) {
      const before = this.#regexes.find((other) => other.entry.pattern === entry.pattern);
      if (before === undefined) this.#regexes.push({ regex: compileRegex(entry.pattern), entry });
      return before?.entry ?? null;
    }
    if (entry.pattern.startsWith("*.")) return claim(this.#oneLabel, entry.pattern.slice(1), entry);
    if (!entry.pattern.startsWith(".")) return claim(this.#exact, entry.pattern, entry);
    this.#longestSuffix = Math.max(this.#longestSuffix, entry.pattern.length);
    return claim(this.#suffixes, entry.pattern, entry);
  }

  find(host: string): HostEntry<T> | null {
    const exact = this.#exact.get(host);
    return exact === undefined ? this.#findPattern(host) : exact;
  }

  #findPattern(host: string): HostEntry<T> | null {
    if (this.#oneLabel.size > 0) {
      const dot = host.indexOf(".");
      const entry = dot > 0 ? this.#oneLabel.get(host.slice(dot)) : undefined;
      if (entry !== undefined) return entry;
    }
    if (this.#suffixes.size > 0) {
      // Only ends that are short enough are looked up: a host of a thousand dots costs no more than any other.
      let dot = host.indexOf(".", Math.max(1, host.length - this.#longestSuffix));
      for (; dot > 0; dot = host.indexOf(".", dot + 1)) {
        const entry = this.#suffixes.get(host.slice(dot));
        if (entry !== undefined) return entry;
      }
    }
    for (const { regex, entry } of this.#regexes) if (regex.test(host)) return entry;
    return this.#everyHost;
  }
}

function claim<T>(map: Map<string, HostEntry<T>>, key: string, entry: HostEntry<T>): HostEntry<T> | null {
  const before = map.get(key);
  if (before !== undefined) return before;
  map.set(key, entry);
  return null;
}

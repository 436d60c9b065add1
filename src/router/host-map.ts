/**
 * Host patterns and the numbers they stand for. Of the patterns a host fits, the most particular decides:
 * the exact name, then "*.x" (exactly one label before x), then ".x" (any depth below x; the longest
 * first), then "~regex" in the order they were added, then "*", which is every host.
 *
 * Hosts are in lower case and without port, as `exchange.host` is.
 */
import { compileRegex, isRegex, readHostPattern } from "../config/pattern.ts";
import { StringIndex } from "./string-index.ts";

interface HostEntry {
  /** In its tidy form. */
  readonly pattern: string;
  readonly value: number;
}

export class HostMap {
  readonly #exact = new StringIndex();
  /** By what follows the one label: ".example.com". */
  readonly #oneLabel = new Map<string, HostEntry>();
  readonly #suffixes = new Map<string, HostEntry>();
  readonly #regexes: { readonly regex: RegExp; readonly entry: HostEntry }[] = [];
  #everyHost: HostEntry | null = null;
  #longestSuffix = 0;

  /**
   * The first to claim a pattern keeps it.
   * @returns false if it was taken
   * @throws {TypeError} if the text is not a host pattern
   */
  add(text: string, value: number): boolean {
    const reading = readHostPattern(text);
    if ("problem" in reading) throw new TypeError(reading.problem);
    const pattern = reading.text;
    const entry: HostEntry = { pattern, value };
    if (pattern === "*") {
      const isFree = this.#everyHost === null;
      this.#everyHost ??= entry;
      return isFree;
    }
    if (isRegex(pattern)) {
      const isFree = this.#regexes.every((other) => other.entry.pattern !== pattern);
      if (isFree) this.#regexes.push({ regex: compileRegex(pattern), entry });
      return isFree;
    }
    if (pattern.startsWith("*.")) return claim(this.#oneLabel, pattern.slice(1), entry);
    if (!pattern.startsWith(".")) return this.#exact.add(pattern, value);
    this.#longestSuffix = Math.max(this.#longestSuffix, pattern.length);
    return claim(this.#suffixes, pattern, entry);
  }

  /** The number that the pattern that decides stands for; -1 if the host fits none. */
  find(host: string): number {
    const exact = this.#exact.find(host);
    return exact >= 0 ? exact : (this.#findPattern(host)?.value ?? -1);
  }

  /** The pattern that decides, in its tidy form. */
  patternFor(host: string): string | undefined {
    return this.#exact.find(host) >= 0 ? host : this.#findPattern(host)?.pattern;
  }

  #findPattern(host: string): HostEntry | null {
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

function claim<V>(map: Map<string, V>, key: string, value: V): boolean {
  if (map.has(key)) return false;
  map.set(key, value);
  return true;
}

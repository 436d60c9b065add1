/** Whether two host patterns can hold for one host; by the rules of host-map.ts. */
import { compileRegex, isRegex, readHostPattern } from "../config/pattern.ts";

/** Host patterns, of which it is asked whether another one may meet any: 5000 routes ask that of 1000 hosts. */
export class HostPatterns {
  readonly #texts: ReadonlySet<string>;
  readonly #regexes: readonly string[];
  readonly #known = new Map<string, boolean>();

  constructor(patterns: readonly string[]) {
    this.#texts = new Set(patterns.map(tidy));
    this.#regexes = [...this.#texts].filter(isRegex);
  }

  /** False only if it is sure. */
  mayMeet(pattern: string): boolean {
    let may = this.#known.get(pattern);
    if (may === undefined) {
      may = this.#search(tidy(pattern));
      this.#known.set(pattern, may);
    }
    return may;
  }

  #search(text: string): boolean {
    if (this.#texts.has(text) || this.#texts.has("*")) return true;
    if (text === "*" || isPattern(text)) return [...this.#texts].some((one) => tidyMayMeet(text, one));
    return wildcardsOf(text).some((one) => this.#texts.has(one)) || this.#regexes.some((one) => tidyMayMeet(text, one));
  }
}

/** All wildcards that hold for a name. */
function wildcardsOf(name: string): string[] {
  const wildcards: string[] = [];
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
    if (wildcards.length === 0) wildcards.push(`*${name.slice(dot)}`);
    wildcards.push(name.slice(dot));
  }
  return wildcards;
}

/** False only if it is sure: two regexes, or a regex and a wildcard, are not compared. */
export const mayMeet = (one: string, other: string): boolean => tidyMayMeet(tidy(one), tidy(other));

function tidyMayMeet(a: string, b: string): boolean {
  if (a === "*" || b === "*" || a === b) return true;
  if (isRegex(a) || isRegex(b)) {
    const [regex, text] = isRegex(a) ? [a, b] : [b, a];
    return isPattern(text) || compileRegex(regex).test(text);
  }
  return fits(a, b) || fits(b, a);
}

/** Does the pattern hold for all hosts of `text`, or, of two patterns, for some? */
function fits(pattern: string, text: string): boolean {
  const isOneLabel = pattern.startsWith("*.");
  if (!isOneLabel && !pattern.startsWith(".")) return pattern === text;
  const end = isOneLabel ? pattern.slice(1) : pattern;
  // What stands for one label, "*.a", is one label and ".a": it has the same dots as a host.
  if (!text.startsWith(".")) return isOneLabel ? text.slice(text.indexOf(".")) === end : text.endsWith(end);
  // Any depth below `text`: at least one label more than the dot shows.
  return isOneLabel ? end.endsWith(text) : text.endsWith(end);
}

const isPattern = (text: string): boolean => isRegex(text) || text.startsWith("*.") || text.startsWith(".");

function tidy(pattern: string): string {
  const reading = readHostPattern(pattern);
  return "text" in reading ? reading.text : pattern;
}

/** Whether two host patterns can hold for one host; by the rules of host-map.ts. */
import { compileRegex, isRegex, readHostPattern } from "../config/pattern.ts";

/** False only if it is sure: two regexes, or a regex and a wildcard, are not compared. */
export function mayMeet(one: string, other: string): boolean {
  const [a, b] = [tidy(one), tidy(other)];
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

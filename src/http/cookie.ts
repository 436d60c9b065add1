/** Reads `Cookie` (RFC 6265 §4.2, §5.4). */
import { type FieldSection, trimOws } from "./field-section.ts";

/**
 * The value of a cookie as sent, quotes included; undefined if there is none of that name. Of
 * several the first counts: user agents send the one with the longest path first.
 *
 * Field lines are looked at one by one: HTTP/2 clients may split the cookies over several lines,
 * and the ", " that joins other fields is no separator here.
 */
export function cookie(fields: FieldSection, name: string): string | undefined {
  for (const line of fields.getAll("cookie")) {
    const value = cookieInLine(line, name);
    if (value !== undefined) return value;
  }
  return undefined;
}

function cookieInLine(line: string, name: string): string | undefined {
  for (let at = line.indexOf(name); at >= 0; at = line.indexOf(name, at + 1)) {
    let before = at;
    while (before > 0 && isOws(line.charCodeAt(before - 1))) before--;
    if (before > 0 && line.charCodeAt(before - 1) !== 0x3b) continue; // ";"
    if (line.charCodeAt(at + name.length) !== 0x3d) continue; // "="
    const start = at + name.length + 1;
    const semicolon = line.indexOf(";", start);
    return trimOws(line.slice(start, semicolon < 0 ? undefined : semicolon));
  }
  return undefined;
}

const isOws = (code: number): boolean => code === 0x20 || code === 0x09;

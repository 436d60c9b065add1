/**
 * Values of Host that were found valid lately. Most requests name a host that one before them named: its octets are
 * compared with the text that was made then, which spares making, checking and hashing another.
 */
import "../../base/buffer.ts";

const PLACES = 256;
const texts: string[] = new Array<string>(PLACES).fill("");

/** @returns the valid value, in lower case, that these octets are; null if they are not known */
export function knownHost(octets: Uint8Array, start: number, end: number): string | null {
  const text = texts[place(octets[start]!, octets[(start + end) >> 1]!, octets[end - 1]!, end - start)]!;
  if (text.length !== end - start || start === end) return null;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== octets[start + i]) return null;
  return text;
}

/** @param host a valid value in lower case; in place of another one if need be */
export function rememberHost(host: string): void {
  const { length } = host;
  if (length === 0) return;
  // A copy: what was cut out of a head would keep all of it.
  const octets = Buffer.from(host, "latin1");
  texts[place(octets[0]!, octets[length >> 1]!, octets[length - 1]!, length)] = octets.latin1Slice(0, length);
}

const place = (first: number, middle: number, last: number, length: number): number =>
  (first * 31 + middle * 7 + last * 3 + length) & (PLACES - 1);

/** Writing DER (X.690), as much as certificates and revocation lists need. */

const encode = (tag: number, content: Uint8Array): Buffer => {
  const { length } = content;
  const size = length < 0x80 ? [length] : lengthOctets(length);
  return Buffer.concat([Uint8Array.from([tag, ...size]), content]);
};

function lengthOctets(length: number): number[] {
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return [0x80 | octets.length, ...octets];
}

export const sequence = (...parts: Uint8Array[]): Buffer => encode(0x30, Buffer.concat(parts));
export const set = (...parts: Uint8Array[]): Buffer => encode(0x31, Buffer.concat(parts));
export const octetString = (octets: Uint8Array): Buffer => encode(0x04, octets);
export const utf8 = (text: string): Buffer => encode(0x0c, Buffer.from(text));
export const boolean = (value: boolean): Buffer => encode(0x01, Uint8Array.of(value ? 0xff : 0));

/** A positive integer, from its octets. */
export function integer(octets: Uint8Array | number): Buffer {
  const digits =
    typeof octets === "number"
      ? Buffer.from(
          octets
            .toString(16)
            .padStart(2, "0")
            .replace(/^(.(..)*)$/, "0$1"),
          "hex",
        )
      : octets;
  return encode(0x02, digits.length === 0 || digits[0]! >= 0x80 ? Buffer.concat([Uint8Array.of(0), digits]) : digits);
}

/** @param unused bits at the end that do not count */
export const bitString = (octets: Uint8Array, unused = 0): Buffer =>
  encode(0x03, Buffer.concat([Uint8Array.of(unused), octets]));

/** [number] around something (constructed). */
export const explicit = (number: number, ...parts: Uint8Array[]): Buffer => encode(0xa0 | number, Buffer.concat(parts));

/** [number] instead of a tag (primitive). */
export const implicit = (number: number, octets: Uint8Array): Buffer => encode(0x80 | number, octets);

/** @example oid("2.5.4.3") */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  return encode(0x06, Uint8Array.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(number: number): number[] {
  const octets = [number % 128];
  for (let rest = Math.floor(number / 128); rest > 0; rest = Math.floor(rest / 128))
    octets.unshift(0x80 | (rest % 128));
  return octets;
}

/** RFC 5280 §4.1.2.5: two digits of year until 2049, four after. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  return date.getUTCFullYear() < 2050 ? encode(0x17, Buffer.from(digits.slice(2))) : encode(0x18, Buffer.from(digits));
}

export function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString("base64")
    .replace(/(.{64})(?=.)/g, "$1\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

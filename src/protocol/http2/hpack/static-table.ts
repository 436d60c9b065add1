/** The static table (RFC 7541 appendix A). */
import { HeaderField } from "./header-field.ts";

const ENTRIES: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** By index, which begins at 1. */
export const staticTable: readonly (HeaderField | null)[] = [
  null,
  ...ENTRIES.map(([name, value]) => HeaderField.of(name, value)),
];

export const STATIC_LENGTH = ENTRIES.length;

const indexOfName = new Map<string, number>();
const indexOfField = new Map<string, number>();
ENTRIES.forEach(([name, value], i) => {
  if (!indexOfName.has(name)) indexOfName.set(name, i + 1);
  indexOfField.set(`${name}: ${value}`, i + 1);
});

/** The first index with this name; 0 if there is none. */
export function staticNameIndex(name: string): number {
  return indexOfName.get(name) ?? 0;
}

/** The index of this name with this value; 0 if there is none. */
export function staticFieldIndex(name: string, value: string): number {
  return indexOfField.get(`${name}: ${value}`) ?? 0;
}

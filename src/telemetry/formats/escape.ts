/**
 * Keeps a value from breaking out of its log line. Field values cannot hold CR or LF, but decoded
 * paths, parameters and cookies can; and a terminal that shows the log obeys the control
 * characters up to U+009F.
 */

/** What `escapeControls` and `escapeQuoted` have to look at. */
const CONTROL = /[\x00-\x1f\x7f-\x9f]/g;
const QUOTED = /[\x00-\x1f"\\\x7f-\x9f]/g;
const BEYOND_JSON = /[\x7f-\x9f]/g;

/** As a JSON string with its quotes. */
export function jsonString(value: string): string {
  if (isPlain(value)) return `"${value}"`;
  return JSON.stringify(value).replace(BEYOND_JSON, (char) => `\\u00${hex(char)}`);
}

/** For a place between double quotes, as Apache writes it. */
export function escapeQuoted(value: string): string {
  if (isPlain(value)) return value;
  return value.replace(QUOTED, (char) => (char === '"' || char === "\\" ? `\\${char}` : `\\x${hex(char)}`));
}

/** For a whole line: quotes stay. */
export function escapeControls(line: string): string {
  return isPlain(line) ? line : line.replace(CONTROL, (char) => `\\x${hex(char)}`);
}

/** One pass without allocation, for the values of nearly every request. */
function isPlain(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || code === 0x22 || code === 0x5c || code >= 0x7f) return false;
  }
  return true;
}

const hex = (char: string): string => char.charCodeAt(0).toString(16).padStart(2, "0");

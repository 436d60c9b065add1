/**
 * The octet classes of RFC 9110 §5.6 and RFC 9112 as tables, so that each octet of a head costs
 * one load and one test.
 */

const TOKEN_EXTRA = "!#$%&'*+-.^_`|~";

/** 0 = not a tchar (RFC 9110 §5.6.2); otherwise the octet in lower case. */
export const tokenLower = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const char = String.fromCharCode(c);
  if (/[0-9A-Za-z]/.test(char) || TOKEN_EXTRA.includes(char)) tokenLower[c] = char.toLowerCase().charCodeAt(0);
}

/** 1 = may stand in a field value: VCHAR, obs-text, SP, HTAB (RFC 9110 §5.5). */
export const fieldValueOctet = new Uint8Array(256);
for (let c = 0; c < 256; c++) fieldValueOctet[c] = c === 0x09 || (c >= 0x20 && c !== 0x7f) ? 1 : 0;

/**
 * 1 = may stand in a request target. Visible ASCII except `"`, `<`, `>`, `\\` and `#`: stricter
 * than what browsers may send in a query only for the backslash, looser than RFC 3986 for
 * ``{ } | ^ ` `` which they do send raw.
 */
export const targetOctet = new Uint8Array(256);
for (let c = 0x21; c < 0x7f; c++) targetOctet[c] = '"<>\\#'.includes(String.fromCharCode(c)) ? 0 : 1;

export function isToken(text: string): boolean {
  if (text.length === 0) return false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || tokenLower[code] === 0) return false;
  }
  return true;
}

export function isFieldValue(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || fieldValueOctet[code] === 0) return false;
  }
  return true;
}

/**
 * Reads parameters of a query: `name=value` pairs between "&", percent-encoded, with "+" for a
 * space, as forms write them (WHATWG URL, application/x-www-form-urlencoded).
 */

/** The first decoded value of a parameter; "" for one without "=", undefined if there is none. */
export function queryParameter(query: string, name: string): string | undefined {
  let start = 0;
  while (start < query.length) {
    const end = pairEnd(query, start);
    const value = valueIfNamed(query, start, end, name);
    if (value !== undefined) return value;
    start = end + 1;
  }
  return undefined;
}

/** Every decoded value of a parameter, in order. */
export function queryParameters(query: string, name: string): string[] {
  const values: string[] = [];
  let start = 0;
  while (start < query.length) {
    const end = pairEnd(query, start);
    const value = valueIfNamed(query, start, end, name);
    if (value !== undefined) values.push(value);
    start = end + 1;
  }
  return values;
}

function pairEnd(query: string, start: number): number {
  const end = query.indexOf("&", start);
  return end < 0 ? query.length : end;
}

function valueIfNamed(query: string, start: number, end: number, name: string): string | undefined {
  if (start === end) return undefined;
  const equals = query.indexOf("=", start);
  const nameEnd = equals < 0 || equals > end ? end : equals;
  if (decodeFormText(query.slice(start, nameEnd)) !== name) return undefined;
  return nameEnd === end ? "" : decodeFormText(query.slice(nameEnd + 1, end));
}

/** Octets that are not UTF-8 become U+FFFD and a stray "%" stays: a query is never refused for its spelling. */
function decodeFormText(text: string): string {
  if (text.includes("+")) text = text.replaceAll("+", " ");
  if (!text.includes("%")) return text;
  return text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (escapes) =>
    Buffer.from(escapes.replaceAll("%", ""), "hex").toString("utf8"),
  );
}

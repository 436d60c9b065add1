/**
 * Makes values of variables safe for the content or the URI reference they are put into. A value
 * may come from the client; the text around it is the config's and stays as it is.
 */
import { encodePath } from "../http/target.ts";
import type { EscapeFor } from "../http/variable.ts";
import { utf8Octets } from "./field-value.ts";

/** For content of this type: HTML and XML markup, JSON strings, or nothing to escape. */
export function contentEscape(contentType: string): EscapeFor | null {
  const type = contentType.split(";", 1)[0]!.trim().toLowerCase();
  if (type === "text/html" || type.endsWith("/xml") || type.endsWith("+xml")) return () => escapeMarkup;
  if (type === "application/json" || type.endsWith("+json")) return () => escapeJsonString;
  return null;
}

const MARKUP: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Also within a quoted attribute. */
export function escapeMarkup(text: string): string {
  return text.replace(/[&<>"']/g, (char) => MARKUP[char]!);
}

/** Between the quotes of a JSON string. */
export function escapeJsonString(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/**
 * Within a URI reference. Paths and path parameters are decoded text and are encoded anew, a query
 * parameter becomes one component; everything else is text of the request, where only what no URI
 * may hold is encoded, CR and LF among it.
 */
export const uriEscape: EscapeFor = (name) => {
  if (name === "request.path" || name.startsWith("param.")) return (value) => encodePath(value.toWellFormed());
  if (name.startsWith("request.query.")) return (value) => encodeURIComponent(value.toWellFormed());
  return encodeForbidden;
};

/** Percent-encodes what RFC 3986 allows nowhere; a "%" stays. */
export function encodeForbidden(text: string): string {
  return text.replace(/[^A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+/g, (part) => encodeOctets(utf8Octets(part)));
}

function encodeOctets(octets: string): string {
  let out = "";
  for (let i = 0; i < octets.length; i++) out += `%${octets.charCodeAt(i).toString(16).toUpperCase().padStart(2, "0")}`;
  return out;
}

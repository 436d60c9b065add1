/**
 * The request target for matching (RFC 9112 §3.2, RFC 3986 §6.2.2).
 *
 * Rules compare a path in one normal form, so that no spelling of a path can step around a rule:
 *  1. `;params` of each segment are dropped (some origin servers ignore them, even in `..;`);
 *  2. `%XX` is decoded once; an encoded slash or backslash counts as "/", NUL is refused;
 *  3. empty segments (`//`) are merged, `.` and `..` are resolved; climbing above the root is refused.
 * The origin server still gets the target as it was sent unless a rewrite says otherwise.
 */
import { Failure } from "../base/failure.ts";

/**
 * The normal form of an origin-form path, without query.
 * @throws {Failure} `request-malformed` on a bad escape, an encoded NUL, or `..` above the root
 *
 * @example normalizePath("/a/%2e%2e/b//c;v=1") // "/b/c"
 */
export function normalizePath(path: string): string {
  return isNormal(path) ? path : normalize(path);
}

/** True if the path holds nothing that normalising would touch. The common case; one pass, no allocation. */
function isNormal(path: string): boolean {
  let previous = 0;
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === 0x25 || code === 0x3b || code === 0x5c) return false; // % ; \
    if (previous === 0x2f && (code === 0x2f || code === 0x2e)) return false; // "//" "/."
    previous = code;
  }
  return true;
}

function normalize(path: string): string {
  const segments: string[] = [];
  const parts = decodePath(path).split("/");
  for (let i = 1; i < parts.length; i++) {
    const segment = parts[i]!;
    const last = i === parts.length - 1;
    if (segment === "..") {
      if (segments.length === 0) throw new Failure("request-malformed", `the request target climbs above the root: ${path}`);
      segments.pop();
      if (last) segments.push("");
    } else if (segment === "." || segment === "") {
      if (last) segments.push("");
    } else segments.push(segment);
  }
  return `/${segments.join("/")}`;
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function decodePath(path: string): string {
  const withoutParams = path.replace(/;[^/]*/g, "");
  const decoded = withoutParams.replace(/(?:%[0-9A-Fa-f]{2})+|%/g, (escapes) => {
    if (escapes.length < 3) throw new Failure("request-malformed", `"%" without two hexadecimal digits in the request target: ${path}`);
    const octets = Buffer.from(escapes.replaceAll("%", ""), "hex");
    if (octets.includes(0)) throw new Failure("request-malformed", `an encoded NUL in the request target: ${path}`);
    try {
      return decoder.decode(octets).replace(/;[^/\\]*/g, "");
    } catch {
      return octets.toString("latin1"); // Not UTF-8: octets as they are, so that they still compare equal.
    }
  });
  return decoded.replaceAll("\\", "/");
}

/** Writes a normal-form path as a request target again: what may not stand raw is percent-encoded. */
export function encodePath(path: string): string {
  return path.replace(/[^A-Za-z0-9\-._~!$&'()*+,=:@/]+/g, (text) => encodeURIComponent(text));
}

/** The path of a target without query. */
export function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}

/** The query of a target without "?", or "" if there is none. */
export function queryOf(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? "" : target.slice(query + 1);
}

/** Host of an authority without port; IPv6 keeps its brackets. A trailing dot is dropped. */
export function hostOf(authority: string): string {
  let end = authority.length;
  const colon = authority.lastIndexOf(":");
  if (colon > authority.lastIndexOf("]")) end = colon;
  if (end > 1 && authority.charCodeAt(end - 1) === 0x2e) end--;
  return end === authority.length ? authority : authority.slice(0, end);
}

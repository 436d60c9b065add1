/**
 * The request target for matching (RFC 9112 §3.2, RFC 3986 §6.2.2).
 *
 * Rules compare a path in one normal form, so that no spelling of a path can step around a rule:
 *  1. `%XX` is decoded once; an encoded slash or backslash counts as "/", NUL is refused;
 *  2. `;params` of each segment are dropped, whether ";" is encoded or not;
 *  3. empty segments (`//`) are merged, `.` and `..` are resolved; climbing above the root is refused.
 *
 * The origin server still gets the target as it was sent unless a rewrite says otherwise, and some
 * read it otherwise: one takes `..;` for a name, another for a step up. Where two readings would
 * lead to different places (`/admin/..;/public` is /admin/… for the one, /public for the other) no
 * normal form is safe, and as nobody means such a path well it is refused: dot segments with
 * parameters or beside an encoded slash, `..` that takes back an empty segment or one with an
 * encoded slash, an encoded slash within parameters, separators in overlong UTF-8.
 */
import { Failure } from "../base/failure.ts";

/**
 * The normal form of an origin-form path, without query.
 * @throws {Failure} `request-malformed` on a bad escape, an encoded NUL, `..` above the root, or a
 *                   path that origin servers would read in different ways
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
  /** What each raw segment stands for; "" for an empty one, "a/b" for one with an encoded slash. */
  const segments: string[] = [];
  let endsWithSlash = false;
  for (const raw of path.slice(1).split("/")) {
    const decoded = decodeSegment(raw, path);
    if (decoded === "..") stepUp(segments, path);
    else if (decoded !== ".") segments.push(withoutParams(decoded, path));
    endsWithSlash = decoded === "." || decoded === ".." || /(?:^|\/)$/.test(segments[segments.length - 1]!);
  }
  const joined = segments
    .join("/")
    .replace(/\/{2,}/g, "/")
    .replace(/^\/|\/$/g, "");
  return endsWithSlash && joined !== "" ? `/${joined}/` : `/${joined}`;
}

function stepUp(segments: string[], path: string): void {
  const left = segments.pop();
  if (left === undefined) throw malformed("the request target climbs above the root", path);
  if (left === "" || left.includes("/")) throw malformed(`".." in the request target can be read in two ways`, path);
}

/** A decoded segment without `;params`; a backslash as "/". */
function withoutParams(segment: string, path: string): string {
  if (!SPECIAL.test(segment)) return segment;
  const semicolon = segment.indexOf(";");
  if (semicolon >= 0 && /[/\\]/.test(segment.slice(semicolon)))
    throw malformed(`";" in the request target is followed by an encoded slash`, path);
  const name = (semicolon < 0 ? segment : segment.slice(0, semicolon)).replaceAll("\\", "/");
  if (name.split("/").some((part) => part === "." || part === ".."))
    throw malformed("a disguised dot segment in the request target", path);
  return name;
}

const SPECIAL = /[;/\\]/;
// The decoder would swallow a leading U+FEFF, and "%EF%BB%BF.." would pass for "..".
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeSegment(segment: string, path: string): string {
  if (!segment.includes("%")) return segment;
  return segment.replace(/(?:%[0-9A-Fa-f]{2})+|%/g, (escapes) => {
    if (escapes.length < 3) throw malformed(`"%" without two hexadecimal digits in the request target`, path);
    const octets = Buffer.from(escapes.replaceAll("%", ""), "hex");
    if (octets.includes(0)) throw malformed("an encoded NUL in the request target", path);
    try {
      return decoder.decode(octets);
    } catch {
      const text = octets.toString("latin1");
      if (OVERLONG.test(text)) throw malformed("overlong UTF-8 in the request target", path);
      return text.replace(UTF8_SEQUENCE, (sequence) => Buffer.from(sequence, "latin1").toString());
    }
  });
}

/**
 * The characters beyond ASCII in a text of octets (RFC 3629 §4). Octets outside of them stay as they
 * are, so that they still compare equal; one of them in a path does not change how the rest reads.
 */
const UTF8_SEQUENCE =
  /[\xc2-\xdf][\x80-\xbf]|(?:\xe0[\xa0-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xed[\x80-\x9f])[\x80-\xbf]|(?:\xf0[\x90-\xbf]|[\xf1-\xf3][\x80-\xbf]|\xf4[\x80-\x8f])[\x80-\xbf]{2}/g;

/**
 * NUL, ".", "/", ";" or "\\" in more octets than they need (RFC 3629 §3), as a lax decoder would still
 * take them. Only these: the same pairs of octets are letters in EUC-KR and GBK.
 */
const OVERLONG = /(?:\xc0|\xe0\x80|\xf0\x80\x80)[\x80\xae\xaf\xbb]|(?:\xc1|\xe0\x81|\xf0\x80\x81)\x9c/;

const malformed = (what: string, path: string): Failure => new Failure("request-malformed", `${what}: ${path}`);

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
  if (authority !== lastAuthority) {
    lastHost = withoutPort(authority);
    lastAuthority = authority;
  }
  return lastHost;
}

/** The same authority comes again and again. */
let lastAuthority = "";
let lastHost = "";

function withoutPort(authority: string): string {
  let end = authority.length;
  const colon = authority.lastIndexOf(":");
  if (colon > authority.lastIndexOf("]")) end = colon;
  if (end > 1 && authority.charCodeAt(end - 1) === 0x2e) end--;
  return end === authority.length ? authority : authority.slice(0, end);
}

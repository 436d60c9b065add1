/**
 * Host and request target (RFC 9112 §3.2): which authority and which path a request is for.
 *
 * Exactly one valid Host in HTTP/1.1. An absolute-form target wins over Host. authority-form is
 * for CONNECT alone, asterisk-form for OPTIONS alone.
 */
import { isIPv6 } from "node:net";
import { Failure } from "../../base/failure.ts";

export interface TargetParts {
  authority: string;
  target: string;
}

/**
 * @param host value of the Host field; null if there is none
 * @param version 10 or 11
 * @throws {Failure} request-malformed
 */
export function resolveTarget(method: string, target: string, host: string | null, version: number): TargetParts {
  if (host === null) {
    if (version >= 11) throw malformed("no Host field (RFC 9112 §3.2)");
  } else if (!isAuthority(host)) throw malformed(`Host is not a host and an optional port: ${JSON.stringify(host)}`);
  const first = target.charCodeAt(0);
  if (method === "CONNECT") {
    if (!/:\d{1,5}$/.test(target) || !isAuthority(target))
      throw malformed(`the target of CONNECT is not host:port: ${target}`);
    return { authority: lower(target), target };
  }
  if (first === 0x2f) return { authority: host === null ? "" : lower(host), target };
  if (first === 0x2a && target.length === 1) {
    if (method !== "OPTIONS") throw malformed("the target * is for OPTIONS only");
    return { authority: host === null ? "" : lower(host), target };
  }
  return absoluteForm(method, target);
}

function absoluteForm(method: string, target: string): TargetParts {
  const match = /^https?:\/\/([^/?]*)(.*)$/i.exec(target);
  if (match === null) throw malformed(`the request target is neither a path nor an http URI: ${target.slice(0, 60)}`);
  const authority = match[1]!;
  if (authority === "" || !isAuthority(authority))
    throw malformed(`no valid authority in the request target: ${target.slice(0, 60)}`);
  const rest = match[2]!;
  // RFC 9112 §3.2.4: OPTIONS on an authority without path means the server as a whole.
  const path = rest === "" ? (method === "OPTIONS" ? "*" : "/") : rest.startsWith("?") ? `/${rest}` : rest;
  return { authority: lower(authority), target: path };
}

/** 1 = may stand in a reg-name or IPv4 address: unreserved, sub-delims, "%" (RFC 3986 §3.2.2); 2 = upper case. */
const hostOctet = new Uint8Array(128);
for (const char of "abcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%") hostOctet[char.charCodeAt(0)] = 1;
for (const char of "ABCDEFGHIJKLMNOPQRSTUVWXYZ") hostOctet[char.charCodeAt(0)] = 2;

const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;

/** True for "host", "host:port", "[v6]" and "[v6]:port"; no userinfo, not empty. */
export function isAuthority(text: string): boolean {
  let at = 0;
  if (text.charCodeAt(0) === 0x5b) {
    const end = text.indexOf("]");
    // A zone identifier ("%eth0") means something on the client's machine only.
    if (!isIPv6(text.slice(1, Math.max(end, 1))) || text.includes("%")) return false;
    at = end + 1;
  } else {
    while (at < text.length && text.charCodeAt(at) < 128 && hostOctet[text.charCodeAt(at)] !== 0) at++;
    if (at === 0 || (text.includes("%") && BAD_ESCAPE.test(text))) return false;
  }
  if (at === text.length) return true;
  if (text.charCodeAt(at) !== 0x3a || text.length - at > 6) return false;
  let port = 0;
  for (at++; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65535;
}

/** Lower case without making a new string when there is nothing to change. */
function lower(text: string): string {
  for (let i = 0; i < text.length; i++) if (hostOctet[text.charCodeAt(i)] === 2) return text.toLowerCase();
  return text;
}

const malformed = (message: string): Failure => new Failure("request-malformed", message);

/**
 * What a request is for (RFC 9113 §8.3.1, §8.5, RFC 8441 §4): the rules that hold between the
 * pseudo-fields, and between them and Host. They are those of an HTTP/1 request target
 * (http1/request-target.ts): what goes on to an origin server must mean the same to it. A head that
 * keeps them becomes an exchange here, in HTTP/2 and HTTP/3 alike.
 */
import { Failure } from "../../base/failure.ts";
import { clock } from "../../base/timer.ts";
import { NO_BODY } from "../../http/body.ts";
import { type ClientInfo, Exchange } from "../../http/exchange.ts";
import { Field } from "../../http/field-name.ts";
import { targetOctet, tokenLower } from "../../http/grammar.ts";
import { HttpRequest, type Scheme } from "../../http/message.ts";
import { isAuthority } from "../http1/request-target.ts";
import type { MessageHead } from "./message-head.ts";

export class RequestTarget {
  method = "";
  /** In lower case. */
  authority = "";
  target = "";
  /** Of extended CONNECT; null: it is none. */
  protocol: string | null = null;

  /** @returns why the request is malformed (RFC 9113 §8.1.1); null: it is not */
  resolve(head: MessageHead): string | null {
    const { method, scheme, path, protocol, host } = head;
    if (head.problem !== null) return head.problem;
    if (method === null) return "no :method (RFC 9113 §8.3.1)";
    if (!isMethod(method)) return `:method of ${JSON.stringify(method)}`;
    const isConnect = method === "CONNECT";
    if (protocol !== null && !isConnect) return ":protocol without CONNECT (RFC 8441 §4)";
    if (isConnect && protocol === null) {
      if (scheme !== null || path !== null) return ":scheme or :path in CONNECT (RFC 9113 §8.5)";
      if (head.authority === null) return "no :authority in CONNECT (RFC 9113 §8.5)";
    } else if (scheme === null || path === null) return `no ${scheme === null ? ":scheme" : ":path"} (RFC 9113 §8.3.1)`;
    else if (scheme !== "http" && scheme !== "https") return `:scheme of ${JSON.stringify(scheme)}`;
    else if (!isPath(path, method)) return `:path of ${JSON.stringify(path.slice(0, 60))}`;
    const authority = lower(head.authority ?? host ?? "");
    if (!isAuthority(authority))
      return authority === "" ? "no :authority and no Host" : `:authority of ${JSON.stringify(authority)}`;
    // Two parsers could take one each: RFC 9113 §8.3.1.
    if (host !== null && head.authority !== null && lower(host) !== authority)
      return `:authority is ${authority}, Host is ${JSON.stringify(host)}`;
    if (isConnect && protocol === null && !/:\d{1,5}$/.test(authority)) return `CONNECT to ${authority} without a port`;
    // RFC 9113 §8.3.1: whoever reads the section finds the authority where HTTP/1 has it.
    if (host === null) head.add(Field.host, "host", authority);
    this.method = method;
    this.authority = authority;
    this.target = path ?? authority;
    this.protocol = protocol;
    if (protocol !== null && !isMethod(protocol)) return `:protocol of ${JSON.stringify(protocol)}`;
    return null;
  }
}

/**
 * The exchange of a head that is well-formed: what `target` made of it, with no content as yet. Extended CONNECT
 * becomes the GET with Upgrade that all rooms know; its handshake is the stream's business.
 * @throws {Failure} `expectation-failed`, and others that have an answer: the head can be read, and is not accepted
 */
export function exchangeOf(
  head: MessageHead,
  target: RequestTarget,
  client: ClientInfo,
  protocol: "HTTP/2" | "HTTP/3",
  scheme: Scheme,
): Exchange {
  if (head.otherExpectation !== null)
    throw new Failure("expectation-failed", `Expect: ${head.otherExpectation} cannot be met`);
  head.end();
  // Only now: the field of the authority, and cookies in one line, are counted too.
  if (head.tooLarge !== null) throw head.tooLarge;
  const method = target.protocol === null ? target.method : "GET";
  const request = new HttpRequest(method, scheme, target.authority, target.target, head.fields, NO_BODY);
  request.acceptsTrailers = head.teTrailers;
  request.upgrade = target.protocol;
  return new Exchange(client, protocol, request, clock.now);
}

function isMethod(text: string): boolean {
  if (text === "GET" || text === "POST") return true;
  for (let i = 0; i < text.length; i++) if (tokenLower[text.charCodeAt(i)] === 0) return false;
  return text.length > 0;
}

function isPath(path: string, method: string): boolean {
  if (path.charCodeAt(0) !== 0x2f) return path === "*" && method === "OPTIONS";
  for (let i = 1; i < path.length; i++) if (targetOctet[path.charCodeAt(i)] !== 1) return false;
  return true;
}

/** Lower case without making a new string when there is nothing to change. */
function lower(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x41 && code <= 0x5a) return text.toLowerCase();
  }
  return text;
}

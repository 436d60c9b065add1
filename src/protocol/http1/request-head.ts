/**
 * From a decoded head to the request that it makes: which resource it is for, whether content follows, and
 * whether the client asks for another protocol.
 *
 * RFC 9112 §3.2 (target), §6.1 and §6.3 (framing); RFC 9110 §7.6.1 (Connection), §7.8 (Upgrade).
 */
import { Failure } from "../../base/failure.ts";
import { NO_BODY } from "../../http/body.ts";
import { HttpRequest, type Scheme } from "../../http/message.ts";
import type { HeadDecoder } from "./head-decoder.ts";
import { rememberHost } from "./known-hosts.ts";
import { resolveTarget } from "./request-target.ts";

/** HTTP/2 without TLS: a tunnel in which no rule of the gateway holds, and retired (RFC 9113 §3.1). */
const H2C = /(?:^|[ \t,])h2c(?:$|[ \t,/])/i;

/**
 * The request of the head that was decoded last; its content is the connection's business.
 * @throws {Failure} `request-malformed` if it says two things about its target or its content
 */
export function requestOf(head: HeadDecoder, scheme: Scheme): HttpRequest {
  const { method, version, fields, upgrade } = head;
  const request = new HttpRequest(method, scheme, "", head.target, fields, NO_BODY);
  const { knownAuthority } = head;
  if (knownAuthority !== null && isOriginForm(head)) request.authority = knownAuthority;
  else resolve(request, head);
  checkFraming(head);
  if (head.otherOptions !== null) for (const name of head.otherOptions) fields.delete(name);
  request.acceptsTrailers = head.teTrailers;
  if (head.contentLength === 0) request.hasEmptyContent = true;
  if (head.upgradeOption && version >= 11 && !hasContent(head) && upgrade && !H2C.test(upgrade))
    request.upgrade = upgrade;
  return request;
}

const isOriginForm = ({ method, target }: HeadDecoder): boolean =>
  target.charCodeAt(0) === 0x2f && method !== "CONNECT";

function resolve(request: HttpRequest, head: HeadDecoder): void {
  const { method, host, version } = head;
  const { target, authority } = resolveTarget(method, head.target, host, version);
  request.target = target;
  request.authority = authority;
  if (host !== null && host === authority) rememberHost(host);
}

/** Two parsers could find different ends: what leaves a doubt is refused (RFC 9112 §6.3). */
function checkFraming(head: HeadDecoder): void {
  if (head.hasTransferEncoding) {
    if (head.contentLength >= 0)
      throw new Failure("request-malformed", "both Transfer-Encoding and Content-Length (RFC 9112 §6.1)");
    if (head.version < 11 || !head.chunked)
      throw new Failure("request-malformed", "Transfer-Encoding in an HTTP/1.0 request (RFC 9112 §6.1)");
  }
  if (head.method === "CONNECT" && hasContent(head))
    throw new Failure("request-malformed", "content in a CONNECT request (RFC 9110 §9.3.6)");
}

const hasContent = ({ chunked, contentLength }: HeadDecoder): boolean => chunked || contentLength > 0;

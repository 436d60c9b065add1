/**
 * Which content a response has, and where it ends (RFC 9112 §6.3). What leaves a doubt is refused: whoever reads
 * the same octets in another way would take a part of one response for the next.
 */
import { Failure } from "../../base/failure.ts";
import { Field } from "../../http/field-name.ts";
import type { HeadDecoder } from "./head-decoder.ts";

/** How the end of the content is told. */
export const Framing = { none: 0, length: 1, chunked: 2, close: 3, tunnel: 4 } as const;

/**
 * The framing of the final response whose head was decoded last.
 * @param method   of its request
 * @param upgrade  what its request asked for; null: nothing
 * @throws {Failure} `upstream-malformed`
 */
export function framingOf(head: HeadDecoder, method: string, upgrade: string | null): number {
  const { status, contentLength, hasTransferEncoding } = head;
  if (status === 101) {
    if (upgrade === null)
      throw new Failure("upstream-malformed", "101 Switching Protocols without an Upgrade in the request");
    if (!head.fields.hasKnown(Field.upgrade))
      throw new Failure("upstream-malformed", "101 Switching Protocols without an Upgrade field");
    return Framing.tunnel;
  }
  if (method === "CONNECT" && status < 300) return Framing.tunnel;
  if (method === "HEAD" || status === 204 || status === 304) return Framing.none;
  if (hasTransferEncoding) {
    if (contentLength >= 0)
      throw new Failure("upstream-malformed", "both Transfer-Encoding and Content-Length (RFC 9112 §6.1)");
    if (!head.chunked) throw new Failure("upstream-malformed", "a Transfer-Encoding other than chunked");
    return Framing.chunked;
  }
  return contentLength >= 0 ? Framing.length : Framing.close;
}

/** Whether the connection may carry another request after this response (RFC 9112 §9.3). */
export function isPersistent({ version, close, keepAlive }: HeadDecoder, framing: number): boolean {
  if (close || framing === Framing.close || framing === Framing.tunnel) return false;
  if (version >= 11) return true;
  // RFC 9112 §6.1: the framing of a Transfer-Encoding in HTTP/1.0 is not to be trusted.
  return keepAlive && framing !== Framing.chunked;
}

/**
 * Reads all responses of a connection strictly, without knowing the requests: those that were sent are
 * broken, so only the gateway knows which it took for what.
 */
import { framingOf, parseHead, show } from "../support/message-reader.ts";

/**
 * A response whose content does not follow its head, but the next one or the end, is taken for the answer
 * to a HEAD request.
 *
 * @param isWhole the connection ended in order: what follows the last response must not be a piece of one
 * @returns the statuses, interim ones too
 * @throws {Error} at whatever is no response, or none of our writing
 */
export function readResponses(octets: Buffer, isWhole: boolean): number[] {
  const statuses: number[] = [];
  for (let at = 0; at < octets.length; ) {
    const rest = octets.subarray(at);
    const response = readResponse(rest);
    if (response === null) {
      if (isWhole) throw new Error(`truncated: ${show(rest)}`);
      break;
    }
    statuses.push(response.status);
    at += response.octets;
  }
  return statuses;
}

/** null if there is only a piece of it. */
function readResponse(octets: Buffer): { readonly status: number; readonly octets: number } | null {
  const end = octets.indexOf("\r\n\r\n") + 4;
  if (end < 4) {
    if (!"HTTP/1.1 ".startsWith(octets.toString("latin1", 0, 9))) throw new Error(`no response: ${show(octets)}`);
    return null;
  }
  const head = parseHead(octets.toString("latin1", 0, end));
  const status = Number(/^HTTP\/1\.1 ([1-5]\d\d) [\x20-\x7e]*$/.exec(head.startLine)?.[1]);
  if (Number.isNaN(status)) throw new Error(`no response: ${show(octets)}`);
  const { framing, length } = framingOf(head, { method: "GET", status });
  const rest = octets.subarray(end);
  const isWithout = rest.length === 0 || rest.toString("latin1", 0, 9) === "HTTP/1.1 ";
  if (framing === "none" || isWithout) return { status, octets: end };
  if (framing === "close") return { status, octets: octets.length };
  const content = framing === "chunked" ? chunkedLength(rest) : length;
  return content === null || content > rest.length ? null : { status, octets: end + content };
}

/** Octets of chunked content with its framing; null if it is not complete. */
function chunkedLength(octets: Buffer): number | null {
  for (let at = 0; ; ) {
    const line = octets.indexOf("\r\n", at);
    if (line < 0) return null;
    const size = octets.toString("latin1", at, line);
    if (!/^[0-9a-f]{1,13}$/i.test(size)) throw new Error(`chunk size line ${JSON.stringify(size)}`);
    const end = line + 2 + Number.parseInt(size, 16);
    if (octets.length < end + 2) return null;
    // The last chunk is followed by trailer fields, which the gateway passes on here to nobody.
    if (octets.toString("latin1", end, end + 2) !== "\r\n") throw new Error(`no end of a chunk: ${show(octets)}`);
    at = end + 2;
    if (end === line + 2) return at;
  }
}

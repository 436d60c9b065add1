/** The content of a 206 with several ranges: `multipart/byteranges` (RFC 9110 §14.6). */
import type { ByteRange } from "./byte-range.ts";
import type { Piece } from "./file-body.ts";

interface Multipart {
  readonly contentType: string;
  readonly pieces: readonly Piece[];
  /** Octets in all. */
  readonly length: number;
}

export function multipart(ranges: readonly ByteRange[], size: number, contentType: string): Multipart {
  // Random, so that no content can hold it but by chance of 1 in 2^122.
  const boundary = crypto.randomUUID().replaceAll("-", "");
  const pieces: Piece[] = [];
  for (const range of ranges) {
    const head = `\r\n--${boundary}\r\ncontent-type: ${contentType}\r\ncontent-range: ${contentRange(range, size)}\r\n\r\n`;
    pieces.push(Buffer.from(pieces.length === 0 ? head.slice(2) : head, "latin1"), range);
  }
  pieces.push(Buffer.from(`\r\n--${boundary}--\r\n`));
  return { contentType: `multipart/byteranges; boundary=${boundary}`, pieces, length: lengthOf(pieces) };
}

export function contentRange({ start, end }: ByteRange, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}

export function lengthOf(pieces: readonly Piece[]): number {
  let length = 0;
  for (const piece of pieces) length += piece instanceof Uint8Array ? piece.length : piece.end - piece.start;
  return length;
}

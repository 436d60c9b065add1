/**
 * Reads a ClientHello before the TLS library does: the server name decides which certificate,
 * versions and client certificates apply, and which of them do cannot be changed once the library
 * has begun. What is not a ClientHello is refused here, and costs a read.
 *
 * RFC 8446 §4.1.2, §5.1 (records); RFC 6066 §3 (server name); RFC 7301 §3.1 (ALPN).
 */

export interface ClientHello {
  /** Lower case, without a trailing dot; null if the client sent none. */
  readonly serverName: string | null;
  /** As offered, best first; empty if the client sent none. */
  readonly alpn: readonly string[];
  /** The highest version offered: 0x0303 is TLS 1.2, 0x0304 TLS 1.3. */
  readonly version: number;
}

/** More than any client sends, post-quantum key shares included. */
const MOST_OCTETS = 16 * 1024;
const MOST_RECORD = 16 * 1024;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
const SUPPORTED_VERSIONS = 43;

/** Says why it is none. */
export class NotAClientHello extends Error {
  /** TLS alert that answers it (RFC 8446 §6); 0: the peer does not speak TLS. */
  readonly alert: number;

  constructor(reason: string, alert: number) {
    super(reason);
    this.alert = alert;
  }
}

const DECODE_ERROR = 50;
const UNEXPECTED_MESSAGE = 10;
const ILLEGAL_PARAMETER = 47;

/**
 * @param octets  everything received so far; may go on beyond the ClientHello
 * @returns null if more is needed
 * @throws {NotAClientHello}
 */
export function readClientHello(octets: Uint8Array): ClientHello | null {
  const message = handshakeMessage(octets);
  return message === null ? null : parse(message);
}

/** The handshake message out of its records, without its four octets of type and length. */
function handshakeMessage(octets: Uint8Array): Uint8Array | null {
  const pieces: Uint8Array[] = [];
  let have = 0;
  for (let at = 0; ; ) {
    const rest = octets.length - at;
    if (rest > 0 && octets[at] !== HANDSHAKE) throw notTls(octets, at);
    // 0x0300 to 0x0304 is what clients write here.
    if (rest > 1 && octets[at + 1] !== 3) throw notTls(octets, at);
    if (rest < 5) return null;
    const length = (octets[at + 3]! << 8) | octets[at + 4]!;
    if (length === 0) throw new NotAClientHello("an empty record stands within the ClientHello", UNEXPECTED_MESSAGE);
    if (length > MOST_RECORD) throw new NotAClientHello("a record is longer than TLS allows", 22);
    const piece = octets.subarray(at + 5, at + 5 + length);
    pieces.push(piece);
    have += piece.length;
    const first = pieces[0]!;
    if (first.length > 0 && first[0] !== CLIENT_HELLO)
      throw new NotAClientHello("the first message is not a ClientHello", UNEXPECTED_MESSAGE);
    if (have >= 4) {
      const head = pieces.length === 1 ? first : Buffer.concat(pieces);
      const wanted = (head[1]! << 16) | (head[2]! << 8) | head[3]!;
      if (wanted > MOST_OCTETS)
        throw new NotAClientHello(`the ClientHello is longer than ${MOST_OCTETS} octets`, ILLEGAL_PARAMETER);
      if (have >= wanted + 4) return head.subarray(4, wanted + 4);
    }
    if (piece.length < length) return null;
    at += 5 + length;
    if (pieces.length > 64) throw new NotAClientHello("the ClientHello comes in too many records", DECODE_ERROR);
  }
}

function notTls(octets: Uint8Array, at: number): NotAClientHello {
  if (at > 0) return new NotAClientHello("something else stands within the ClientHello", UNEXPECTED_MESSAGE);
  if (octets[0] === 21) return new NotAClientHello("the client sent an alert instead of a ClientHello", 0);
  const text = Buffer.from(octets.subarray(0, 8)).toString("latin1");
  return new NotAClientHello(
    /^[A-Z]{3,8}(?: |$)/.test(text) ? "the client speaks plain HTTP" : "the client does not speak TLS",
    0,
  );
}

/** Reads vectors; every length is checked against what is left. */
class Cursor {
  #at = 0;
  readonly #octets: Uint8Array;

  constructor(octets: Uint8Array) {
    this.#octets = octets;
  }

  get left(): number {
    return this.#octets.length - this.#at;
  }

  number(size: 1 | 2): number {
    const octets = this.take(size);
    return size === 1 ? octets[0]! : (octets[0]! << 8) | octets[1]!;
  }

  take(length: number): Uint8Array {
    if (length > this.left) throw new NotAClientHello("the ClientHello is cut off", DECODE_ERROR);
    this.#at += length;
    return this.#octets.subarray(this.#at - length, this.#at);
  }

  /** What follows a length of so many octets. */
  vector(size: 1 | 2): Uint8Array {
    return this.take(this.number(size));
  }
}

function parse(message: Uint8Array): ClientHello {
  const cursor = new Cursor(message);
  let version = cursor.number(2);
  cursor.take(32); // random
  cursor.vector(1); // legacy_session_id
  cursor.vector(2); // cipher_suites
  cursor.vector(1); // legacy_compression_methods
  let serverName: string | null = null;
  let alpn: string[] = [];
  if (cursor.left === 0) return { serverName, alpn, version };
  const extensions = new Cursor(cursor.vector(2));
  if (cursor.left > 0) throw new NotAClientHello("something follows the extensions", DECODE_ERROR);
  const seen = new Set<number>();
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const data = new Cursor(extensions.vector(2));
    if (seen.has(type)) throw new NotAClientHello(`extension ${type} comes twice`, ILLEGAL_PARAMETER);
    seen.add(type);
    if (type === SERVER_NAME) serverName = readServerName(data);
    else if (type === ALPN) alpn = readAlpn(data);
    else if (type === SUPPORTED_VERSIONS) version = highestVersion(data.vector(1), version);
  }
  return { serverName, alpn, version };
}

function readServerName(data: Cursor): string | null {
  const names = new Cursor(data.vector(2));
  let name: string | null = null;
  while (names.left > 0) {
    const type = names.number(1);
    const octets = names.vector(2);
    if (type !== 0) continue;
    if (name !== null) throw new NotAClientHello("the server name comes twice", ILLEGAL_PARAMETER);
    name = Buffer.from(octets).toString("latin1").toLowerCase();
    // Some clients do send the dot, or an address, which RFC 6066 forbids; both are harmless.
    if (name.endsWith(".")) name = name.slice(0, -1);
    if (name.length > 255 || !/^[a-z0-9_.:-]+$/.test(name))
      throw new NotAClientHello("the server name is not a host name", ILLEGAL_PARAMETER);
  }
  return name;
}

function readAlpn(data: Cursor): string[] {
  const list = new Cursor(data.vector(2));
  const alpn: string[] = [];
  while (list.left > 0) alpn.push(Buffer.from(list.vector(1)).toString("latin1"));
  return alpn;
}

/** GREASE values (RFC 8701) and drafts do not count. */
function highestVersion(list: Uint8Array, version: number): number {
  let highest = version;
  for (let i = 0; i + 1 < list.length; i += 2) {
    const offered = (list[i]! << 8) | list[i + 1]!;
    if (list[i] === 3 && offered <= 0x0304 && offered > highest) highest = offered;
  }
  return highest;
}

/** A fatal alert, before anything is encrypted. */
export function alertRecord(alert: number): Uint8Array {
  return Uint8Array.of(21, 3, 3, 0, 2, 2, alert);
}

export const UNRECOGNIZED_NAME = 112;
export const INTERNAL_ERROR = 80;

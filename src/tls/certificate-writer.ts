/**
 * Makes certificates and revocation lists (RFC 5280): for the local CA of development names, and for
 * tests. What a public CA asks for is not made here.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { encodeSockaddr, isIp } from "../net/address.ts";
import {
  bitString,
  boolean,
  explicit,
  implicit,
  integer,
  octetString,
  oid,
  pem,
  sequence,
  set,
  time,
  utf8,
} from "./der.ts";

/** Somebody who signs. */
export interface Issuer {
  readonly subject: string;
  readonly key: KeyObject;
}

export interface CertificateRequest {
  /** The common name. */
  readonly subject: string;
  /** DNS names, wildcards and IP addresses it is good for. */
  readonly names: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly use: "server" | "client" | "ca";
  /** The public part is certified; of a certificate that is its own issuer it signs as well. */
  readonly key: KeyObject;
  /** null: it signs itself. */
  readonly issuer: Issuer | null;
  /** Default: 16 random octets. */
  readonly serial?: Uint8Array;
  /** SHA-256 of a key authorization, in a certificate that answers tls-alpn-01 (RFC 8737 §3). */
  readonly acmeIdentifier?: Uint8Array;
}

export function newKey(kind: "ecdsa" | "rsa"): KeyObject {
  if (kind === "rsa") return generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

export const keyPem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

/** @returns PEM */
export function writeCertificate(request: CertificateRequest): string {
  const { subject, key, issuer, use, names, notBefore, notAfter, serial = randomSerial(), acmeIdentifier } = request;
  const signer = issuer ?? { subject, key };
  const more = extensions(use, names, key, signer.key);
  if (acmeIdentifier !== undefined) more.push(extension("1.3.6.1.5.5.7.1.31", octetString(acmeIdentifier), true));
  const body = sequence(
    explicit(0, integer(2)),
    integer(serial),
    algorithm(signer.key),
    name(signer.subject),
    sequence(time(notBefore), time(notAfter)),
    name(subject),
    publicKey(key),
    explicit(3, sequence(...more)),
  );
  return pem("CERTIFICATE", signed(body, signer.key));
}

export interface RevocationList {
  readonly issuer: Issuer;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly serials: readonly Uint8Array[];
}

/** @returns PEM */
export function writeRevocationList({ issuer, thisUpdate, nextUpdate, serials }: RevocationList): string {
  const revoked = serials.map((serial) => sequence(integer(serial), time(thisUpdate)));
  const body = sequence(
    integer(1),
    algorithm(issuer.key),
    name(issuer.subject),
    time(thisUpdate),
    time(nextUpdate),
    ...(revoked.length === 0 ? [] : [sequence(...revoked)]),
    explicit(0, sequence(extension("2.5.29.20", integer(1)), authorityKey(issuer.key))),
  );
  return pem("X509 CRL", signed(body, issuer.key));
}

/** Positive and 16 octets long, as RFC 5280 §4.1.2.2 wants it. */
function randomSerial(): Uint8Array {
  const octets = randomBytes(16);
  octets[0] = (octets[0]! & 0x7f) | 0x40;
  return octets;
}

function signed(body: Buffer, key: KeyObject): Buffer {
  return sequence(body, algorithm(key), bitString(sign("sha256", body, key)));
}

function algorithm(key: KeyObject): Buffer {
  if (key.asymmetricKeyType === "rsa") return sequence(oid("1.2.840.113549.1.1.11"), Uint8Array.of(5, 0));
  return sequence(oid("1.2.840.10045.4.3.2"));
}

const name = (common: string): Buffer => sequence(set(sequence(oid("2.5.4.3"), utf8(common))));

const publicKey = (key: KeyObject): Buffer => createPublicKey(key).export({ type: "spki", format: "der" });

/** RFC 5280 §4.2.1.2: any function of the key will do. */
const keyId = (key: KeyObject): Buffer => createHash("sha256").update(publicKey(key)).digest().subarray(0, 20);

const authorityKey = (key: KeyObject): Buffer => extension("2.5.29.35", sequence(implicit(0, keyId(key))));

function extensions(
  use: CertificateRequest["use"],
  names: readonly string[],
  key: KeyObject,
  signer: KeyObject,
): Buffer[] {
  const list = [extension("2.5.29.14", octetString(keyId(key))), authorityKey(signer)];
  if (use === "ca") {
    list.push(extension("2.5.29.19", sequence(boolean(true)), true));
    list.push(extension("2.5.29.15", bitString(Uint8Array.of(0x06), 1), true)); // keyCertSign, cRLSign
  } else {
    list.push(extension("2.5.29.19", sequence(), true));
    list.push(extension("2.5.29.15", bitString(Uint8Array.of(0x80), 7), true)); // digitalSignature
    list.push(extension("2.5.29.37", sequence(oid(use === "server" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2"))));
  }
  if (names.length > 0) list.push(extension("2.5.29.17", sequence(...names.map(alternativeName))));
  return list;
}

function alternativeName(text: string): Buffer {
  if (!isIp(text)) return implicit(2, Buffer.from(text, "latin1"));
  const sockaddr = encodeSockaddr({ kind: "tcp", host: text, port: 0 });
  return implicit(7, text.includes(":") ? sockaddr.subarray(8, 24) : sockaddr.subarray(4, 8));
}

function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value));
}

/** One certificate with its chain and key, checked before it is used. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";

/** PEM as it lies in the files. */
export interface CertificateText {
  /** Leaf first, then the intermediate ones. */
  readonly cert: string;
  readonly key: string;
}

export interface ServerCertificate extends CertificateText {
  readonly kind: "ecdsa" | "rsa";
  /** Names it is good for: lower case, wildcards as "*.example.com", no addresses. */
  readonly names: readonly string[];
  readonly subject: string;
  readonly issuer: string;
  /** SHA-256, hexadecimal. */
  readonly fingerprint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * @throws {Error} saying what is wrong: not PEM, a key that is not the certificate's, a chain out of order,
 *   a key too weak for any client, or of a kind that clients do not take
 */
export function readCertificate({ cert, key }: CertificateText): ServerCertificate {
  const [leaf, ...chain] = readChain(cert);
  if (leaf === undefined) throw new Error("there is no certificate in it");
  checkKey(leaf, readKey(key));
  checkChain(leaf, chain);
  return {
    cert,
    key,
    kind: kindOf(leaf),
    names: namesOf(leaf),
    subject: oneLine(leaf.subject),
    issuer: oneLine(leaf.issuer),
    fingerprint: leaf.fingerprint256.replaceAll(":", "").toLowerCase(),
    notBefore: new Date(leaf.validFrom),
    notAfter: new Date(leaf.validTo),
  };
}

function readChain(text: string): X509Certificate[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new Error(`certificate ${i + 1} of it cannot be read`);
    }
  });
}

function readKey(text: string): KeyObject {
  if (text.includes("ENCRYPTED"))
    throw new Error("the key is encrypted: store it without a passphrase, readable by one user only");
  try {
    return createPrivateKey(text);
  } catch {
    throw new Error("the key cannot be read: it must be PEM (PKCS #8, PKCS #1 or SEC 1)");
  }
}

function checkKey(leaf: X509Certificate, key: KeyObject): void {
  if (!leaf.checkPrivateKey(key)) throw new Error("the key is not the certificate's");
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < 2048) throw new Error(`the RSA key has ${bits} bits; clients want at least 2048`);
}

function kindOf(leaf: X509Certificate): "ecdsa" | "rsa" {
  const type = leaf.publicKey.asymmetricKeyType;
  if (type === "ec") return "ecdsa";
  if (type === "rsa") return "rsa";
  throw new Error(`a key of kind ${type} is not used on the web: use ECDSA P-256 or RSA`);
}

/** Each is signed by the next (RFC 8446 §4.4.2 has made it a SHOULD; clients still stumble). */
function checkChain(leaf: X509Certificate, chain: readonly X509Certificate[]): void {
  let below = leaf;
  for (const [i, above] of chain.entries()) {
    if (!below.checkIssued(above))
      throw new Error(`certificate ${i + 2} of it has not signed the one before: order them from the leaf up`);
    below = above;
  }
}

/** The subject's common name counts only for certificates without alternative names, as nowhere else any more (RFC 9525 §2). */
function namesOf(leaf: X509Certificate): string[] {
  const names = [...(leaf.subjectAltName ?? "").matchAll(/DNS:([^,\s"]+)/g)].map((match) => match[1]!.toLowerCase());
  return [...new Set(names.map((name) => name.replace(/\.$/, "")))];
}

const oneLine = (name: string | undefined): string => (name ?? "").replaceAll("\n", ", ");

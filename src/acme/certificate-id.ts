/** How a certificate is named when its CA is asked when to renew it. */
import { X509Certificate } from "node:crypto";

/**
 * The key identifier of the issuer and the serial number, each in base64url (RFC 9773 §4.1).
 * @param cert PEM; of a chain the first
 * @returns null if it does not say whose key signed it
 */
export function certificateId(cert: string): string | null {
  const { raw, serialNumber } = new X509Certificate(cert);
  const key = authorityKey(raw);
  if (key === null) return null;
  // As in the DER: an octet of zeros goes before one with the highest bit.
  const digits = serialNumber.length % 2 === 0 ? serialNumber : `0${serialNumber}`;
  const serial = Buffer.from(/^[89A-F]/i.test(digits) ? `00${digits}` : digits, "hex");
  return `${key.toString("base64url")}.${serial.toString("base64url")}`;
}

/** Content of keyIdentifier ([0]) in the extension 2.5.29.35 (RFC 5280 §4.2.1.1). */
function authorityKey(der: Buffer): Buffer | null {
  const at = der.indexOf(Buffer.from([0x06, 0x03, 0x55, 0x1d, 0x23, 0x04]));
  if (at < 0) return null;
  // OCTET STRING { SEQUENCE { [0] } }: the lengths are short, as key identifiers are.
  const [sequence, , tag, length] = der.subarray(at + 7, at + 11);
  if (sequence !== 0x30 || tag !== 0x80 || length === undefined || length > 64) return null;
  return der.subarray(at + 11, at + 11 + length);
}

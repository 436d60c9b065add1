/** When a certificate is renewed, and when is tried again what failed. */
import type { RenewalWindow } from "./ca-client.ts";

/** A certificate as it lies in the store. */
export interface KeptCertificate {
  /** Host name, or one with "*." before it. */
  readonly name: string;
  /** PEM chain, leaf first. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** Name of the CA in the config. */
  readonly ca: string;
  /** Directory of the CA. */
  readonly directory: string;
  /** Unix time in ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SHA-256, hexadecimal. */
  readonly fingerprint: string;
}

/** Machines that share a store, and certificates that came together, are spread over so much of the lifetime. */
const SPREAD = 1 / 30;

/**
 * Two thirds of the lifetime after its begin, or a moment of the window that the CA suggests. The moment is
 * drawn from the fingerprint, so every machine that has the certificate draws the same, also after a restart.
 * @returns Unix time in ms
 */
export function renewalTime(certificate: KeptCertificate, window: RenewalWindow | null): number {
  const share = Number.parseInt(certificate.fingerprint.slice(0, 8), 16) / 2 ** 32;
  const { notBefore, notAfter } = certificate;
  const lifetime = notAfter - notBefore;
  // A window that begins when all is over would be of no use.
  if (window !== null && window.start < notAfter) return window.start + share * (window.end - window.start);
  return notBefore + (lifetime * 2) / 3 - share * SPREAD * lifetime;
}

export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** A CA allows some five failures per name and hour. */
export const BACKOFF: Backoff = { firstMs: 60_000, mostMs: 12 * 3_600_000 };

/**
 * @param failures  so far, in a row; at least 1
 * @param chance    0 to 1
 * @returns ms: doubled with each failure, and up to half of it more
 */
export function backoffMs(failures: number, { firstMs, mostMs }: Backoff, chance = Math.random()): number {
  return Math.min(firstMs * 2 ** Math.min(failures - 1, 30), mostMs) * (1 + chance / 2);
}

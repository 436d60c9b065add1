/** For tests: an authority of our own that nobody trusts, and what it signs. */
import type { KeyObject } from "node:crypto";
import { type Issuer, keyPem, newKey, writeCertificate, writeRevocationList } from "./certificate-writer.ts";

const DAY_MS = 86_400_000;

export interface Pair {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

interface Wish {
  readonly subject?: string;
  readonly kind?: "ecdsa" | "rsa";
  readonly use?: "server" | "client";
  /** Days from now. */
  readonly from?: number;
  readonly until?: number;
  readonly serial?: number;
}

/** Made once: an RSA key takes a while. */
const keys = new Map<string, KeyObject>();

function keyOf(kind: "ecdsa" | "rsa", which: string): KeyObject {
  const id = `${kind} ${which}`;
  let key = keys.get(id);
  if (key === undefined) keys.set(id, (key = newKey(kind)));
  return key;
}

const inDays = (days: number) => new Date(Date.now() + days * DAY_MS);

export class Authority {
  readonly cert: string;
  readonly #issuer: Issuer;

  constructor(subject = "Lintel tests") {
    const key = newKey("ecdsa");
    this.#issuer = { subject, key };
    this.cert = writeCertificate({
      subject,
      names: [],
      notBefore: inDays(-1),
      notAfter: inDays(30),
      use: "ca",
      key,
      issuer: null,
    });
  }

  /** A certificate good for these names, with its key. */
  issue(names: readonly string[], wish: Wish = {}): Pair {
    const { kind = "ecdsa", use = "server", from = -1, until = 10, serial } = wish;
    const { subject = names[0] ?? "nobody" } = wish;
    const key = kind === "rsa" ? keyOf("rsa", "") : newKey("ecdsa");
    const cert = writeCertificate({
      subject,
      names,
      notBefore: inDays(from),
      notAfter: inDays(until),
      use,
      key,
      issuer: this.#issuer,
      ...(serial === undefined ? {} : { serial: Uint8Array.of(serial) }),
    });
    return { cert, key: keyPem(key) };
  }

  /** PEM. */
  revoke(...serials: readonly number[]): string {
    return writeRevocationList({
      issuer: this.#issuer,
      thisUpdate: inDays(-1),
      nextUpdate: inDays(5),
      serials: serials.map((serial) => Uint8Array.of(serial)),
    });
  }
}

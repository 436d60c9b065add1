/** What a source has to say, told together if it changes often; each certificate is read once. */
import type { KeptCertificate } from "../acme/renewal.ts";
import { type MaterialCertificate, materialCertificate } from "../tls/tls-material.ts";
import type { Published } from "./certificate-directory.ts";

/** Certificates that come in bunches go to the workers in one message. */
const TOGETHER_MS = 10;

export class CertificatePublisher {
  readonly #collect: () => Published;
  #publish: (published: Published) => Promise<void> = async () => {};
  #soon: Promise<void> | null = null;

  constructor(collect: () => Published) {
    this.#collect = collect;
  }

  set target(publish: (published: Published) => Promise<void>) {
    this.#publish = publish;
  }

  /** Settles when every worker has what is there a moment later. */
  soon(): Promise<void> {
    this.#soon ??= Bun.sleep(TOGETHER_MS).then(() => {
      this.#soon = null;
      return this.now();
    });
    return this.#soon;
  }

  now(): Promise<void> {
    return this.#publish(this.#collect());
  }
}

/** From what lies in the store to what is served. */
export class MaterialCache {
  #known = new Map<string, MaterialCertificate>();

  /** Those that were asked for before are not read again. */
  of(
    certificates: readonly Pick<KeptCertificate, "name" | "cert" | "key" | "ca" | "fingerprint">[],
  ): MaterialCertificate[] {
    const next = new Map<string, MaterialCertificate>();
    for (const { name, cert, key, ca, fingerprint } of certificates) {
      const origin = `${ca}: ${name}`;
      next.set(
        fingerprint,
        this.#known.get(fingerprint) ?? materialCertificate({ source: "acme", origin, cert, key, names: [name] }),
      );
    }
    this.#known = next;
    return [...next.values()];
  }
}

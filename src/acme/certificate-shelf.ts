/** Certificates in the store, and what is remembered of failures. */
import { X509Certificate } from "node:crypto";
import type { Log } from "../base/log.ts";
import { readCertificate } from "../tls/server-certificate.ts";
import type { KeptCertificate } from "./renewal.ts";
import type { SharedStore } from "./shared-store.ts";

/** Of one name, in a row. */
export interface KeptFailures {
  readonly count: number;
  /** Unix time in ms, before which nobody tries again. */
  readonly until: number;
  readonly reason: string;
  /** Of the settings that failed: others may do better. */
  readonly settings: string;
}

/** After its end, for who wants to have a look. */
const KEPT_MS = 30 * 86_400_000;

/** @throws {Error} if certificate and key do not belong together, or it is for other names */
export function keptCertificate(
  name: string,
  text: { readonly cert: string; readonly key: string },
  ca: { readonly name: string; readonly directory: string },
): KeptCertificate {
  const { notBefore, notAfter, fingerprint } = readCertificate(text);
  const leaf = new X509Certificate(text.cert);
  const asked = name.startsWith("*.") ? `x${name.slice(1)}` : name;
  if (leaf.checkHost(asked, { subject: "never" }) === undefined)
    throw new Error(`the certificate is for other names than ${name}`);
  return {
    name,
    ...text,
    ca: ca.name,
    directory: ca.directory,
    notBefore: notBefore.getTime(),
    notAfter: notAfter.getTime(),
    fingerprint,
  };
}

export class CertificateShelf {
  readonly store: SharedStore;
  readonly #log: Log;

  constructor(store: SharedStore, log: Log) {
    this.store = store;
    this.#log = log;
  }

  /** @returns null if there is none that can be used */
  async certificate(name: string): Promise<KeptCertificate | null> {
    const text = await this.store.read(certificateKey(name));
    if (text === null) return null;
    try {
      const { cert, key, ca, directory } = JSON.parse(text) as KeptCertificate;
      return keptCertificate(name, { cert, key }, { name: ca, directory });
    } catch (thrown) {
      const reason = (thrown as Error).message;
      this.#log.warn("a kept certificate cannot be used: another one is ordered", { name, reason });
      return null;
    }
  }

  async keep(certificate: KeptCertificate): Promise<void> {
    await this.store.write(certificateKey(certificate.name), JSON.stringify(certificate, null, 2));
    await this.store.remove(failuresKey(certificate.name));
  }

  /** Names of all certificates. */
  async names(): Promise<string[]> {
    return (await this.store.list("certificates")).map((key) => key.slice("certificates/".length));
  }

  /** @param settings  of now: failures of others do not count */
  async failures(name: string, settings: string): Promise<KeptFailures | null> {
    const failures = parse<KeptFailures>(await this.store.read(failuresKey(name)));
    return failures?.settings === settings ? failures : null;
  }

  /** Takes away what nobody needs any more: names on demand come and go. */
  async sweep(now = Date.now()): Promise<void> {
    const { store } = this;
    for (const key of await store.list("failures")) {
      const failures = parse<KeptFailures>(await store.read(key));
      if (failures !== null && failures.until + KEPT_MS < now) await store.remove(key);
    }
    for (const key of await store.list("certificates")) {
      const certificate = parse<KeptCertificate>(await store.read(key));
      if (certificate !== null && certificate.notAfter + KEPT_MS < now) await store.remove(key);
    }
  }

  async note(name: string, failures: KeptFailures): Promise<void> {
    await this.store.write(failuresKey(name), JSON.stringify(failures, null, 2));
  }
}

/** @returns null for what is not there, or something else */
function parse<T extends object>(text: string | null): T | null {
  try {
    return JSON.parse(text ?? "null") as T | null;
  } catch {
    return null;
  }
}

const certificateKey = (name: string): string => `certificates/${name}`;
const failuresKey = (name: string): string => `failures/${name}`;

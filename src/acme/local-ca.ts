/**
 * A CA of this machine's own for development names. Its root is made once and kept in the store, for
 * its owner alone; `lintel trust` makes the system believe it. Its certificates live for days and are
 * made anew at each start: nothing of them is kept.
 */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { hostname } from "node:os";
import { keyPem, newKey, writeCertificate } from "../tls/certificate-writer.ts";
import { readCertificate } from "../tls/server-certificate.ts";
import type { SharedStore } from "./shared-store.ts";

/** What `localhost`, `*.localhost` and `*.test` are for is laid down in RFC 6761. */
export const DEVELOPMENT_NAMES: readonly string[] = ["localhost", ".localhost", ".test"];
/** Clients that connect to an address send no name. */
export const LOOPBACK: readonly string[] = ["localhost", "127.0.0.1", "::1"];

const ROOT_KEY = "local/root";
const DAY_MS = 86_400_000;
const ROOT_MS = 3650 * DAY_MS;
/** Clocks of other machines and containers may be behind. */
const BEFORE_MS = 3_600_000;

export interface Root {
  /** Common name. */
  readonly subject: string;
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

export interface LocalCertificate {
  readonly names: readonly string[];
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** Unix time in ms. */
  readonly renewAt: number;
}

/** @returns null if there is none yet */
export async function readRoot(store: SharedStore): Promise<Root | null> {
  const text = await store.read(ROOT_KEY);
  if (text === null) return null;
  const root = JSON.parse(text) as Root;
  try {
    readCertificate(root);
  } catch (thrown) {
    throw new Error(
      `the root of the local CA cannot be used (${(thrown as Error).message}): remove local/root from the storage folder, and a new one is made`,
    );
  }
  return root;
}

export class LocalCa {
  readonly #issuer: { readonly subject: string; readonly key: KeyObject };
  readonly root: Root;
  /** The root was made just now, and nobody trusts it yet. */
  readonly isNew: boolean;

  private constructor(root: Root, isNew = false) {
    this.root = root;
    this.isNew = isNew;
    this.#issuer = { subject: root.subject, key: createPrivateKey(root.key) };
  }

  /** Takes the root from the store, or makes it. */
  static async open(store: SharedStore, signal: AbortSignal): Promise<LocalCa> {
    const known = await readRoot(store);
    if (known !== null) return new LocalCa(known);
    const lock = await store.lock(ROOT_KEY, signal);
    try {
      const quicker = await readRoot(store);
      if (quicker !== null) return new LocalCa(quicker);
      const root = makeRoot();
      await store.write(ROOT_KEY, JSON.stringify(root, null, 2));
      return new LocalCa(root, true);
    } finally {
      await lock.release();
    }
  }

  /** @param names  host names, with wildcards, and addresses without brackets */
  issue(names: readonly string[], lifetimeMs: number, now = Date.now()): LocalCertificate {
    const key = newKey("ecdsa");
    const cert = writeCertificate({
      subject: names[0]!.slice(0, 64),
      names,
      notBefore: new Date(now - BEFORE_MS),
      notAfter: new Date(now + lifetimeMs),
      use: "server",
      key,
      issuer: this.#issuer,
    });
    return { names, cert, key: keyPem(key), renewAt: now + (lifetimeMs * 2) / 3 };
  }
}

function makeRoot(): Root {
  const key = newKey("ecdsa");
  const now = Date.now();
  // The user of several machines sees which is which.
  const subject = `Lintel local CA (${hostname()})`.slice(0, 64);
  const cert = writeCertificate({
    subject,
    names: [],
    notBefore: new Date(now - BEFORE_MS),
    notAfter: new Date(now + ROOT_MS),
    use: "ca",
    key,
    issuer: null,
  });
  return { subject, cert, key: keyPem(key) };
}

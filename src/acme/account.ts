/** Accounts at CAs: one per CA, kept in the store, shared by all machines that share it. */
import { createHash } from "node:crypto";
import type { AcmeCaConfig } from "../config/gateway-config.ts";
import { CaClient, newPrivateKey } from "./ca-client.ts";
import type { SharedStore } from "./shared-store.ts";

interface KeptAccount {
  readonly directory: string;
  /** null: the CA does not know it (any more). */
  readonly url: string | null;
  /** PEM. */
  readonly key: string;
}

export interface AccountsOptions {
  readonly store: SharedStore;
  readonly email: string | null;
  /** Text of a PEM file as named in the config. */
  readFile(path: string): string;
}

export class Accounts {
  readonly #options: AccountsOptions;
  readonly #clients = new Map<string, Promise<CaClient>>();

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /** A client of a registered account. @throws {CaProblem} */
  client(ca: AcmeCaConfig, signal: AbortSignal): Promise<CaClient> {
    const key = accountKey(ca);
    let client = this.#clients.get(key);
    if (client === undefined) {
      client = this.#open(ca, key, signal);
      this.#clients.set(key, client);
      client.catch(() => this.#clients.delete(key));
    }
    return client;
  }

  /** The CA says that there is no such account: the same key is registered anew with the next call. */
  async forget(ca: AcmeCaConfig): Promise<void> {
    const key = accountKey(ca);
    const kept = await this.#read(key);
    if (kept !== null) await this.#write(key, { ...kept, url: null });
    const client = this.#clients.get(key);
    this.#clients.delete(key);
    (await client)?.close();
  }

  close(): void {
    for (const client of this.#clients.values())
      client.then(
        (one) => one.close(),
        () => {},
      );
    this.#clients.clear();
  }

  async #open(ca: AcmeCaConfig, key: string, signal: AbortSignal): Promise<CaClient> {
    const lock = await this.#options.store.lock(key, signal);
    try {
      const kept = (await this.#read(key)) ?? {
        directory: ca.directory,
        url: null,
        key: await newPrivateKey("ecdsa-p256"),
      };
      const roots = ca.roots === null ? null : this.#options.readFile(ca.roots);
      const client = new CaClient({ ca, roots, accountKey: kept.key, accountUrl: kept.url });
      if (kept.url !== null) return client;
      // Kept before it is sent: a key that the CA knows and we do not would be an account lost.
      await this.#write(key, kept);
      const url = await client.register(this.#options.email, signal);
      await this.#write(key, { ...kept, url });
      return client;
    } finally {
      await lock.release();
    }
  }

  async #read(key: string): Promise<KeptAccount | null> {
    const text = await this.#options.store.read(key);
    if (text === null) return null;
    try {
      return JSON.parse(text) as KeptAccount;
    } catch {
      throw new Error(`${key} in the storage folder is broken: remove it, and another account is made`);
    }
  }

  #write(key: string, account: KeptAccount): Promise<void> {
    return this.#options.store.write(key, JSON.stringify(account, null, 2));
  }
}

/** Of another customer's binding it is another account. */
function accountKey({ directory, accountBinding }: AcmeCaConfig): string {
  const digest = createHash("sha256").update(JSON.stringify([directory, accountBinding?.id ?? null]));
  return `accounts/${new URL(directory).host} ${digest.digest("hex").slice(0, 8)}`;
}

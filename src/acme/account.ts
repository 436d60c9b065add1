/** Accounts at CAs: one per CA, kept in the store, shared by all machines that share it. */
import { createHash, createPrivateKey } from "node:crypto";
import type { AcmeCaConfig } from "../config/gateway-config.ts";
import { CaClient, newPrivateKey } from "./ca-client.ts";
import type { SharedStore } from "./shared-store.ts";

interface KeptAccount {
  readonly directory: string;
  /** null: not registered yet. */
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

interface Opening {
  readonly client: Promise<CaClient>;
  /** Of who asked first. */
  readonly signal: AbortSignal;
}

export class Accounts {
  readonly #options: AccountsOptions;
  readonly #openings = new Map<string, Opening>();
  /** URLs that a CA does not know any more. */
  readonly #gone = new Set<string>();

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /** A client of a registered account. @throws {CaProblem} */
  async client(ca: AcmeCaConfig, signal: AbortSignal): Promise<CaClient> {
    const key = accountKey(ca);
    for (;;) {
      const opening = this.#openings.get(key) ?? this.#begin(ca, key, signal);
      try {
        return await opening.client;
      } catch (thrown) {
        // Somebody else has given up, which is no reason for us to.
        if (opening.signal === signal || !opening.signal.aborted) throw thrown;
        signal.throwIfAborted();
      }
    }
  }

  /**
   * The CA says that there is no such account: its key is registered anew with the next call. Others may still be at
   * work with the client, and are told the same; who is late with that does no harm to the account that is new by then.
   */
  async forget(ca: AcmeCaConfig, client: CaClient): Promise<void> {
    const key = accountKey(ca);
    const opening = this.#openings.get(key);
    if ((await opening?.client.catch(() => null)) !== client || this.#openings.get(key) !== opening) return;
    this.#openings.delete(key);
    if (client.accountUrl !== null) this.#gone.add(client.accountUrl);
  }

  close(): void {
    for (const { client } of this.#openings.values())
      client.then(
        (one) => one.close(),
        () => {},
      );
    this.#openings.clear();
  }

  #begin(ca: AcmeCaConfig, key: string, signal: AbortSignal): Opening {
    const opening = { client: this.#open(ca, key, signal), signal };
    this.#openings.set(key, opening);
    opening.client.catch(() => this.#openings.delete(key));
    return opening;
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
      const accountUrl = kept.url !== null && this.#gone.has(kept.url) ? null : kept.url;
      const client = new CaClient({ ca, roots, accountKey: kept.key, accountUrl });
      if (client.accountUrl !== null) return client;
      // Kept before it is sent: a key that the CA knows and we do not would be an account lost.
      await this.#write(key, kept);
      const url = await client.register(this.#options.email, signal);
      await this.#write(key, { ...kept, url });
      // A CA may give it the same one again.
      this.#gone.delete(url);
      return client;
    } finally {
      await lock.release();
    }
  }

  async #read(key: string): Promise<KeptAccount | null> {
    const text = await this.#options.store.read(key);
    if (text === null) return null;
    try {
      const { directory, url, key: pem } = JSON.parse(text) as KeptAccount;
      createPrivateKey(pem);
      return { directory, url: typeof url === "string" ? url : null, key: pem };
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

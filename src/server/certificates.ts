/**
 * The certificates of a process that serves TLS, over reloads and changes of their files. A client that
 * asks for a name whose certificate has yet to be got waits here for the supervisor's answer.
 */
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { ClientHello } from "../net/tls-client-hello.ts";
import { CertificateStore, type ChosenIdentity } from "../tls/certificate-store.ts";
import type { TlsMaterial } from "../tls/tls-material.ts";

export interface PreparedStore {
  readonly store: CertificateStore;
  commit(): void;
}

/** Names that are waited for at one time; for more there is no certificate. */
const MOST_WANTED = 100;
/** After so long nobody waits for an answer any more: the supervisor may be gone. */
const ANSWER_MS = 120_000;
/** For so long a name without a certificate is not asked for again. */
const REFUSED_MS = 10_000;
/** Names that strangers may make up are not remembered without bound. */
const MOST_REFUSED = 10_000;

export class Certificates {
  /** Asks the supervisor for a certificate; `answered` follows. */
  readonly #ask: (name: string) => void;
  readonly #wanted = new Map<string, { readonly answered: Promise<void>; resolve(): void }>();
  /** When each was refused. */
  readonly #refused = new Map<string, number>();
  #config: GatewayConfig | null = null;
  #store: CertificateStore | null = null;

  constructor(ask: (name: string) => void) {
    this.#ask = ask;
  }

  /** null before the first commit. */
  get store(): CertificateStore | null {
    return this.#store;
  }

  prepare(config: GatewayConfig, material: TlsMaterial): PreparedStore {
    const store = new CertificateStore(config, material, this.#store);
    return {
      store,
      commit: () => {
        this.#config = config;
        this.#use(store);
      },
    };
  }

  /** The material of the config in force has changed. Connections that are there go on. */
  change(material: TlsMaterial): void {
    if (this.#config !== null) this.#use(new CertificateStore(this.#config, material, this.#store));
  }

  /** There is a certificate for this name, or one can be got. @param name lower case */
  readonly covers = (name: string): boolean => {
    const store = this.#store;
    return store !== null && (store.lookUp(name).length > 0 || store.mayAskFor(name));
  };

  /** As `TlsServerSettings.choose`. */
  choose(listener: string, hello: ClientHello): ChosenIdentity | null | Promise<ChosenIdentity | null> {
    const store = this.#store;
    if (store === null) return null;
    const { serverName, alpn } = hello;
    // Who looks at a challenge must not wait for the certificate that it is for (RFC 8737).
    const mayWait = serverName !== null && !alpn.includes("acme-tls/1") && store.mayAskFor(serverName);
    if (!mayWait) return store.choose(listener, hello);
    const answered = this.#want(serverName);
    if (answered === null) return store.choose(listener, hello);
    return answered.then(() => this.#store!.choose(listener, hello));
  }

  /** The supervisor has got a certificate for the name, which has come before this, or there is none. */
  answered(name: string): void {
    if (this.#store?.mayAskFor(name) ?? true) {
      if (this.#refused.size >= MOST_REFUSED) this.#refused.clear();
      this.#refused.set(name, performance.now());
    }
    this.#wanted.get(name)?.resolve();
    this.#wanted.delete(name);
  }

  #want(name: string): Promise<void> | null {
    const known = this.#wanted.get(name);
    if (known !== undefined) return known.answered;
    const refusedAt = this.#refused.get(name);
    if (refusedAt !== undefined && performance.now() - refusedAt < REFUSED_MS) return null;
    if (this.#wanted.size >= MOST_WANTED) return null;
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => this.answered(name), ANSWER_MS);
    timer.unref();
    this.#wanted.set(name, {
      answered,
      resolve: () => {
        clearTimeout(timer);
        resolve();
      },
    });
    this.#ask(name);
    return answered;
  }

  #use(store: CertificateStore): void {
    this.#store = store;
    this.#refused.clear();
  }
}

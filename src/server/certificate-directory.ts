/**
 * All certificates of the program, in the supervisor: what the config's files hold, and what other
 * sources (automatic HTTPS, a local CA) have got. Who serves TLS is sent the whole of it whenever
 * something changes, also between reloads.
 */
import type { Log } from "../base/log.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { CertificateStore } from "../tls/certificate-store.ts";
import { MaterialWatch } from "../tls/material-watch.ts";
import { type MaterialCertificate, type MaterialProblem, NO_MATERIAL, type TlsMaterial } from "../tls/tls-material.ts";

/** What a source has; what it does not say, it has not. */
export interface Published {
  /** As from `materialCertificate`. */
  readonly certificates?: readonly MaterialCertificate[];
  readonly challenges?: TlsMaterial["challenges"];
  readonly tokens?: TlsMaterial["tokens"];
  readonly onDemand?: TlsMaterial["onDemand"];
}

/** Brings certificates from elsewhere than the config's files. */
export interface CertificateSource {
  readonly name: string;
  /**
   * Another config is in force, or the first one is about to be: workers are started once this has settled,
   * so what is stored should be published from within, and nothing that takes long waited for.
   * @param publish replaces what this source has published before; settles when every worker serves it
   */
  use(config: GatewayConfig, directory: string, publish: (published: Published) => Promise<void>): void | Promise<void>;
  /**
   * A client waits for a certificate for this name (one of `onDemand`). Settles when it is published, or there will
   * be none. Several calls for one name may come at once.
   */
  obtain?(name: string): Promise<void>;
  /** How it stands with this name, in a sentence for people ("will be renewed on …"); null: it is not this source's. */
  explain?(name: string): string | null;
  /** When this one of its certificates is to be renewed; Unix time in ms, null: it is none of its own. */
  renewalOf?(fingerprint: string): number | null;
  /** Names that it has no certificate for yet. */
  missing?(): readonly MissingCertificate[];
  stop(): void;
}

/** A name whose certificate is still to be got. */
export interface MissingCertificate {
  readonly name: string;
  readonly source: string;
  /** In a row. */
  readonly failures: number;
  readonly lastFailure: string | null;
  /** Unix time in ms; in the past: it is being got. */
  readonly nextTry: number;
}

export interface CertificateDirectoryOptions {
  readonly log: Log;
  readonly sources: readonly CertificateSource[];
  /** How often files are looked at. */
  readonly everyMs?: number;
  /** What was read while the process still had the rights for it. */
  readonly before?: TlsMaterial | null;
}

/** What the certificates of another config are, before it is in force. */
export interface PreparedCertificates {
  readonly material: TlsMaterial;
  commit(): void;
  abort(): void;
}

/** Somebody who serves with the material: the workers, the process of HTTP/3. */
export type MaterialFollower = (material: TlsMaterial, version: number, before: TlsMaterial) => void;

const LOOK_MS = 1000;
/** A file's certificate that ends within this time, or a fifth of its life, should have been renewed. */
const LATE_MS = 14 * 86_400_000;
const WARN_AGAIN_MS = 86_400_000;

export class CertificateDirectory {
  readonly #options: CertificateDirectoryOptions;
  readonly #published = new Map<string, Published>();
  readonly #followers = new Set<MaterialFollower>();
  /** Those that a worker waits for, by name. */
  readonly #obtaining = new Map<string, Promise<void>>();
  #watch: MaterialWatch | null = null;
  #material = NO_MATERIAL;
  #version = 0;
  /** Versions that processes have in use, by process. */
  readonly #inUse = new Map<string, number>();
  /** Settles, and never rejects, when the sources know of the latest config. */
  #using: Promise<void> = Promise.resolve();
  #isStopped = false;
  #waiting: { readonly version: number; resolve(): void }[] = [];

  readonly #warning = setInterval(() => this.#warnOfEnds(), WARN_AGAIN_MS);

  constructor(options: CertificateDirectoryOptions) {
    this.#options = options;
    this.#warning.unref();
  }

  /** What is in force. */
  get material(): TlsMaterial {
    return this.#material;
  }

  /** Counts the changes. */
  get version(): number {
    return this.#version;
  }

  /** Is told of every change. @returns ends that */
  follow(follower: MaterialFollower): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  /** @throws {Error} if a file cannot be used, and nothing was read of it before */
  prepare(config: GatewayConfig, directory: string): PreparedCertificates {
    const { log, everyMs = LOOK_MS, before = null } = this.#options;
    const watch = new MaterialWatch({
      config,
      directory,
      everyMs,
      log,
      before: this.#watch?.material ?? before,
      onChange: () => {
        if (this.#watch === watch) this.#changed();
      },
    });
    if (watch.unusable.length > 0) {
      watch.stop();
      throw new Error(watch.unusable.map(({ file, reason }) => `${file}: ${reason}`).join("; "));
    }
    const version = this.#version;
    const material = this.#merged(watch);
    const store = new CertificateStore(config, material);
    const problems = store.tryAll();
    if (problems.length > 0) {
      watch.stop();
      throw new Error(`TLS cannot be served: ${problems.join("; ")}`);
    }
    return {
      material,
      commit: () => {
        this.#watch?.stop();
        this.#watch = watch;
        // Whoever was told of the config has this; a source may have published since, or a file have changed.
        this.#material = material;
        if (version === 0 || !Bun.deepEquals(this.#merged(watch), material)) this.#changed();
      },
      abort: () => watch.stop(),
    };
  }

  /** How it stands with a name, in sentences. @param name lower case */
  notes(name: string): string[] {
    return this.#options.sources.flatMap((source) => source.explain?.(name) ?? []);
  }

  /** When a certificate is to be renewed by who has got it; Unix time in ms, null: nobody has said. */
  renewalOf({ source: name, fingerprint }: MaterialCertificate): number | null {
    return this.#options.sources.find((source) => source.name === name)?.renewalOf?.(fingerprint) ?? null;
  }

  /** Names whose certificates are still to be got. */
  missing(): MissingCertificate[] {
    return this.#options.sources.flatMap((source) => source.missing?.() ?? []);
  }

  /** Files of the config that cannot be used now; what was read before serves. */
  get problems(): readonly MaterialProblem[] {
    return this.#watch?.problems ?? [];
  }

  /** Tells the sources of the config in force; one config after the other, as reloads do not wait for this. */
  use(config: GatewayConfig, directory: string): Promise<void> {
    const using = this.#using.then(() => this.#use(config, directory));
    this.#using = using.catch(() => {});
    return using;
  }

  async #use(config: GatewayConfig, directory: string): Promise<void> {
    if (this.#isStopped) return;
    const { sources, log } = this.#options;
    const all = sources.map(async (source) => {
      try {
        await source.use(config, directory, (published) => this.#publish(source.name, published));
      } catch (thrown) {
        log.error(`certificates: ${source.name}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
      }
    });
    await Promise.all(all);
    this.#warnOfUncovered(config);
  }

  /** Their clients are warned, or refused. With automatic certificates it may be a matter of time. */
  #warnOfUncovered(config: GatewayConfig): void {
    if (config.tls.acme !== null || config.tls.local !== null) return;
    const hosts = new CertificateStore(config, this.#material).uncovered().map(({ host }) => host);
    if (hosts.length === 0) return;
    const more = hosts.length > 5 ? ` and ${hosts.length - 5} more` : "";
    this.#options.log.warn("hosts have no certificate", { hosts: `${hosts.slice(0, 5).join(", ")}${more}` });
  }

  /** A worker has a client that waits for this name. Settles when there is nothing more to wait for. */
  obtain(name: string): Promise<void> {
    const known = this.#obtaining.get(name);
    if (known !== undefined) return known;
    const obtaining = this.#obtain(name).finally(() => this.#obtaining.delete(name));
    this.#obtaining.set(name, obtaining);
    return obtaining;
  }

  async #obtain(name: string): Promise<void> {
    for (const { name: source, obtain } of this.#options.sources.map((one) => ({
      name: one.name,
      obtain: one.obtain?.bind(one),
    }))) {
      try {
        await obtain?.(name);
      } catch (thrown) {
        const reason = thrown instanceof Error ? thrown.message : String(thrown);
        this.#options.log.warn("no certificate for a client that waited", { name, source, reason });
      }
    }
  }

  /** Somebody serves with it. */
  get isServed(): boolean {
    return this.#inUse.size > 0;
  }

  /** A process has this version in use. @param process any name of it */
  inUse(process: string, version: number): void {
    this.#inUse.set(process, version);
    this.#settle();
  }

  /** A process has ended. */
  gone(process: string): void {
    this.#inUse.delete(process);
    this.#settle();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#warning);
    this.#watch?.stop();
    for (const source of this.#options.sources) source.stop();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  #publish(source: string, published: Published): Promise<void> {
    this.#published.set(source, published);
    this.#changed();
    const version = this.#version;
    return new Promise((resolve) => {
      this.#waiting.push({ version, resolve });
      this.#settle();
    });
  }

  #settle(): void {
    const oldest = Math.min(...this.#inUse.values());
    this.#waiting = this.#waiting.filter(({ version, resolve }) => {
      if (version > oldest) return true;
      resolve();
      return false;
    });
  }

  /** Who renews files does it elsewhere, and may have stopped. */
  #warnOfEnds(): void {
    for (const { source, origin, notBefore, notAfter } of this.#material.certificates) {
      const left = notAfter.getTime() - Date.now();
      const late = Math.min(LATE_MS, (notAfter.getTime() - notBefore.getTime()) / 5);
      if (source !== "file" || left > late) continue;
      const message = left > 0 ? "a certificate ends soon" : "a certificate has expired";
      this.#options.log.warn(message, { from: origin, notAfter: notAfter.toISOString() });
    }
  }

  #changed(): void {
    const before = this.#material;
    this.#material = this.#merged(this.#watch);
    this.#version++;
    this.#warnOfEnds();
    for (const follower of this.#followers) follower(this.#material, this.#version, before);
  }

  #merged(watch: MaterialWatch | null): TlsMaterial {
    const { certificates, files } = watch?.material ?? NO_MATERIAL;
    const all = [...this.#published.values()];
    return {
      certificates: [...certificates, ...all.flatMap((one) => one.certificates ?? [])],
      files,
      challenges: all.flatMap(({ challenges = [] }) => challenges),
      tokens: Object.assign({}, ...all.map(({ tokens = {} }) => tokens)),
      onDemand: all.flatMap(({ onDemand = [] }) => onDemand),
    };
  }
}

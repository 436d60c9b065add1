/** The local CA in the supervisor: certificates for development names, made when they are needed. */
import { resolve } from "node:path";
import { FolderStore } from "../acme/folder-store.ts";
import { LOOPBACK, LocalCa, type LocalCertificate } from "../acme/local-ca.ts";
import { planNames } from "../acme/name-plan.ts";
import type { Log } from "../base/log.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { NameSet } from "../tls/name-table.ts";
import { type MaterialCertificate, materialCertificate } from "../tls/tls-material.ts";
import type { CertificateSource, Published } from "./certificate-directory.ts";
import { CertificatePublisher } from "./certificate-publisher.ts";

export interface LocalSourceOptions {
  /** Where the root is kept if the config names no folder. */
  readonly folder: string;
  readonly log: Log;
  /** Tells of a host whether a certificate of a file is good for it. */
  coverage(): (host: string) => boolean;
  /** For tests, where time passes as they say. */
  readonly clock?: LocalClock;
}

export interface LocalClock {
  /** Unix time in ms. */
  now(): number;
  /** @returns calls it off */
  after(ms: number, run: () => void): () => void;
}

interface Made {
  readonly renewAt: number;
  readonly material: MaterialCertificate;
}

/** Certificates of names that nobody spelled out; the oldest goes first. */
const MOST_ON_DEMAND = 1000;
const LOCK_MS = 60_000;
/** The time of day may be set, and machines sleep. */
const MOST_WAIT_MS = 600_000;
const CLOCK: LocalClock = {
  now: Date.now,
  after(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

export class LocalSource implements CertificateSource {
  readonly name = "local";
  readonly #options: LocalSourceOptions;
  readonly #clock: LocalClock;
  readonly #publisher = new CertificatePublisher(() => this.#published());
  #ca: LocalCa | null = null;
  #folder = "";
  #lifetimeMs = 0;
  #patterns: readonly string[] = [];
  #onDemand = new NameSet([]);
  /** By name; "" is for clients that name none. */
  readonly #spelledOut = new Map<string, Made>();
  readonly #asked = new Map<string, Made>();
  #callOff = (): void => {};

  constructor(options: LocalSourceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? CLOCK;
  }

  async use(config: GatewayConfig, directory: string, publish: (published: Published) => Promise<void>): Promise<void> {
    this.#publisher.target = publish;
    const { local, storage } = config.tls;
    const plan = local === null ? null : planNames(config, this.#options.coverage());
    if (local === null || plan === null) this.#ca = null;
    else {
      const folder = storage === null ? this.#options.folder : resolve(directory, storage);
      if (this.#ca === null || this.#folder !== folder || this.#lifetimeMs !== local.lifetime) {
        this.#ca = await LocalCa.open(new FolderStore(folder), AbortSignal.timeout(LOCK_MS));
        this.#folder = folder;
        if (this.#ca.isNew)
          this.#options.log.info("a local CA was made: `lintel trust`, as root, has this system believe it", {
            subject: this.#ca.root.subject,
          });
        this.#lifetimeMs = local.lifetime;
        this.#spelledOut.clear();
        this.#asked.clear();
      }
      this.#patterns = plan.localOnDemand;
      this.#onDemand = new NameSet(plan.localOnDemand);
      this.#keep(["", ...plan.local.filter((name) => !LOOPBACK.includes(name))]);
    }
    this.#plan();
    void this.#publisher.now();
  }

  async obtain(name: string): Promise<void> {
    if (this.#ca === null || !this.#onDemand.has(name) || this.#asked.has(name)) return;
    this.#asked.set(name, this.#make(name));
    const [oldest] = this.#asked.keys();
    if (this.#asked.size > MOST_ON_DEMAND) this.#asked.delete(oldest!);
    // The alarm that is set goes off before this is due: the certificate for "" was made earlier.
    await this.#publisher.soon();
  }

  renewalOf(fingerprint: string): number | null {
    const made = [...this.#spelledOut.values(), ...this.#asked.values()];
    return made.find(({ material }) => material.fingerprint === fingerprint)?.renewAt ?? null;
  }

  stop(): void {
    this.#ca = null;
    this.#plan();
  }

  #keep(names: readonly string[]): void {
    const wanted = new Set(names);
    for (const name of [...this.#spelledOut.keys()]) if (!wanted.has(name)) this.#spelledOut.delete(name);
    for (const name of wanted) if (!this.#spelledOut.has(name)) this.#spelledOut.set(name, this.#make(name));
  }

  #make(name: string): Made {
    const names = name === "" ? LOOPBACK : [name];
    const { cert, key, renewAt }: LocalCertificate = this.#ca!.issue(names, this.#lifetimeMs, this.#clock.now());
    const origin = name === "" ? "the local CA: loopback addresses" : `the local CA: ${name}`;
    const material = materialCertificate({
      source: "local",
      origin,
      cert,
      key,
      names: name === "" ? ["localhost"] : [name],
    });
    return { renewAt, material };
  }

  /** Makes anew what is due, and sets the alarm for the next. */
  #plan(): void {
    this.#callOff();
    this.#callOff = () => {};
    if (this.#ca === null) return;
    const now = this.#clock.now();
    for (const [name, { renewAt }] of this.#spelledOut)
      if (renewAt <= now) this.#spelledOut.set(name, this.#make(name));
    // Who still wants one of these asks again.
    for (const [name, { renewAt }] of this.#asked) if (renewAt <= now) this.#asked.delete(name);
    let nextAt = now + MOST_WAIT_MS;
    for (const { renewAt } of [...this.#spelledOut.values(), ...this.#asked.values()])
      nextAt = Math.min(nextAt, renewAt);
    this.#callOff = this.#clock.after(Math.max(1000, nextAt - now), () => {
      this.#plan();
      void this.#publisher.soon();
    });
  }

  #published(): Published {
    if (this.#ca === null) return {};
    const made = [...this.#spelledOut.values(), ...this.#asked.values()];
    return { certificates: made.map(({ material }) => material), onDemand: this.#patterns };
  }
}

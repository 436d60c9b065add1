/** Automatic HTTPS in the supervisor: orders what the config's sites need, and hands it on to the workers. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Accounts } from "../acme/account.ts";
import { CertificateKeeper } from "../acme/certificate-keeper.ts";
import { CertificateShelf } from "../acme/certificate-shelf.ts";
import type { ChallengeSolver } from "../acme/challenge.ts";
import { ChallengeBoard } from "../acme/challenge-board.ts";
import { dnsSolver } from "../acme/dns/dns-solver.ts";
import { FolderStore } from "../acme/folder-store.ts";
import { type NamePlan, planNames } from "../acme/name-plan.ts";
import { isCertifiable, OnDemandRules } from "../acme/on-demand.ts";
import type { Log } from "../base/log.ts";
import type { AcmeConfig, GatewayConfig } from "../config/gateway-config.ts";
import type { Registry } from "../telemetry/registry.ts";
import { NameSet } from "../tls/name-table.ts";
import type { CertificateSource, MissingCertificate, Published } from "./certificate-directory.ts";
import { CertificatePublisher, MaterialCache } from "./certificate-publisher.ts";

export interface AcmeSourceOptions {
  /** Where accounts and certificates are kept if the config names no folder. */
  readonly folder: string;
  readonly log: Log;
  /** Tells of a host whether a certificate of a file is good for it. */
  coverage(): (host: string) => boolean;
  /** Workers are there. */
  isServed(): boolean;
  /** Of the config in force. */
  registry(): Registry;
}

/** All that depends on `tls.acme` and `tls.storage`. */
interface Running {
  readonly config: AcmeConfig;
  readonly folder: string;
  readonly accounts: Accounts;
  readonly board: ChallengeBoard;
  readonly keeper: CertificateKeeper;
  readonly rules: OnDemandRules | null;
  readonly onDemand: NameSet;
  /** Names with a certificate in the store. */
  stored: number;
  readonly sweeping: ReturnType<typeof setInterval>;
}

/** Certificates on demand that workers have at one time; the others lie in the store until somebody asks. */
const MOST_ON_DEMAND = 1000;

const WORKERS_MS = 60_000;
const SWEEP_MS = 86_400_000;

const NO_PLAN: NamePlan = { acme: [], local: [], localOnDemand: [], acmeOnDemand: [] };

export class AcmeSource implements CertificateSource {
  readonly name = "acme";
  readonly #options: AcmeSourceOptions;
  readonly #material = new MaterialCache();
  readonly #publisher = new CertificatePublisher(() => this.#published());
  /** Outcomes of orders, by CA. */
  readonly #orders = new Map<string, { obtained: number; failed: number }>();
  /** Names on demand, the one that was asked for last at the end. */
  readonly #recent = new Set<string>();
  #plan = NO_PLAN;
  #running: Running | null = null;

  constructor(options: AcmeSourceOptions) {
    this.#options = options;
  }

  async use(config: GatewayConfig, directory: string, publish: (published: Published) => Promise<void>): Promise<void> {
    this.#publisher.target = publish;
    const acme = withReachable(config);
    this.#plan = acme === null ? NO_PLAN : planNames(config, this.#options.coverage());
    const { storage } = config.tls;
    const folder = storage === null ? this.#options.folder : resolve(directory, storage);
    if (!Bun.deepEquals(this.#running?.config ?? null, acme) || this.#running?.folder !== folder) {
      const before = this.#running;
      this.#running = acme === null ? null : await this.#start(acme, folder, storage !== null, directory);
      this.#recent.clear();
      if (before !== null) void end(before);
    }
    const running = this.#running;
    if (running !== null) {
      Object.assign(running, { onDemand: new NameSet(this.#plan.acmeOnDemand) });
      await running.keeper.keep(this.#plan.acme);
      this.#show(running);
    }
    void this.#publisher.now();
  }

  async obtain(name: string): Promise<void> {
    // Before the store: what a client makes up may be no key there, and each would be a warning.
    if (!isCertifiable(name)) return;
    const running = this.#running;
    if (running === null || running.rules === null || !running.onDemand.has(name)) return;
    const { keeper, rules } = running;
    const found = await keeper.fetch(name);
    if (found === "later") return;
    if (found === "missing") {
      if (!(await rules.allows(name))) return;
      if (!rules.mayOrder(name, running.stored)) return;
      if (!(await keeper.obtain(name))) return;
      running.stored++;
    }
    this.#recent.delete(name);
    this.#recent.add(name);
    for (const oldest of this.#recent) {
      if (this.#recent.size <= MOST_ON_DEMAND) break;
      this.#recent.delete(oldest);
      keeper.drop(oldest);
    }
    await this.#publisher.soon();
  }

  renewalOf(fingerprint: string): number | null {
    return this.#running?.keeper.renewalOf(fingerprint) ?? null;
  }

  missing(): MissingCertificate[] {
    const views = (this.#running?.keeper.views() ?? []).filter(({ certificate }) => certificate === null);
    return views.map(({ name, failures, lastFailure, nextAt }) => ({
      name,
      source: this.name,
      failures,
      lastFailure,
      nextTry: nextAt,
    }));
  }

  explain(name: string): string | null {
    const { keeper, onDemand } = this.#running ?? {};
    const view = keeper?.view(name) ?? keeper?.view(name.replace(/^[^.]*/, "*")) ?? null;
    if (view === null) return onDemand?.has(name) === true ? "acme: got on demand, if the rules allow it" : null;
    const failed = view.failures === 0 ? "" : `; ${view.failures} failed: ${view.lastFailure}`;
    const at = new Date(view.nextAt).toISOString();
    if (view.certificate !== null) return `acme: from ${view.certificate.ca}, renewed on ${at}${failed}`;
    return view.nextAt <= Date.now() ? "acme: it is being got" : `acme: no certificate yet, next try ${at}${failed}`;
  }

  stop(): void {
    if (this.#running !== null) void end(this.#running);
    this.#running = null;
  }

  async #start(config: AcmeConfig, folder: string, isShared: boolean, directory: string): Promise<Running> {
    const { log } = this.#options;
    const store = new FolderStore(folder);
    const shelf = new CertificateShelf(store, log);
    // First: it may fail, and nothing must run on then.
    const stored = config.onDemand === null ? 0 : (await shelf.names()).length;
    const accounts = new Accounts({
      store,
      email: config.email,
      readFile: (path) => readFileSync(resolve(directory, path), "utf8"),
    });
    const board = new ChallengeBoard({ shared: isShared ? store : null, publish: () => this.#hang() });
    const dns = config.dns === null ? [] : [dnsSolver(config.dns, directory, log)];
    const all: readonly ChallengeSolver[] = [board.http, board.tls, ...dns];
    const solvers = config.challenges.map((type) => all.find((one) => one.type === type)!);
    const keeper = new CertificateKeeper({
      config,
      shelf,
      accounts,
      solvers,
      log,
      onChange: () => void this.#publisher.soon(),
      onOrder: (ca, isObtained) => this.#count(ca, isObtained),
    });
    board.start();
    const sweep = () =>
      void shelf.sweep().catch((thrown) => log.warn("the certificate store was not swept", { reason: thrown.message }));
    sweep();
    const sweeping = setInterval(sweep, SWEEP_MS);
    sweeping.unref();
    const rules = config.onDemand === null ? null : new OnDemandRules(config.onDemand, log);
    return { config, folder, accounts, board, keeper, rules, onDemand: new NameSet([]), stored, sweeping };
  }

  /** At the start, workers come after the first orders: a CA that looks early would wait in the backlog, but not for long. */
  async #hang(): Promise<void> {
    await this.#publisher.soon();
    const until = performance.now() + WORKERS_MS;
    while (!this.#options.isServed() && this.#running !== null && performance.now() < until) await Bun.sleep(50);
  }

  #published(): Published {
    if (this.#running === null) return {};
    const { keeper, board } = this.#running;
    return {
      ...board.view,
      certificates: this.#material.of(keeper.certificates()),
      onDemand: this.#plan.acmeOnDemand,
    };
  }

  #count(ca: string, isObtained: boolean): void {
    const counts = this.#orders.get(ca) ?? { obtained: 0, failed: 0 };
    this.#orders.set(ca, counts);
    counts[isObtained ? "obtained" : "failed"]++;
  }

  /** Metrics of the names that sites spell out: those on demand would be without a bound. */
  #show({ config, keeper }: Running): void {
    const registry = this.#options.registry();
    for (const ca of new Set(config.cas.map(({ name }) => name))) {
      for (const outcome of ["obtained", "failed"] as const) {
        const read = () => this.#orders.get(ca)?.[outcome] ?? 0;
        const help = "Certificates ordered from a CA.";
        registry.reading("lintel_acme_orders_total", help, { ca, outcome }, read, "counter");
      }
    }
    for (const name of this.#plan.acme) {
      const view = () => keeper.view(name);
      registry.reading(
        "lintel_acme_failures",
        "Failures in a row to get a certificate.",
        { name },
        () => view()?.failures ?? 0,
      );
      registry.reading(
        "lintel_acme_next_try_seconds",
        "Unix time of the next order: the renewal, or a try after a failure.",
        { name },
        () => (view()?.nextAt ?? 0) / 1000,
      );
    }
  }
}

/** Challenges that the CA can come to: at a plain listener, or one with TLS. */
function withReachable({ tls: { acme }, listeners }: GatewayConfig): AcmeConfig | null {
  if (acme === null) return null;
  const isPlain = listeners.some(({ tls }) => tls === null);
  const challenges = acme.challenges.filter((type) => type !== "http-01" || isPlain);
  return { ...acme, challenges: challenges.length === 0 ? acme.challenges : challenges };
}

async function end({ keeper, board, accounts, sweeping }: Running): Promise<void> {
  clearInterval(sweeping);
  board.stop();
  await keeper.stop();
  accounts.close();
}

/**
 * Keeps certificates for a set of names: takes what lies in the store, orders what is missing, renews what
 * is due, and tries again later and later what fails. Everything that is decided is decided per
 * name; names only share the number of orders at one time.
 *
 * Before an order the name's lock is taken and the store looked at once more: another machine may have
 * been quicker. Failures lie in the store, too, so that neither a restart nor another machine
 * asks the CA sooner than it should be.
 */
import { createHash } from "node:crypto";
import type { Log } from "../base/log.ts";
import type { AcmeCaConfig, AcmeConfig } from "../config/gateway-config.ts";
import type { Accounts } from "./account.ts";
import { adviceFor } from "./advice.ts";
import type { RenewalWindow } from "./ca-client.ts";
import { CaProblem } from "./ca-problem.ts";
import { certificateId } from "./certificate-id.ts";
import { type CertificateShelf, type KeptFailures, keptCertificate } from "./certificate-shelf.ts";
import type { ChallengeSolver } from "./challenge.ts";
import { orderCertificate } from "./order.ts";
import { BACKOFF, type Backoff, backoffMs, type KeptCertificate, renewalTime } from "./renewal.ts";

export interface KeeperOptions {
  readonly config: AcmeConfig;
  readonly shelf: CertificateShelf;
  readonly accounts: Accounts;
  /** Those of `config.challenges`, in that order. */
  readonly solvers: readonly ChallengeSolver[];
  readonly log: Log;
  readonly backoff?: Backoff;
  /** There is another certificate, or one less. */
  onChange(): void;
  /** An order has come to its end. */
  onOrder?(ca: string, isObtained: boolean): void;
}

/** How a name stands; for `lintel cert` and the metrics. */
export interface NameView {
  readonly name: string;
  readonly certificate: KeptCertificate | null;
  /** When something is done next: an order or a renewal. Unix time in ms. */
  readonly nextAt: number;
  /** In a row. */
  readonly failures: number;
  readonly lastFailure: string | null;
}

interface KeptName {
  readonly name: string;
  /** It may go when it is not needed. */
  readonly isOnDemand: boolean;
  certificate: KeptCertificate | null;
  /** It is of a CA that is not asked any more, such as one for trying things out: it serves until there is another. */
  isForeign: boolean;
  window: RenewalWindow | null;
  /** When the CA is asked for its window. */
  askAt: number;
  failures: KeptFailures | null;
  working: Promise<void> | null;
}

/** Clocks are set and machines sleep: nobody waits longer before looking at the time. */
const MOST_WAIT_MS = 600_000;

export class CertificateKeeper {
  readonly #options: KeeperOptions;
  readonly #settings: string;
  readonly #names = new Map<string, KeptName>();
  readonly #stopping = new AbortController();
  #running = 0;
  /** Those that wait until fewer run. */
  readonly #queue: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#settings = createHash("sha256").update(JSON.stringify(options.config)).digest("hex").slice(0, 12);
  }

  /** These names, besides those on demand. What lies in the store is there when this settles; orders begin then. */
  async keep(names: readonly string[]): Promise<void> {
    const wanted = new Set(names);
    for (const { name, isOnDemand } of [...this.#names.values()])
      if (!isOnDemand && !wanted.has(name)) this.#names.delete(name);
    for (const name of wanted) {
      const known = this.#names.get(name);
      if (known === undefined || known.isOnDemand) this.#names.set(name, await this.#load(name, false, known));
    }
    this.#plan();
  }

  /** All that can be shown now. */
  certificates(now = Date.now()): KeptCertificate[] {
    return [...this.#names.values()].flatMap(({ certificate }) =>
      certificate === null || certificate.notAfter <= now ? [] : [certificate],
    );
  }

  views(): NameView[] {
    return [...this.#names.values()].map(viewOf);
  }

  /** @returns null for a name that is not kept */
  view(name: string): NameView | null {
    const kept = this.#names.get(name);
    return kept === undefined ? null : viewOf(kept);
  }

  /** When this certificate is renewed; Unix time in ms, null: it is none of those. */
  renewalOf(fingerprint: string): number | null {
    for (const kept of this.#names.values()) if (kept.certificate?.fingerprint === fingerprint) return dueAt(kept);
    return null;
  }

  /**
   * Takes what lies in the store for a name on demand; orders nothing.
   * @returns "later" if there is nothing of use, and a failure has to be sat out
   */
  async fetch(name: string): Promise<"there" | "missing" | "later"> {
    const kept = this.#names.get(name) ?? (await this.#load(name, true, undefined));
    if (!isValid(kept)) return dueAt(kept) > Date.now() ? "later" : "missing";
    if (!this.#names.has(name)) {
      this.#names.set(name, kept);
      this.#plan();
    }
    return "there";
  }

  /**
   * Gets a certificate for a name on demand, at once if nothing forbids it.
   * @returns whether there is one; false also while a failure has to be sat out
   */
  async obtain(name: string): Promise<boolean> {
    if (!this.#names.has(name)) this.#names.set(name, await this.#load(name, true, undefined));
    const kept = this.#names.get(name)!;
    if (dueAt(kept) <= Date.now()) await this.#begin(kept);
    const isThere = isValid(kept);
    if (!isThere) this.drop(name);
    this.#plan();
    return isThere;
  }

  /** Forgets a name on demand; what is in the store stays. */
  drop(name: string): void {
    const kept = this.#names.get(name);
    if (kept?.isOnDemand === true && kept.working === null) this.#names.delete(name);
  }

  /** Orders that are under way are given up. Settles when they have let go of their locks. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the gateway stops"));
    if (this.#timer !== null) clearTimeout(this.#timer);
    await Promise.all([...this.#names.values()].map(({ working }) => working));
  }

  async #load(name: string, isOnDemand: boolean, before: KeptName | undefined): Promise<KeptName> {
    const { shelf, log } = this.#options;
    // The work on it looks again before it orders, and waits longer and longer. A client is told at once: its name is
    // not to use up what may be ordered.
    const asMissing = (thrown: Error): null => {
      if (isOnDemand) throw thrown;
      log.error("the store cannot be read: is the disk broken, or a file of another user?", {
        name,
        reason: thrown.message,
      });
      return null;
    };
    const certificate = before?.certificate ?? (await shelf.certificate(name).catch(asMissing));
    return {
      name,
      isOnDemand,
      certificate,
      isForeign: this.#isForeign(certificate),
      window: before?.window ?? null,
      askAt: before?.askAt ?? Date.now(),
      failures: await shelf.failures(name, this.#settings).catch(asMissing),
      working: null,
    };
  }

  /** Begins what is due, and sets the timer for what is not. */
  #plan(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#stopping.signal.aborted) return;
    const now = Date.now();
    let nextAt = now + MOST_WAIT_MS;
    for (const kept of this.#names.values()) {
      if (kept.working !== null) continue;
      const at = Math.min(dueAt(kept), asksAt(kept));
      if (at > now) nextAt = Math.min(nextAt, at);
      else if (this.#running < this.#options.config.orders) void this.#begin(kept);
    }
    this.#timer = setTimeout(() => this.#plan(), Math.max(1, nextAt - now));
    this.#timer.unref();
  }

  #begin(kept: KeptName): Promise<void> {
    kept.working ??= this.#work(kept).finally(() => {
      kept.working = null;
      this.#plan();
    });
    return kept.working;
  }

  async #work(kept: KeptName): Promise<void> {
    if (this.#running >= this.#options.config.orders) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#running++;
    try {
      if (asksAt(kept) <= Date.now()) await this.#askWindow(kept);
      if (dueAt(kept) <= Date.now()) await this.#renew(kept);
    } catch (thrown) {
      if (this.#stopping.signal.aborted) return;
      await this.#failed(kept, [thrown as Error]);
    } finally {
      this.#running--;
      this.#queue.shift()?.();
    }
  }

  /** When would the CA like it renewed (RFC 9773)? No answer is no harm. */
  async #askWindow(kept: KeptName): Promise<void> {
    const certificate = kept.certificate!;
    const { config, accounts, log } = this.#options;
    const ca = config.cas.find(({ directory }) => directory === certificate.directory);
    kept.askAt = Number.POSITIVE_INFINITY;
    if (ca === undefined) return;
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(config.timeout)]);
    try {
      const client = await accounts.client(ca, signal);
      const window = await client.renewalWindow(certificate.cert, signal);
      if (window === null) return;
      const before = dueAt(kept);
      kept.window = window;
      kept.askAt = Date.now() + window.askAgainMs;
      if (dueAt(kept) < Math.min(before, Date.now()))
        log.info("the CA asks for a renewal before its time", { name: kept.name, ca: ca.name });
    } catch (thrown) {
      this.#stopping.signal.throwIfAborted();
      kept.askAt = Date.now() + 3_600_000;
      log.debug("the CA did not say when to renew", { name: kept.name, reason: (thrown as Error).message });
    }
  }

  async #renew(kept: KeptName): Promise<void> {
    const { shelf, config } = this.#options;
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(config.timeout)]);
    let lock: Awaited<ReturnType<typeof shelf.store.lock>>;
    try {
      lock = await shelf.store.lock(`issue/${kept.name}`, signal);
    } catch (thrown) {
      this.#stopping.signal.throwIfAborted();
      throw new Error(`somebody else has been ordering it for a long time: ${(thrown as Error).message}`);
    }
    try {
      if (!(await this.#isDone(kept))) await this.#order(kept);
    } finally {
      await lock.release();
    }
  }

  /** Somebody else has renewed it meanwhile, or has failed just now. */
  async #isDone(kept: KeptName): Promise<boolean> {
    const { shelf, log } = this.#options;
    const stored = await shelf.certificate(kept.name);
    if (stored !== null && stored.fingerprint !== kept.certificate?.fingerprint) {
      const isBetter =
        stored.notAfter > (kept.certificate?.notAfter ?? 0) || (kept.isForeign && !this.#isForeign(stored));
      if (isBetter) this.#use(kept, stored);
      if (dueAt(kept) > Date.now()) {
        log.info("another machine has got the certificate", { name: kept.name });
        return true;
      }
    }
    const before = kept.failures;
    kept.failures = await shelf.failures(kept.name, this.#settings);
    if (dueAt(kept) <= Date.now()) return false;
    if (kept.failures !== null && kept.failures.until !== before?.until) {
      const { reason, until } = kept.failures;
      log.warn("another machine could not get the certificate", { name: kept.name, reason, nextTry: dateOf(until) });
    }
    return true;
  }

  /** Asks one CA after the other; each has its time. */
  async #order(kept: KeptName): Promise<void> {
    const { config, log, shelf } = this.#options;
    const problems: Error[] = [];
    for (const ca of config.cas) {
      const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(config.timeout)]);
      try {
        const certificate = await this.#orderFrom(ca, kept, signal);
        await shelf.keep(certificate);
        const message = kept.certificate === null ? "certificate obtained" : "certificate renewed";
        this.#use(kept, certificate);
        this.#options.onOrder?.(ca.name, true);
        const { name, notAfter } = certificate;
        log.info(message, { name, ca: ca.name, until: dateOf(notAfter), renewal: dateOf(dueAt(kept)) });
        return;
      } catch (thrown) {
        this.#stopping.signal.throwIfAborted();
        const problem = signal.aborted
          ? new CaProblem("", `it was not there after ${config.timeout / 1000} s`)
          : thrown instanceof CaProblem
            ? thrown
            : new CaProblem("", (thrown as Error).message);
        this.#options.onOrder?.(ca.name, false);
        problems.push(problem);
        log.warn("a CA gave no certificate", {
          name: kept.name,
          ca: ca.name,
          reason: problem.message,
          advice: adviceFor(problem),
        });
      }
    }
    await this.#failed(kept, problems);
  }

  async #orderFrom(ca: AcmeCaConfig, kept: KeptName, signal: AbortSignal): Promise<KeptCertificate> {
    const { config, accounts } = this.#options;
    const { certificate, failures, name } = kept;
    const replaces =
      kept.window !== null && certificate?.directory === ca.directory ? certificateId(certificate.cert) : null;
    // What has failed is tried in another way the next time.
    const solvers = rotated(this.#solversFor(name), failures?.count ?? 0);
    const wish = { name, keyKind: config.keyKind, solvers, replaces };
    const client = await accounts.client(ca, signal);
    try {
      return keptCertificate(name, await orderCertificate(client, wish, signal), ca);
    } catch (thrown) {
      const { kind } = thrown as Partial<CaProblem>;
      if (kind === "accountDoesNotExist") {
        await accounts.forget(ca, client);
        return keptCertificate(name, await orderCertificate(await accounts.client(ca, signal), wish, signal), ca);
      }
      // RFC 9773 §5: what it would replace may have been replaced already.
      if (replaces === null || !["alreadyReplaced", "malformed"].includes(kind ?? "")) throw thrown;
      const plain = { ...wish, replaces: null };
      return keptCertificate(name, await orderCertificate(client, plain, signal), ca);
    }
  }

  /** RFC 8555 §7.1.3 leaves it open, but CAs want dns-01 for wildcards. */
  #solversFor(name: string): readonly ChallengeSolver[] {
    const { solvers } = this.#options;
    return name.startsWith("*.") ? solvers.filter(({ type }) => type === "dns-01") : solvers;
  }

  async #failed(kept: KeptName, problems: readonly Error[]): Promise<void> {
    const { shelf, log, backoff = BACKOFF } = this.#options;
    const count = (kept.failures?.count ?? 0) + 1;
    // The CA that lets us come back first decides; one that says nothing does not.
    const waits = problems.map((one) => (one instanceof CaProblem ? (one.retryAfterMs ?? 0) : 0));
    const waitMs = Math.max(backoffMs(count, backoff), waits.length === 0 ? 0 : Math.min(...waits));
    const reason = problems.map(({ message }) => message).join("; ");
    const until = Date.now() + waitMs;
    kept.failures = { count, until, reason, settings: this.#settings };
    const { name, certificate } = kept;
    const has = certificate !== null && certificate.notAfter > Date.now();
    const message = has ? "certificate not renewed; the present one serves on" : "no certificate";
    log.error(message, {
      name,
      until: has ? dateOf(certificate.notAfter) : undefined,
      failures: count,
      nextTry: dateOf(until),
    });
    await shelf.note(name, kept.failures).catch((thrown) => {
      log.error("the store cannot be written: is the disk full, or of another user?", { reason: thrown.message });
    });
  }

  #isForeign(certificate: KeptCertificate | null): boolean {
    return (
      certificate !== null && !this.#options.config.cas.some(({ directory }) => directory === certificate.directory)
    );
  }

  #use(kept: KeptName, certificate: KeptCertificate): void {
    kept.certificate = certificate;
    kept.isForeign = this.#isForeign(certificate);
    kept.window = null;
    kept.askAt = Date.now();
    kept.failures = null;
    this.#options.onChange();
  }
}

const isValid = ({ certificate }: KeptName): boolean => certificate !== null && certificate.notAfter > Date.now();

function viewOf(kept: KeptName): NameView {
  const { name, certificate, failures } = kept;
  return {
    name,
    certificate,
    nextAt: dueAt(kept),
    failures: failures?.count ?? 0,
    lastFailure: failures?.reason ?? null,
  };
}

/** When it is to be ordered: at once without a certificate, but never before a failure is sat out. */
function dueAt({ certificate, isForeign, window, failures }: KeptName): number {
  return Math.max(certificate === null || isForeign ? 0 : renewalTime(certificate, window), failures?.until ?? 0);
}

const asksAt = ({ certificate, askAt }: KeptName): number => (certificate === null ? Number.POSITIVE_INFINITY : askAt);

function rotated<T>(list: readonly T[], by: number): T[] {
  const at = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

const dateOf = (unixMs: number): string => new Date(unixMs).toISOString().replace(/\.\d+/, "");

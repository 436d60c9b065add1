/**
 * The process that a person starts and stops: binds the listening sockets, gives up root's rights,
 * keeps the workers alive, and answers for all of them (metrics, health). It carries no traffic.
 */
import { chownSync, mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import program from "../../package.json" with { type: "json" };
import type { Log } from "../base/log.ts";
import type { AdminConfig, GatewayConfig, ListenerConfig } from "../config/gateway-config.ts";
import { formatAddress, parseAddress } from "../net/address.ts";
import { accessLogPath } from "../telemetry/access-log.ts";
import { renderMetrics } from "../telemetry/exposition.ts";
import { processLog } from "../telemetry/process-log.ts";
import { readStats } from "../telemetry/stats.ts";
import { materialOf, readFilesOf, readMaterial, type TlsMaterial } from "../tls/tls-material.ts";
import { automaticSources } from "./automatic-sources.ts";
import { certificateMetrics, viewCertificates, viewName } from "./certificate-view.ts";
import { ClientTally } from "./client-tally.ts";
import { ConfigWatch } from "./config-watch.ts";
import { type ConfigStatus, type Control, ControlError, type UpgradeBegun } from "./control.ts";
import type { Handover } from "./handover.ts";
import { readOverrides, writeOverrides } from "./kept-overrides.ts";
import { listenSpecs } from "./listen-spec.ts";
import { type HeldListener, ListenErrors, ListenerSet } from "./listener-set.ts";
import { dropPrivileges, findAccount, prepareLogFile } from "./privileges.ts";
import { type LoadedConfig, Reloader } from "./reload.ts";
import { type Servable, Service } from "./service.ts";
import { Signals } from "./signals.ts";
import { stateFolder } from "./state-folder.ts";
import { filesNeeded, raiseFileLimit } from "./supervisor-limits.ts";
import { bindListener } from "./supervisor-listen.ts";
import { type FitProgram, type ProgramCommand, takeOver, tryProgram } from "./upgrade.ts";
import { Versions } from "./versions.ts";

export interface SupervisorOptions extends Servable {
  /** Default: standard error, as the config says. */
  readonly log?: Log;
  /** The config file; null: it came from the command line. */
  readonly file?: string | null;
  /** Files that were read for it. */
  readonly files?: readonly string[];
  /** Reads the config again; without it there is nothing to read. */
  readonly load?: (before: unknown) => Promise<LoadedConfig>;
  /** Reads a tree that was served before. */
  readonly loadTree?: (tree: unknown, origin: string, before: unknown) => Promise<LoadedConfig>;
  /** How to start this program again; without it there are no upgrades. */
  readonly command?: ProgramCommand;
  /** What the program before left to us. */
  readonly handover?: Handover | null;
  /** Default: they are heard once there are workers to start. */
  readonly signals?: Signals | null;
  /** Starts an admin listener; it lives on a higher floor. */
  readonly startAdmin?: (config: AdminConfig, control: Control) => Admin;
  /** Program and arguments of a worker; default: this runtime with worker.ts. */
  readonly workerCommand?: readonly string[];
}

export interface Admin {
  readonly url: string;
  stop(): void;
}

const WORKER = [process.execPath, fileURLToPath(new URL("./worker.ts", import.meta.url))];
/** The answer to who asked for an upgrade leaves in this time. */
const ANSWER_MS = 100;

/** @returns exit code: 0 after a drain, 1 if it could not start or had to be ended */
export async function runSupervisor(options: SupervisorOptions): Promise<number> {
  const { config, handover = null, log = processLog(config.telemetry.log) } = options;
  const count = config.workers === "auto" ? availableParallelism() : config.workers;
  handover?.begin();
  const listeners = new ListenerSet(count, handover?.bind ?? bindListener);
  const folder = stateFolder(config.state, options.file ?? null);
  const cleanUp: (() => void)[] = [() => listeners.close()];
  try {
    checkFileLimit(config, count, log);
    (await listeners.prepare(listenSpecs(config))).commit();
    const material = earlyMaterial(options);
    becomeUser(options, folder, log);
    const supervisor = new Supervisor(options, folder, count, listeners, material, log);
    cleanUp.push(() => supervisor.close());
    return await supervisor.run();
  } catch (error) {
    const problems = error instanceof ListenErrors ? error.all : [error];
    for (const one of problems) log.error(one instanceof Error ? one.message : String(one));
    return 1;
  } finally {
    for (const clean of cleanUp.reverse()) clean();
  }
}

class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: Log;
  readonly #listeners: ListenerSet;
  readonly #service: Service;
  readonly #reloader: Reloader;
  readonly #versions: Versions;
  readonly #watch: ConfigWatch;
  readonly #tally: ClientTally;
  readonly #folder: string;
  readonly #startedAt = Date.now();
  #admin: Admin | undefined;
  #socket: Admin | undefined;
  #stopping = false;
  #upgrading: Promise<UpgradeBegun> | null = null;
  #lastFailure: ConfigStatus["lastFailure"] = null;

  constructor(
    options: SupervisorOptions,
    folder: string,
    count: number,
    listeners: ListenerSet,
    material: TlsMaterial | null,
    log: Log,
  ) {
    this.#options = options;
    this.#log = log;
    this.#listeners = listeners;
    this.#folder = folder;
    const overrides = join(folder, "endpoints.json");
    this.#service = new Service(options, {
      count,
      listeners,
      log,
      command: options.workerCommand ?? WORKER,
      material,
      saved: options.handover?.facts.overrides ?? readOverrides(overrides, log),
      certificateSources: automaticSources({
        folder: join(folder, "certificates"),
        log,
        fromFiles: () => this.#service.certificates.material.certificates.filter(({ source }) => source === "file"),
        isServed: () => this.#service.certificates.isServed,
        registry: () => this.#service.metrics.registry,
      }),
      save: (changed) => writeOverrides(overrides, changed, log),
      onMessage: (slot, message) => {
        if (message.kind === "clients") this.#tally.report(slot, message);
      },
    });
    this.#tally = new ClientTally((message) => this.#service.workers.send(message));
    this.#versions = new Versions(join(folder, "versions"), options.config.reload.versions, log);
    this.#reloader = new Reloader({
      log,
      versions: this.#versions,
      load: options.load ?? (() => Promise.reject(new Error("the config came from the command line"))),
      loadTree: options.loadTree ?? (() => Promise.reject(new Error("configs cannot be read here"))),
      current: () => this.#service.current,
      exchange: (loaded) => this.#service.exchange(loaded),
      onDone: (result, files) => {
        this.#lastFailure = result.outcome === "refused" ? { at: Date.now(), reason: result.reason } : null;
        if (files.length > 0) this.#follow(files);
      },
    });
    this.#watch = new ConfigWatch(() => void this.#reloader.follow("file change"));
  }

  /** From the start of the workers to their end. @returns exit code */
  async run(): Promise<number> {
    const { config, handover, tree, origin, files = [] } = this.#options;
    const signals = this.#options.signals ?? new Signals();
    // Nothing else is exchanged before the first config is served.
    const starting = this.#reloader.alone(() => this.#start());
    this.#startAdmin(config.admin);
    this.#follow(files);
    signals.onReload = () => void this.#reloader.reload("SIGHUP");
    signals.onReopen = () => {
      this.#service.workers.reopen();
      handover?.reopen();
    };
    signals.onUpgrade = () =>
      void this.#upgrade("SIGUSR2").catch(({ message }) => this.#log.error(`SIGUSR2: ${message}`));
    const begun = await Promise.race([starting, signals.first]);
    // A signal to the whole process group ends workers that are not listening yet, too.
    if (begun === "failed") return handover === null && signals.isStopping ? 0 : 1;
    if (begun === "started") {
      for (const listener of this.#listeners.all) {
        this.#log.info(`listening on ${this.#urlOf(listener)}`, { listener: listener.name });
      }
      if (this.#admin !== undefined) this.#log.info(`admin on ${this.#admin.url}`);
      this.#versions.record({ tree, origin, trigger: handover ? "upgrade" : "start" });
      handover?.complete(config.timeouts.drain, this.#log);
    }
    return this.#stop(await signals.first, signals.second);
  }

  close(): void {
    // An upgrade may still be under way.
    this.#stopping = true;
    this.#options.signals?.leave();
    this.#watch.stop();
    this.#admin?.stop();
    this.#socket?.stop();
    this.#service.stop();
  }

  /** The one of the config, and a unix socket in the state folder for commands of the same user. */
  #startAdmin(config: AdminConfig | null): void {
    const { startAdmin } = this.#options;
    if (startAdmin === undefined) return;
    const control = this.#control();
    if (config !== null) this.#admin = startAdmin(config, control);
    const address = `unix:${join(this.#folder, "admin.sock")}`;
    if (config?.address === address) return;
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      this.#socket = startAdmin({ address, token: null }, control);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#log.warn("commands of this machine do not reach this program: choose another folder with `state`", {
        reason,
      });
    }
  }

  async #start(): Promise<"started" | "failed"> {
    try {
      await this.#service.begin();
      await this.#service.workers.start();
      return "started";
    } catch (error) {
      if (this.#stopping) return "failed";
      this.#log.error(`workers do not start: ${error instanceof Error ? error.message : String(error)}`);
      await this.#service.workers.kill();
      return "failed";
    }
  }

  async #stop(why: string, second: Promise<string>): Promise<number> {
    const { workers, current } = this.#service;
    const { handover } = this.#options;
    this.#stopping = true;
    this.#watch.stop();
    const graceMs = current.config.timeouts.drain;
    const patience = graceMs === Infinity ? "however long it takes" : `for ${graceMs / 1000} s at most`;
    this.#log.info(`${why}: finishing what is in flight, ${patience}; signal again to end now`);
    let killed = false;
    void second.then((again) => {
      this.#log.warn(`${again}: ending now`);
      killed = true;
      handover?.kill();
      return workers.kill();
    });
    workers.cancelPreparation();
    const exchanged = this.#reloader.stop();
    if (this.#service.isExchanging) await exchanged;
    const drained = [workers.drain(graceMs), handover?.end(graceMs) ?? true];
    this.#listeners.close();
    const inTime = (await Promise.all(drained)).every(Boolean);
    if (!inTime && !killed) this.#log.warn("workers that had not finished were ended");
    return killed ? 1 : 0;
  }

  #follow(files: readonly string[]): void {
    this.#watch.follow(this.#service.current.config.reload.watch ? files : []);
  }

  /** Who asks again while one is under way gets that one. @throws {ControlError} `upgrade-refused` */
  #upgrade(trigger: string): Promise<UpgradeBegun> {
    this.#upgrading ??= this.#beginUpgrade(trigger).catch((thrown) => {
      this.#upgrading = null;
      throw thrown;
    });
    return this.#upgrading;
  }

  /** Checks the program on the disk, and becomes it a moment later. */
  async #beginUpgrade(trigger: string): Promise<UpgradeBegun> {
    const { command } = this.#options;
    if (command === undefined) throw new ControlError("not-available", "this program does not know how it was started");
    let fit: FitProgram;
    try {
      fit = await tryProgram(command);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      throw new ControlError("upgrade-refused", `the program stays as it is: ${reason}`);
    }
    void this.#reloader.alone(async () => {
      await Bun.sleep(ANSWER_MS);
      await this.#becomeSuccessor(command, fit, trigger);
    });
    return { version: fit.version };
  }

  async #becomeSuccessor(command: ProgramCommand, fit: FitProgram, trigger: string): Promise<void> {
    const { workers, directory, certificates } = this.#service;
    if (this.#stopping) return;
    this.#log.info(`${trigger}: Lintel ${fit.version} takes over`);
    const { serving, draining } = await workers.handOver();
    const facts = {
      version: program.version,
      listeners: this.#listeners.all.map(({ kind, name, written, address, fds }) => ({
        kind,
        name,
        written,
        address,
        fds,
      })),
      workers: serving,
      draining: [...draining, ...(this.#options.handover?.workers ?? [])],
      overrides: directory.overrides(),
      material: readFilesOf(certificates.material),
    };
    try {
      await takeOver(command, fit, facts, () => this.#stopping);
    } catch (thrown) {
      this.#log.error(`the program stays as it is: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
    workers.takeBack();
    this.#upgrading = null;
  }

  #control(): Control {
    const { zone, workers, directory, certificates } = this.#service;
    const names = new Map([
      [zone.slots - 1, "supervisor"],
      [zone.slots - 2, "http3"],
    ]);
    const slotName = (slot: number) => names.get(slot) ?? String(slot);
    return {
      version: program.version,
      startedAt: this.#startedAt,
      workers: () => workers.view(),
      listeners: () => this.#listeners.all.map((one) => ({ name: one.name, url: this.#urlOf(one) })),
      config: () => this.#status(),
      metrics: () =>
        renderMetrics(this.#service.metrics.registry, zone, slotName) + certificateMetrics(certificates, zone),
      stats: () => readStats(this.#service.metrics.registry, zone),
      clients: () => this.#tally.ask(),
      certificates: () => viewCertificates(certificates),
      missingCertificates: () => certificates.missing(),
      certificatesFor: (name) => viewName(this.#service.current.config, certificates, name),
      upstreams: directory,
      reload: (trigger) => this.#reloader.reload(trigger),
      versions: () => this.#versions.list(),
      versionText: (number) => this.#versions.text(number),
      diff: (from, to) => this.#versions.diff(from, to),
      rollback: (number, trigger) => this.#reloader.rollback(number, trigger),
      upgrade: (trigger) => this.#upgrade(trigger),
    };
  }

  /** For people to click on. */
  #urlOf({ kind, name: wanted, address }: HeldListener): string {
    const { listeners } = this.#service.current.config;
    const isSecure = listeners.some(({ name, tls }) => name === wanted && tls !== null);
    if (address.kind === "unix") return formatAddress(address);
    if (kind !== "http") return `${kind}://${formatAddress(address)}`;
    return `${isSecure ? "https" : "http"}://${formatAddress(address)}`;
  }

  #status(): ConfigStatus {
    const { origin, generation, hash, since } = this.#service.current;
    const { file = null } = this.#options;
    return { origin, file, generation, version: this.#versions.current, hash, since, lastFailure: this.#lastFailure };
  }
}

function checkFileLimit(config: GatewayConfig, workers: number, log: Log): void {
  const files = raiseFileLimit();
  const needed = filesNeeded(config, workers);
  if (files >= needed) return;
  const hint = "connections beyond it wait; raise it (LimitNOFILE= in systemd, ulimit -n) or lower maxConnections";
  log.warn(`the limit of ${files} open files per process is below the ${needed} that maxConnections may need: ${hint}`);
}

/** Keys that only root may read, and what the program before had read of them. */
function earlyMaterial({ config, directory, handover = null }: SupervisorOptions): TlsMaterial | null {
  const before = handover?.facts.material === undefined ? null : materialOf(handover.facts.material);
  return config.user === null ? before : readMaterial(config, directory, before).material;
}

function becomeUser({ config, directory }: SupervisorOptions, folder: string, log: Log): void {
  if (config.user === null) return;
  const account = findAccount(config.user);
  const { accessLog } = config.telemetry;
  const path = accessLog === null ? null : accessLogPath(accessLog, directory);
  if (path !== null) prepareLogFile(path, account);
  prepareStateFolder(folder, account);
  if (config.tls.storage !== null) prepareStateFolder(resolve(directory, config.tls.storage), account);
  dropPrivileges(account, config.listeners.some(bindsLowUdpPort));
  log.info(`running as ${account.name}`, { uid: account.uid, gid: account.gid });
}

/** The process that serves HTTP/3 binds its port itself. */
function bindsLowUdpPort({ http3, address }: ListenerConfig): boolean {
  const parsed = parseAddress(address);
  return http3 !== null && parsed?.kind === "tcp" && parsed.port > 0 && parsed.port < 1024;
}

/** What root may make, and the user may write in. */
function prepareStateFolder(folder: string, { uid, gid }: { readonly uid: number; readonly gid: number }): void {
  if (process.getuid?.() !== 0) return;
  try {
    mkdirSync(dirname(folder), { recursive: true, mode: 0o755 });
    if (mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined) chownSync(folder, uid, gid);
  } catch {
    // What is to be kept there says so.
  }
}

/**
 * Serves another config without losing anything: one attempt at a time, all or nothing. Whoever asks
 * while one is under way gets the next; several that want the file read anew share it.
 */
import type { Log } from "../base/log.ts";
import { type Diagnostic, oneLine, type Problem } from "../config/diagnostic.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import { keepFixed } from "./config-changes.ts";
import type { ReloadResult } from "./control.ts";
import type { Versions } from "./versions.ts";

/** A config as it was read: fit to be served, or with what is wrong with it. */
export interface LoadedConfig {
  /** null if there is an error. */
  readonly config: GatewayConfig | null;
  /** Plain data with variables and includes resolved. */
  readonly tree: unknown;
  readonly diagnostics: readonly Diagnostic[];
  /** Files that were read. */
  readonly files: readonly string[];
  /** What it is called in messages. */
  readonly origin: string;
  /** Relative paths in it start here. */
  readonly directory: string;
  /** Warnings that take a while to find: they are looked for when the config is in force. */
  warnings(): readonly Diagnostic[];
  /** A further problem at a path of the tree. */
  diagnose(path: string, problem: Problem): Diagnostic;
}

export interface UsableConfig extends LoadedConfig {
  readonly config: GatewayConfig;
}

export interface ReloaderOptions {
  readonly log: Log;
  readonly versions: Versions;
  /** Reads the config again from where it came from. @param before tree of the config in force */
  load(before: unknown): Promise<LoadedConfig>;
  /** Reads a tree that was served before. */
  loadTree(tree: unknown, origin: string, before: unknown): Promise<LoadedConfig>;
  /** The config in force. */
  current(): { readonly config: GatewayConfig; readonly tree: unknown; readonly generation: number };
  /**
   * Puts a config in force on all workers, or on none.
   * @returns what has changed
   * @throws {Error} if it cannot be; nothing has changed then
   */
  exchange(loaded: UsableConfig): Promise<readonly string[]>;
  /** An attempt is over. @param files of the config that was read, as far as it could be */
  onDone(result: ReloadResult, files: readonly string[]): void;
}

interface Wish {
  readonly trigger: string;
  /** A version to go back to; null: read the file. */
  readonly version: number | null;
  /** There is nothing to do if it says the same. */
  readonly onlyIfChanged: boolean;
}

export class Reloader {
  readonly #options: ReloaderOptions;
  /** Settles when nothing is under way. */
  #last: Promise<unknown> = Promise.resolve();
  /** The next reading of the file, while it has not begun. */
  #next: Promise<ReloadResult> | null = null;
  #stopped = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
  }

  /** Reads the config again and serves it, also if it says the same: files that it names may have changed. */
  reload(trigger: string): Promise<ReloadResult> {
    return this.#ask({ trigger, version: null, onlyIfChanged: false });
  }

  /** Reads the config again and serves it if it says something else than before. */
  follow(trigger: string): Promise<ReloadResult> {
    return this.#ask({ trigger, version: null, onlyIfChanged: true });
  }

  /** @throws {ControlError} `unknown-version` */
  async rollback(number: number, trigger: string): Promise<ReloadResult> {
    this.#options.versions.tree(number);
    return this.#inTurn(() => this.#attempt({ trigger, version: number, onlyIfChanged: false }));
  }

  /** Runs something while no config is being exchanged. */
  alone<Made>(work: () => Promise<Made>): Promise<Made> {
    return this.#inTurn(work);
  }

  /** Nothing begins any more; settles when what is under way is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#last;
  }

  #ask(wish: Wish): Promise<ReloadResult> {
    this.#next ??= this.#inTurn(() => {
      this.#next = null;
      return this.#attempt(wish);
    });
    return this.#next;
  }

  #inTurn<Made>(work: () => Promise<Made>): Promise<Made> {
    const made = this.#last.then(work);
    this.#last = made.catch(() => {});
    return made;
  }

  async #attempt(wish: Wish): Promise<ReloadResult> {
    const { log, onDone } = this.#options;
    const begunAt = performance.now();
    let files: readonly string[] = [];
    let result: ReloadResult;
    try {
      this.#checkStopped();
      const loaded = await this.#load(wish);
      files = loaded.files;
      this.#checkStopped();
      result = await this.#apply(wish, loaded, begunAt);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      result = { outcome: "refused", reason, diagnostics: [] };
    }
    if (result.outcome === "refused") {
      log.error(`${wish.trigger}: the config in force stays: ${result.reason}`);
      for (const diagnostic of result.diagnostics) log.error(oneLine(diagnostic));
    }
    onDone(result, files);
    return result;
  }

  #checkStopped(): void {
    if (this.#stopped) throw new Error("the program is stopping");
  }

  async #load({ version }: Wish): Promise<LoadedConfig> {
    const { versions, load, loadTree, current } = this.#options;
    const before = current().tree;
    if (version === null) return load(before);
    const { origin } = versions.view(version);
    return loadTree(versions.tree(version), `version ${version} of ${origin.replace(/^version \d+ of /, "")}`, before);
  }

  async #apply(wish: Wish, loaded: LoadedConfig, begunAt: number): Promise<ReloadResult> {
    const { log, versions, current, exchange } = this.#options;
    const { config } = loaded;
    if (config === null) {
      const errors = loaded.diagnostics.filter(({ severity }) => severity === "error").length;
      const reason = `${loaded.origin} has ${errors === 1 ? "an error" : `${errors} errors`}`;
      return { outcome: "refused", reason, diagnostics: loaded.diagnostics };
    }
    if (wish.onlyIfChanged && saysSame(loaded.tree, current().tree)) {
      return { outcome: "unchanged", generation: current().generation, version: versions.current };
    }
    const fixed = keepFixed(config, current().config);
    const changes = await exchange({ ...loaded, config: fixed.config });
    const tookMs = performance.now() - begunAt;
    const kept = fixed.kept.map((name) => needsRestart(loaded, name));
    const diagnostics = [...loaded.diagnostics, ...loaded.warnings(), ...kept];
    versions.keep = fixed.config.reload.versions;
    const version = versions.record({ tree: loaded.tree, origin: loaded.origin, trigger: wish.trigger });
    const { generation } = current();
    for (const diagnostic of diagnostics) log.warn(oneLine(diagnostic));
    const facts = { generation, version, changes: changes.length, tookMs: Math.round(tookMs) };
    log.info(`${wish.trigger}: ${loaded.origin} is in force`, facts);
    if (wish.version !== null) {
      log.warn("the config file is as it was: the next reload serves what it says", { version });
    }
    return { outcome: "applied", generation, version, changes, diagnostics, tookMs };
  }
}

const saysSame = (next: unknown, before: unknown): boolean =>
  next === before || JSON.stringify(next) === JSON.stringify(before);

function needsRestart(loaded: LoadedConfig, name: string): Diagnostic {
  return loaded.diagnose(name, {
    code: "needs-restart",
    severity: "warning",
    message: `${JSON.stringify(name)} cannot change while Lintel runs: it stays as it was`,
    hint: "`lintel upgrade` or a restart puts it in force",
  });
}

/**
 * Looks at the files of the TLS part every now and then, and reads them anew when one has changed.
 * By asking, not by notification: renewals replace links of links (certbot), volumes are mounted
 * over (Kubernetes), and one stat per file and second costs nothing.
 */
import type { Log } from "../base/log.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import {
  FORBIDDEN,
  filesState,
  type MaterialProblem,
  materialFiles,
  readMaterial,
  type TlsMaterial,
} from "./tls-material.ts";

export interface MaterialWatchOptions {
  readonly config: GatewayConfig;
  /** Folder of the config file. */
  readonly directory: string;
  readonly everyMs: number;
  readonly log: Log;
  /** What was read before, by another config: it stays in use where a file cannot be. */
  readonly before?: TlsMaterial | null;
  onChange(material: TlsMaterial): void;
}

export class MaterialWatch {
  readonly #options: MaterialWatchOptions;
  readonly #paths: readonly string[];
  /** What could not be read at the start, and has nothing older in its place. */
  readonly unusable: readonly MaterialProblem[];
  readonly #timer: ReturnType<typeof setInterval> | null;
  #material: TlsMaterial;
  /** As last read; a change must be seen twice, since certificate and key are two writes. */
  #read: string;
  #seen: string;
  #problems: readonly MaterialProblem[] = [];

  constructor(options: MaterialWatchOptions) {
    const { config, directory, everyMs, before = null } = options;
    this.#options = options;
    this.#paths = materialFiles(config, directory);
    this.#read = filesState(this.#paths);
    this.#seen = this.#read;
    const { material, problems } = readMaterial(config, directory, before);
    this.#material = material;
    this.unusable = problems.filter(({ kept }) => !kept);
    this.#report(problems);
    this.#timer = this.#paths.length === 0 ? null : setInterval(() => this.look(), everyMs);
    this.#timer?.unref();
  }

  /** Of the files alone. */
  get material(): TlsMaterial {
    return this.#material;
  }

  /** Files that cannot be used now. */
  get problems(): readonly MaterialProblem[] {
    return this.#problems;
  }

  /** Asks now; `onChange` is called from within if something new is to be used. */
  look(): void {
    const state = filesState(this.#paths);
    const settled = state === this.#seen;
    this.#seen = state;
    if (!settled || state === this.#read) return;
    this.#read = state;
    const { config, directory, log, onChange } = this.#options;
    const { material, problems } = readMaterial(config, directory, this.#material);
    this.#report(problems);
    if (JSON.stringify(material) === JSON.stringify(this.#material)) return;
    this.#material = material;
    log.info("certificates were read anew", { certificates: material.certificates.length, problems: problems.length });
    onChange(material);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  #report(problems: readonly MaterialProblem[]): void {
    if (Bun.deepEquals(problems, this.#problems)) return;
    this.#problems = problems;
    for (const { file, reason, kept } of problems) {
      if (kept && reason === FORBIDDEN) {
        // It was read before this process became another user.
        const hint = "renewals take a restart; let a group of this user read it";
        this.#options.log.warn("changes of a file are not seen: this user may not read it", { file, hint });
        continue;
      }
      const message = kept ? "a changed file cannot be used; what was read before stays" : "a file cannot be used";
      this.#options.log.error(message, { file, reason });
    }
  }
}

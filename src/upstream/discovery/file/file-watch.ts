/**
 * Says when a file has become another: written over, replaced by renaming, removed, or come into
 * being. The system tells of changes in its folder; as it does not for network disks and for what
 * lies behind links, the file is also looked at now and then.
 */
import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";

export interface FileWatchSettings {
  readonly pollMs: number;
  /** A file that changes is left alone until it has not changed for this long. */
  readonly settleMs: number;
}

type Timer = ReturnType<typeof setTimeout>;

export class FileWatch {
  readonly #path: string;
  readonly #settings: FileWatchSettings;
  readonly #changed: () => void;
  #watcher: FSWatcher | null = null;
  /** The folder that is watched: another one may take its name. */
  #folder = "";
  #poll: Timer | undefined;
  #soon: Timer | undefined;
  #stopped = false;
  /** As last looked at, and as last said. */
  #seen = "";
  #said = "";

  constructor(path: string, settings: FileWatchSettings, changed: () => void) {
    this.#path = path;
    this.#settings = settings;
    this.#changed = changed;
  }

  /** Says so for the first time at once, whether there is a file or not. */
  async start(): Promise<void> {
    await this.#watchFolder();
    const now = await identity(this.#path);
    if (this.#stopped) return;
    this.#seen = now;
    this.#said = now;
    this.#changed();
    this.#poll = setInterval(() => void this.#pass(), this.#settings.pollMs);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#poll);
    clearTimeout(this.#soon);
    this.#watcher?.close();
  }

  async #pass(): Promise<void> {
    await this.#watchFolder();
    await this.#look();
  }

  async #look(): Promise<void> {
    const now = await identity(this.#path);
    if (this.#stopped) return;
    if (now !== this.#seen) {
      this.#seen = now;
      this.#lookSoon();
    } else if (now !== this.#said) {
      this.#said = now;
      this.#changed();
    }
  }

  #lookSoon(): void {
    if (this.#stopped || this.#soon !== undefined) return;
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      void this.#look();
    }, this.#settings.settleMs);
  }

  async #watchFolder(): Promise<void> {
    const folder = dirname(this.#path);
    const now = await identityOfFolder(folder);
    if (this.#stopped || now === this.#folder) return;
    this.#watcher?.close();
    this.#watcher = null;
    this.#folder = "";
    try {
      this.#watcher = watch(folder, { persistent: false }, () => this.#lookSoon());
      this.#watcher.on("error", () => {});
      this.#folder = now;
    } catch {
      // No such folder, or no watches left: looking at it has to do.
    }
  }
}

/** "" if there is none. */
async function identity(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (thrown) {
    // What cannot be looked at is told from what is not there, so that reading it says why.
    const { code } = thrown as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? "" : String(code);
  }
}

async function identityOfFolder(path: string): Promise<string> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev} ${ino}`;
  } catch {
    return "none";
  }
}

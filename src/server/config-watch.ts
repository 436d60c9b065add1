/**
 * Notices that files of the config have changed. It looks at them twice a second instead of asking the
 * system for events: that sees every way of changing a file (written in place, renamed over, a link in
 * the path pointed elsewhere, a network file system) alike.
 */
import { readdirSync, statSync } from "node:fs";
import { dirname, extname } from "node:path";

const LOOK_MS = 500;

export class ConfigWatch {
  readonly #onChange: () => void;
  readonly #lookMs: number;
  #files: readonly string[] = [];
  #known = "";
  /** What was seen last. */
  #seen = "";
  #timer: ReturnType<typeof setInterval> | null = null;

  constructor(onChange: () => void, lookMs = LOOK_MS) {
    this.#onChange = onChange;
    this.#lookMs = lookMs;
  }

  /** From here on these files are looked at; none: no more looking. */
  follow(files: readonly string[]): void {
    // What has changed since they were read is still to be noticed.
    if (!Bun.deepEquals(files, this.#files)) this.#known = this.#seen = look(files);
    this.#files = files;
    if (files.length === 0) return this.stop();
    this.#timer ??= setInterval(() => this.#compare(), this.#lookMs);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** A change counts once it is seen twice alike: whoever is writing has finished then. */
  #compare(): void {
    const now = look(this.#files);
    const isStable = now === this.#seen;
    this.#seen = now;
    if (!isStable || now === this.#known) return;
    this.#known = now;
    this.#onChange();
  }
}

/** The files, and which others there are beside them: an `include` may name them by a pattern. */
function look(files: readonly string[]): string {
  const endings = new Set(files.map((file) => extname(file)));
  const folders = [...new Set(files.map((file) => dirname(file)))];
  return [...files.map(factsOf), ...folders.map((folder) => namesIn(folder, endings))].join("\n");
}

function factsOf(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return `${file} ${ino} ${size} ${mtimeMs}`;
  } catch {
    return `${file} gone`;
  }
}

function namesIn(folder: string, endings: ReadonlySet<string>): string {
  try {
    const names = readdirSync(folder).filter((name) => endings.has(extname(name)));
    return names.sort().join("/");
  } catch {
    return "";
  }
}

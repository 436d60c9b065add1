/**
 * A `SharedStore` in a folder: one file per key, mode 0600, written beside and renamed, so a reader
 * sees the text before or the text after.
 *
 * A lock is a file that only one can create. Its holder counts up in it; who waits takes it over when the
 * count has stood still for long by his own clock, so machines need not agree on the time, and
 * nothing but creating, renaming and reading files is asked of the file system (NFS has that too). One
 * whose holder was a process of this machine that is gone is taken over at once. Should
 * two hold one lock after all, because one was asleep for that long, they order the same certificate twice.
 */
import { randomBytes } from "node:crypto";
import { chown, link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pause } from "./pause.ts";
import { isGone, processMark } from "./process-mark.ts";
import type { SharedStore, StoreLock } from "./shared-store.ts";

export interface FolderStoreOptions {
  /** How often a holder shows that it is alive. */
  readonly beatMs?: number;
  /** A lock that has not shown life for this long is nobody's. */
  readonly staleMs?: number;
  /** How often who waits looks. */
  readonly lookMs?: number;
}

export class FolderStore implements SharedStore {
  readonly folder: string;
  readonly #beatMs: number;
  readonly #staleMs: number;
  readonly #lookMs: number;

  /** Nothing is created until something is written. */
  constructor(folder: string, { beatMs = 5000, staleMs = 30_000, lookMs = 500 }: FolderStoreOptions = {}) {
    this.folder = folder;
    this.#beatMs = beatMs;
    this.#staleMs = staleMs;
    this.#lookMs = lookMs;
  }

  read(key: string): Promise<string | null> {
    return readOrNull(this.#path(key));
  }

  async write(key: string, text: string): Promise<void> {
    const path = this.#path(key);
    const beside = await this.#beside(path, text);
    try {
      await rename(beside, path);
    } catch (thrown) {
      await rm(beside, { force: true });
      throw thrown;
    }
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  async list(folder: string): Promise<string[]> {
    const names = await readdir(this.#path(folder)).catch(orNone<string[]>([]));
    return names.flatMap((name) => {
      const part = partOf(name);
      return part === null ? [] : [`${folder}/${part}`];
    });
  }

  async lock(key: string, signal: AbortSignal): Promise<StoreLock> {
    const path = this.#path(`locks/${key.replaceAll("/", " ")}`);
    const owner = `${processMark()} ${randomBytes(12).toString("hex")}`;
    let seen: string | null = null;
    // Looks, not time: a machine that slept has not watched.
    let unchanged = 0;
    let wasAbandoned = false;
    for (;;) {
      signal.throwIfAborted();
      // Before it is there: who looks for it in this process must not take it for one that was left.
      held.add(owner);
      let isOurs = false;
      try {
        isOurs = await this.#create(path, `${owner} 0`);
      } finally {
        if (!isOurs) held.delete(owner);
      }
      if (isOurs) return new FolderLock(path, owner, this.#beatMs);
      const now = await readOrNull(path);
      // Seen twice: it may have been released between the look and this.
      const isLeft = now !== null && isAbandoned(now);
      if (isLeft && wasAbandoned && now === seen) await this.#breakUp(path, now);
      wasAbandoned = isLeft;
      if (now !== seen) {
        seen = now;
        unchanged = 0;
      } else if (now !== null && ++unchanged * this.#lookMs >= this.#staleMs) await this.#breakUp(path, now);
      await pause(this.#lookMs, signal);
    }
  }

  /** @returns false if it is there already */
  async #create(path: string, text: string): Promise<boolean> {
    const beside = await this.#beside(path, text);
    try {
      // Unlike a rename, this fails if somebody was quicker, and the text is there from the start.
      await link(beside, path);
      return true;
    } catch (thrown) {
      if (codeOf(thrown) === "EEXIST") return false;
      throw thrown;
    } finally {
      await rm(beside, { force: true });
    }
  }

  /** Takes away a lock whose holder has gone, unless it is somebody else's by now. */
  async #breakUp(path: string, text: string): Promise<void> {
    const aside = `${path}.${randomBytes(6).toString("hex")}`;
    try {
      await rename(path, aside);
      if ((await readOrNull(aside)) !== text) await link(aside, path);
    } catch (thrown) {
      if (!["ENOENT", "EEXIST"].includes(codeOf(thrown))) throw thrown;
    } finally {
      await rm(aside, { force: true });
    }
  }

  /** A file in the same folder that holds the text and has reached the disk. */
  async #beside(path: string, text: string): Promise<string> {
    const beside = join(dirname(path), `.${randomBytes(9).toString("hex")}`);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(beside, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#giveToOwner(beside);
    return beside;
  }

  /** A command of root's must not leave files that the gateway's user cannot read. */
  async #giveToOwner(path: string): Promise<void> {
    if (process.getuid?.() !== 0) return;
    const { uid, gid } = await stat(this.folder);
    if (uid === 0) return;
    await chown(path, uid, gid);
    await chown(dirname(path), uid, gid);
  }

  #path(key: string): string {
    return join(this.folder, ...key.split("/").map(fileName));
  }
}

/** What names may hold ("*", ":", "%", "/") and files should not is written as %XX. */
function fileName(part: string): string {
  const name = encodeURIComponent(part).replaceAll("*", "%2A");
  if (name === "" || name.startsWith(".") || name.length > 255) throw new Error(`${JSON.stringify(part)} is no key`);
  return name;
}

/** @returns null for a file that no key leads to: it is somebody else's, or not whole yet */
function partOf(name: string): string | null {
  try {
    const part = decodeURIComponent(name);
    return fileName(part) === name ? part : null;
  } catch {
    return null;
  }
}

/** Locks of this process. */
const held = new Set<string>();

/** Its holder is a process of this machine that is gone, or another program that this process was before. */
function isAbandoned(text: string): boolean {
  const [mark = "", token = ""] = text.split(" ");
  return mark === processMark() ? !held.has(`${mark} ${token}`) : isGone(mark);
}

class FolderLock implements StoreLock {
  readonly #path: string;
  readonly #owner: string;
  readonly #timer: ReturnType<typeof setInterval>;
  #beats = 0;
  #writing: Promise<void> = Promise.resolve();
  #released = false;

  constructor(path: string, owner: string, beatMs: number) {
    this.#path = path;
    this.#owner = owner;
    this.#timer = setInterval(() => {
      this.#writing = this.#writing.then(() => this.#beat());
    }, beatMs);
    this.#timer.unref();
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    clearInterval(this.#timer);
    await this.#writing;
    if (await this.#isOurs()) await rm(this.#path, { force: true });
    held.delete(this.#owner);
  }

  async #beat(): Promise<void> {
    if (this.#released || !(await this.#isOurs())) return;
    // In place: a rename could bring back a lock that was broken up. Not whole for a moment, which is a change, too.
    await writeFile(this.#path, `${this.#owner} ${++this.#beats}`, { flag: "r+" }).catch(() => {});
  }

  async #isOurs(): Promise<boolean> {
    return (await readOrNull(this.#path).catch(() => null))?.startsWith(`${this.#owner} `) === true;
  }
}

const readOrNull = (path: string): Promise<string | null> => readFile(path, "utf8").catch(orNone<string | null>(null));

const codeOf = (thrown: unknown): string => (thrown as NodeJS.ErrnoException).code ?? "";

function orNone<T>(none: T): (thrown: unknown) => T {
  return (thrown) => {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(thrown))) return none;
    throw thrown;
  };
}

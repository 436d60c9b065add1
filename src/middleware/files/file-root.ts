/**
 * A folder whose files may be sent, and nothing outside of it.
 *
 * The path is in normal form, so no dot segment leads out; symbolic links can. What counts is where
 * the file that was opened really is: the kernel is asked for the name of the open descriptor, so
 * nothing can be exchanged between the check and the use. Opening does not wait (a fifo would),
 * and only regular files and folders are let through.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  open,
  read,
  readlinkSync,
  realpathSync,
  statSync,
} from "node:fs";
import { Failure } from "../../base/failure.ts";

/** What stands at a path: a file, open; or why there is none. */
export type Found = OpenFile | "directory" | "missing" | "forbidden";

export class OpenFile {
  readonly fd: number;
  readonly size: number;
  /** Milliseconds since 1970, whole seconds. */
  readonly lastModifiedMs: number;
  readonly etag: string;
  #owned = true;

  constructor(fd: number, stat: BigIntStats) {
    this.fd = fd;
    this.size = Number(stat.size);
    // A time in the future would make the file look fresh for ever (RFC 9110 §8.8.2.1).
    this.lastModifiedMs = Math.floor(Math.min(Number(stat.mtimeMs), Date.now()) / 1000) * 1000;
    this.etag = `"${stat.mtimeNs.toString(36)}-${stat.size.toString(36)}"`;
  }

  /** From now on the caller closes the descriptor. */
  take(): number {
    this.#owned = false;
    return this.fd;
  }

  close(): void {
    if (this.#owned) closeSync(this.take());
  }

  /** The whole content. For small files. */
  async readWhole(): Promise<Uint8Array> {
    const content = new Uint8Array(this.size);
    for (let at = 0; at < content.length; ) {
      const octets = await readSome(this.fd, content, at);
      if (octets === 0) throw new Failure("internal", "a file became shorter while it was read");
      at += octets;
    }
    return content;
  }
}

function readSome(fd: number, buffer: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, at, buffer.length - at, at, (error, octets) => (error === null ? resolve(octets) : reject(error)));
  });
}

const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

const ERRORS: Readonly<Record<string, "missing" | "forbidden">> = {
  ENOENT: "missing",
  ENOTDIR: "missing",
  ENAMETOOLONG: "missing",
  ELOOP: "missing",
  ENXIO: "missing", // A socket, or a device without its driver.
  ENODEV: "missing",
  EACCES: "forbidden",
  EPERM: "forbidden",
};

export class FileRoot {
  readonly #root: string;
  readonly #followSymlinks: boolean;
  /** The root's own real path with a slash at its end; "" before it is known. */
  #realRoot = "";

  /** @param root absolute */
  constructor(root: string, followSymlinks: boolean) {
    this.#root = root === "/" ? "" : root.replace(/\/$/, "");
    this.#followSymlinks = followSymlinks;
  }

  /** Is there a folder now? It may come later. */
  get exists(): boolean {
    return statSync(`${this.#root}/`, { throwIfNoEntry: false })?.isDirectory() ?? false;
  }

  /**
   * @param path in normal form (http/target.ts), without "/" at its end
   * @throws {Failure} `internal` if the file system fails for other reasons than the path's
   */
  open(path: string): Promise<Found> {
    return new Promise((resolve, reject) => {
      open(this.#root + path, FLAGS, (error, fd) => {
        try {
          resolve(error === null ? this.#examine(fd) : whyNot(error));
        } catch (thrown) {
          reject(thrown);
        }
      });
    });
  }

  /** Neither call waits for a disk: the kernel has both in memory for an open file. */
  #examine(fd: number): Found {
    let keep = false;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!this.#followSymlinks && !this.#contains(fd)) return "missing";
      if (stat.isDirectory()) return "directory";
      if (!stat.isFile()) return "missing";
      keep = true;
      return new OpenFile(fd, stat);
    } finally {
      if (!keep) closeSync(fd);
    }
  }

  #contains(fd: number): boolean {
    const real = `${readlinkSync(`/proc/self/fd/${fd}`)}/`;
    if (this.#realRoot !== "" && real.startsWith(this.#realRoot)) return true;
    // The root may be a link that a deployment has turned to a new folder.
    const realRoot = realpathSync(`${this.#root}/`).replace(/\/?$/, "/");
    if (realRoot === this.#realRoot) return false;
    this.#realRoot = realRoot;
    return real.startsWith(realRoot);
  }
}

function whyNot(error: NodeJS.ErrnoException): "missing" | "forbidden" {
  const found = ERRORS[error.code ?? ""];
  if (found !== undefined) return found;
  throw new Failure("internal", `a file could not be opened: ${error.message}`, { cause: error });
}

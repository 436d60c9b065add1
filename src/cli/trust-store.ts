/** The CAs that programs of this system believe, as Debian and its kin keep them (update-ca-certificates). */
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandFailed } from "./command.ts";

export interface TrustStoreOptions {
  /** Where CAs of the machine's own lie. */
  readonly folder?: string;
  readonly program?: string;
  /** Further arguments of the program. */
  readonly args?: readonly string[];
}

export class TrustStore {
  readonly #folder: string;
  readonly #program: string;
  readonly #args: readonly string[];

  constructor(options: TrustStoreOptions = {}) {
    this.#folder = options.folder ?? "/usr/local/share/ca-certificates";
    this.#program = options.program ?? "update-ca-certificates";
    this.#args = options.args ?? [];
  }

  /** Where this CA lies once it is believed. Named after its fingerprint: machines may have several. */
  fileOf(cert: string): string {
    const { fingerprint256 } = new X509Certificate(cert);
    return join(this.#folder, `lintel-${fingerprint256.replaceAll(":", "").slice(0, 12).toLowerCase()}.crt`);
  }

  has(cert: string): boolean {
    return existsSync(this.fileOf(cert));
  }

  /** @throws {CommandFailed} */
  install(cert: string): void {
    const file = this.fileOf(cert);
    this.#change(cert, () => {
      mkdirSync(this.#folder, { recursive: true });
      writeFileSync(file, new X509Certificate(cert).toString(), { mode: 0o644 });
    });
    this.#update();
  }

  /** @throws {CommandFailed} */
  uninstall(cert: string): void {
    this.#change(cert, () => rmSync(this.fileOf(cert), { force: true }));
    this.#update();
  }

  #change(cert: string, change: () => void): void {
    try {
      change();
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException;
      if (code !== "EACCES" && code !== "EPERM" && code !== "EROFS") throw new CommandFailed(message);
      throw new CommandFailed(
        `only root may change ${this.#folder}`,
        `lintel trust --print | sudo tee ${this.fileOf(cert)} > /dev/null && sudo ${this.#program} --fresh`,
      );
    }
  }

  /** --fresh takes away links to what is gone. */
  #update(): void {
    const { exitCode, stderr } = (() => {
      try {
        return Bun.spawnSync([this.#program, "--fresh", ...this.#args], { stdio: ["ignore", "ignore", "pipe"] });
      } catch {
        throw new CommandFailed(
          `${this.#program} is not installed: this system keeps its CAs elsewhere`,
          "`lintel trust --print` writes the certificate, for the tool of your system (update-ca-trust on Fedora)",
        );
      }
    })();
    if (exitCode !== 0) throw new CommandFailed(`${this.#program} ended with ${exitCode}: ${stderr.toString().trim()}`);
  }
}

/** Certificates of an authority of our own, and openssl as the client that asks for them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../src/base/testing.ts";
import { Authority, type Pair } from "../../src/tls/testing.ts";
import { type CurlResult, curl } from "./curl.ts";

export const opensslPath = findProgram("openssl");

/** A folder with an authority, and certificates of it as files. */
export class CertificateFolder {
  readonly path = mkdtempSync(join(tmpdir(), "lintel-tls-"));
  readonly authority = new Authority();

  constructor() {
    this.write("ca.pem", this.authority.cert);
  }

  /** @returns the path */
  file(name: string): string {
    return join(this.path, name);
  }

  write(name: string, text: string): void {
    writeFileSync(this.file(name), text, { mode: 0o600 });
  }

  /** Writes NAME.pem (with the authority) and NAME.key. @returns what a config says of them */
  put(name: string, pair: Pair): { readonly cert: string; readonly key: string } {
    this.write(`${name}.pem`, pair.cert + this.authority.cert);
    this.write(`${name}.key`, pair.key);
    return { cert: this.file(`${name}.pem`), key: this.file(`${name}.key`) };
  }

  /** curl to a host that is somewhere on this machine, with the authority trusted. */
  curl(host: string, port: number, path: string, ...args: string[]): Promise<CurlResult> {
    const places = ["--cacert", this.file("ca.pem"), "--resolve", `${host}:${port}:127.0.0.1`];
    return curl(...places, ...args, `https://${host}:${port}${path}`);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** What `openssl s_client` says. @param args beyond where to connect to */
export async function openssl(port: number, args: readonly string[], input = ""): Promise<string> {
  const child = Bun.spawn([opensslPath!, "s_client", "-connect", `127.0.0.1:${port}`, ...args], {
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
    timeout: 20_000,
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return out + err;
}

/** The subject of the certificate that a client is shown. */
export async function shown(port: number, serverName: string | null, ...args: string[]): Promise<string | null> {
  const name = serverName === null ? ["-noservername"] : ["-servername", serverName];
  const said = await openssl(port, [...name, ...args]);
  return /^ ?0 s:(?:CN ?= ?)(.*)$/m.exec(said)?.[1] ?? null;
}

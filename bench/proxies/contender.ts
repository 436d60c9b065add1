/** A proxy under comparison: how to know it is there, and how to start it in front of an origin server. */

import type { Protocol } from "../cases.ts";

export interface Setup {
  /** What it is to listen for. */
  readonly protocol: Protocol;
  readonly certificate: Certificate;
  /** For its files: configuration, temporary contents, logs. */
  readonly directory: string;
  /** On 127.0.0.1, as all of these. */
  readonly port: number;
  readonly adminPort: number;
  readonly originPort: number;
  /** Path prefixes to route by; empty: one route for everything. */
  readonly prefixes: readonly string[];
  readonly accessLog: boolean;
}

/** PEM files of a certificate with a P-256 key. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** Both in one file. */
  readonly both: string;
}

/** Everybody has TLS 1.3 with one cipher and one group, so that all do the same work. */
export const CIPHER = "TLS_AES_128_GCM_SHA256";
export const GROUP = "X25519";

export const isTls = (protocol: Protocol): boolean => ["https", "h2", "h3"].includes(protocol);

export interface Start {
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** The file that takes standard output, where that is not the log of the start. */
  readonly output?: string;
}

export interface Contender {
  readonly name: string;
  /** Takes part only in cases with large contents. */
  readonly tuned: boolean;
  readonly protocols: readonly Protocol[];
  /** Its code is compiled while it runs. */
  readonly compiles: boolean;
  /** null: not installed. */
  version(): string | null;
  /** Writes its configuration. */
  prepare(setup: Setup): Start;
}

/** The first match of the pattern in what the command prints, or null if it cannot be run. */
export function versionFrom(command: readonly string[], pattern: RegExp): string | null {
  if (Bun.which(command[0]!) === null) return null;
  const { stdout, stderr, exitCode } = Bun.spawnSync([...command], { timeout: 20_000 });
  if (exitCode !== 0) return null;
  return pattern.exec(`${stdout}${stderr}`)?.[1] ?? "unknown version";
}

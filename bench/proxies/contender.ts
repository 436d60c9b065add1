/** A proxy under comparison: how to know it is there, and how to start it in front of an origin server. */

export interface Setup {
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

/** Chromium without a window, as a client that nobody here has written. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../src/base/testing.ts";
import { Picture } from "./picture.ts";

const chromiumPath = findProgram("chromium");
const certutilPath = findProgram("certutil");
/** Without certutil it could not be told whom to trust. */
export const HAS_CHROMIUM = chromiumPath !== null && certutilPath !== null;
const PATIENCE_MS = 90_000;

export interface Visit {
  /** Name that leads to 127.0.0.1. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** PEM of the CA that its user has imported; null: none but the public ones. */
  readonly trust: string | null;
  /**
   * A browser speaks QUIC only to those whom a public CA has certified, except to hosts that it is told to speak it
   * to anyway. "at once": from the first request on. "if told": where Alt-Svc says so, as without this option.
   * Default: never, since ours are not certified so.
   */
  readonly quic?: "at once" | "if told";
}

export interface Visited {
  /** The document once its scripts have run; "" if there is none. */
  readonly document: string;
  /** What the user sees; null if there is no page. */
  readonly picture: Picture | null;
}

export async function visit({ host, port, path, trust, quic }: Visit): Promise<Visited> {
  const home = mkdtempSync(join(tmpdir(), "lintel-chromium-"));
  const screenshot = join(home, "page.png");
  // An origin is host and port: of another port of this host, only the exception holds for ours.
  const forced = { "at once": [`${host}:${port}`], "if told": [`${host}:1`], never: [] }[quic ?? "never"];
  try {
    trustIn(home, trust);
    const child = Bun.spawn(
      [
        chromiumPath!,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        `--user-data-dir=${join(home, "profile")}`,
        `--host-resolver-rules=MAP ${host} 127.0.0.1`,
        ...forced.map((origin) => `--origin-to-force-quic-on=${origin}`),
        // Time stands still for the page while it waits for the network.
        "--virtual-time-budget=30000",
        "--window-size=900,500",
        "--dump-dom",
        `--screenshot=${screenshot}`,
        `https://${host}:${port}${path}`,
      ],
      {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "ignore",
        timeout: PATIENCE_MS,
        env: { ...process.env, HOME: home, XDG_DATA_HOME: "", XDG_CONFIG_HOME: "" },
      },
    );
    const document = await child.stdout.text();
    await child.exited;
    return { document, picture: existsSync(screenshot) ? Picture.decode(readFileSync(screenshot)) : null };
  } finally {
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Puts a CA into the list that Chromium has of its user (NSS), as `lintel trust` tells people to. */
function trustIn(home: string, trust: string | null): void {
  const folder = join(home, ".pki/nssdb");
  mkdirSync(folder, { recursive: true });
  const certutil = (...args: string[]): void => {
    const { exitCode, stderr } = Bun.spawnSync([certutilPath!, "-d", `sql:${folder}`, ...args]);
    if (exitCode !== 0) throw new Error(`certutil ${args[0]}: ${stderr.toString()}`);
  };
  certutil("-N", "--empty-password");
  if (trust === null) return;
  const file = join(home, "ca.pem");
  writeFileSync(file, trust);
  certutil("-A", "-t", "C,,", "-n", "ours", "-i", file);
}

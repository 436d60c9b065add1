/** Chromium without a window, as a client that nobody here has written. */
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "./programs.ts";

export const chromiumPath = findProgram("chromium");
const PATIENCE_MS = 90_000;

export interface Visit {
  /** Name that leads to 127.0.0.1. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** PEM of the certificate that is to be believed; QUIC wants a public one otherwise. */
  readonly cert: string;
  /** Ask by QUIC at once, without having been told by Alt-Svc. */
  readonly forceQuic?: boolean;
  /** File for a picture of the page. */
  readonly screenshot?: string;
}

/** Opens a page. @returns its document once its scripts have run; "" if a picture was asked for */
export async function visit({ host, port, path, cert, forceQuic, screenshot }: Visit): Promise<string> {
  const profile = mkdtempSync(join(tmpdir(), "lintel-chromium-"));
  const { publicKey } = new X509Certificate(cert);
  const pin = createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("base64");
  try {
    const child = Bun.spawn(
      [
        chromiumPath!,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        `--user-data-dir=${profile}`,
        `--host-resolver-rules=MAP ${host} 127.0.0.1`,
        `--ignore-certificate-errors-spki-list=${pin}`,
        ...(forceQuic === true ? [`--origin-to-force-quic-on=${host}:${port}`] : []),
        // Time stands still for the page while it waits for the network.
        "--virtual-time-budget=30000",
        ...(screenshot === undefined ? ["--dump-dom"] : ["--window-size=900,500", `--screenshot=${screenshot}`]),
        `https://${host}:${port}${path}`,
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "ignore", timeout: PATIENCE_MS },
    );
    const text = await child.stdout.text();
    await child.exited;
    return screenshot === undefined ? text : "";
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

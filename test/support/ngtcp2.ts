/** The HTTP/3 client of ngtcp2 (Debian: ngtcp2-client), which shares nothing with the runtime's QUIC. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../src/base/testing.ts";

export const ngtcp2Path = findProgram("gtlsclient");

export interface Ngtcp2Answer {
  /** One map for each response, in the order of their streams. */
  readonly heads: Readonly<Record<string, string>>[];
  /** Content by the last part of the path. */
  readonly content: (name: string) => string;
}

/** A client with a memory: what it learns in one connection (tickets) it uses in the next. */
export class Ngtcp2Client implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "lintel-ngtcp2-"));
  #child: Bun.Subprocess | null = null;

  /** One connection. @param content with it the requests are POST @param args beyond those */
  async ask(
    port: number,
    host: string,
    paths: readonly string[],
    content?: string,
    args: readonly string[] = [],
  ): Promise<Ngtcp2Answer> {
    const file = join(this.#folder, "content");
    if (content !== undefined) writeFileSync(file, content);
    const child = Bun.spawn(
      [
        ngtcp2Path!,
        "--no-quic-dump",
        "--no-http-dump",
        "--exit-on-all-streams-close",
        `--session-file=${join(this.#folder, "session")}`,
        `--tp-file=${join(this.#folder, "parameters")}`,
        `--download=${this.#folder}`,
        ...(content === undefined ? [] : ["-d", file, "-m", "POST"]),
        ...args,
        host,
        String(port),
        ...paths.map((path) => `https://${host}:${port}${path}`),
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 60_000 },
    );
    this.#child = child;
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    const heads = new Map<string, Record<string, string>>();
    for (const [, stream, name, value] of `${out}${err}`.matchAll(
      /^http: stream (0x[0-9a-f]+) \[([^\s]+): (.*)\]$/gm,
    )) {
      const head = heads.get(stream!) ?? {};
      heads.set(stream!, head);
      head[name!] = value!;
    }
    return {
      heads: [...heads].sort(([a], [b]) => Number(a) - Number(b)).map(([, head]) => head),
      content: (name) => readFileSync(join(this.#folder, name), "latin1"),
    };
  }

  /** Octets of content by the last part of the path. */
  size(name: string): number {
    return statSync(join(this.#folder, name)).size;
  }

  /** Reads nothing any more, and answers nothing. */
  stall(): void {
    this.#child?.kill("SIGSTOP");
  }

  goOn(): void {
    this.#child?.kill("SIGCONT");
  }

  [Symbol.dispose](): void {
    this.#child?.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

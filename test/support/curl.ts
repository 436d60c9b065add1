/** The real curl as a client. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../../src/base/testing.ts";

export const curlPath = findProgram("curl");

export interface CurlResult {
  readonly exitCode: number;
  readonly status: number;
  /** All heads, interim ones and redirects too, as curl's -D gives them. */
  readonly heads: string;
  readonly content: Buffer;
  readonly text: string;
  field(name: string): string | undefined;
}

/** @example await curl("-H", "Range: bytes=0-4", `${gateway.url()}/file`) */
export async function curl(...args: string[]): Promise<CurlResult> {
  const headFile = join(tmpdir(), `lintel-curl-${crypto.randomUUID()}`);
  const child = Bun.spawn([curlPath!, "-sS", "--max-time", "20", "-D", headFile, "-o", "-", ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    env: { PATH: process.env["PATH"] ?? "" },
  });
  const content = Buffer.from(await new Response(child.stdout).arrayBuffer());
  const exitCode = await child.exited;
  const heads = existsSync(headFile) ? readFileSync(headFile, "latin1") : "";
  rmSync(headFile, { force: true });
  const last = heads.split("\r\n\r\n").findLast((head) => head.startsWith("HTTP/")) ?? "";
  const fields = last.split("\r\n").slice(1);
  return {
    exitCode,
    status: Number(/^HTTP\/\S+ (\d+)/.exec(last)?.[1] ?? 0),
    heads,
    content,
    text: content.toString(),
    field(name) {
      const line = fields.find((one) => one.toLowerCase().startsWith(`${name.toLowerCase()}:`));
      return line?.slice(name.length + 1).trim();
    },
  };
}

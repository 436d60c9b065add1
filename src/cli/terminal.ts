/** Where commands write: results to standard output, all else to standard error; colour only for people. */
import { writeSync } from "node:fs";
import type { Paint } from "../config/diagnostic.ts";

export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  /** Colours for standard output. */
  readonly paint: Paint;
  /** Colours for standard error. */
  readonly errorPaint: Paint;
}

const same = (text: string) => text;
const PLAIN: Paint = { error: same, warning: same, strong: same, faint: same };

const sgr = (on: number) => (text: string) => `\x1b[${on}m${text}\x1b[0m`;
const COLOUR: Paint = { error: sgr(31), warning: sgr(33), strong: sgr(1), faint: sgr(2) };

/** The process's own streams. NO_COLOR (https://no-color.org) and TERM=dumb turn colours off. */
export function processTerminal(env: Readonly<Record<string, string | undefined>> = process.env): Terminal {
  const wanted = (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  return {
    out: (text) => write(1, text),
    error: (text) => write(2, text),
    paint: wanted && process.stdout.isTTY ? COLOUR : PLAIN,
    errorPaint: wanted && process.stderr.isTTY ? COLOUR : PLAIN,
  };
}

/** All of it, at once: an exit right after must not lose what a pipe had no room for. */
function write(fd: number, text: string): void {
  const octets = Buffer.from(text);
  for (let at = 0; at < octets.length; ) {
    try {
      at += writeSync(fd, octets, at);
    } catch (thrown) {
      const { code } = thrown as { code?: string };
      if (code === "EPIPE") return; // `lintel routes | head`: nobody reads any further.
      if (code !== "EAGAIN") throw thrown;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** Columns as wide as their widest cell; no spaces at the ends of lines. */
export function columns(rows: readonly (readonly string[])[], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map((row) => `${(indent + row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")).trimEnd()}\n`)
    .join("");
}

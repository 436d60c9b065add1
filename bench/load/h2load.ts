/** Load over HTTP/2 from h2load, one thread; its results as numbers. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Case } from "../cases.ts";
import { type Children, lastLines } from "../system/children.ts";
import type { Load } from "./wrk.ts";

export function h2loadVersion(): string | null {
  if (Bun.which("h2load") === null) return null;
  return /nghttp2\/(\S+)/.exec(Bun.spawnSync(["h2load", "--version"]).stdout.toString())?.[1] ?? "unknown version";
}

/** @throws if it fails or says nothing */
export async function runH2load(
  children: Children,
  directory: string,
  url: string,
  { connections, streams }: Case,
  seconds: number,
  cpu: number | undefined,
): Promise<Load> {
  const [log, times] = [join(directory, "h2load.out"), join(directory, "h2load.times")];
  writeFileSync(log, "");
  rmSync(times, { force: true });
  const amounts = [`-c${connections}`, `-m${streams}`, `-D${seconds}`];
  const command = ["h2load", "-t1", ...amounts, "-N", "10", `--log-file=${times}`, url];
  const h2load = children.start({ name: "h2load", command, cpu, log });
  const code = await children.finish(h2load, (seconds + 20) * 1000);
  if (code !== 0) throw new Error(`h2load ended with code ${code}:\n${lastLines(h2load)}`);
  return {
    ...parseReport(readFileSync(log, "utf8"), readFileSync(times, "utf8")),
    seconds,
    cpuMicroseconds: h2load.cpuMicroseconds(),
  };
}

/** @param times the file of `--log-file`: start, status and µs, a line for each request */
export function parseReport(output: string, times: string): Omit<Load, "cpuMicroseconds" | "seconds"> {
  const found = /^requests: .* (\d+) succeeded, (\d+) failed, \d+ errored, (\d+) timeout$/m.exec(output);
  const statuses = /^status codes: \d+ 2xx, \d+ 3xx, (\d+) 4xx, (\d+) 5xx$/m.exec(output);
  if (found === null || statuses === null) throw new Error(`h2load gave no result:\n${output}`);
  const [succeeded, failed, timeouts] = found.slice(1).map(Number) as [number, number, number];
  const microseconds = Float64Array.from(times.trimEnd().split("\n"), (line) => Number(line.split("\t")[2])).sort();
  const at = (part: number) => (microseconds[Math.ceil(microseconds.length * part) - 1] ?? 0) / 1000;
  return {
    requests: succeeded,
    p50: at(0.5),
    p99: at(0.99),
    max: at(1),
    socketErrors: failed + timeouts,
    badResponses: Number(statuses[1]) + Number(statuses[2]),
  };
}

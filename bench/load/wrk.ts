/** Load from wrk, one thread, driven by a script of its own for each case; its results as numbers. */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Case } from "../cases.ts";
import { opensslConfig } from "../system/certificate.ts";
import { type Children, lastLines } from "../system/children.ts";
import { browserRequests } from "./browser.ts";

export interface Load {
  readonly requests: number;
  readonly seconds: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Connections that failed or were cut, requests that timed out. */
  readonly socketErrors: number;
  /** Responses with status 400 or higher. */
  readonly badResponses: number;
  /** CPU time of the generator itself, microseconds. */
  readonly cpuMicroseconds: number;
}

export function wrkVersion(): string | null {
  if (Bun.which("wrk") === null) return null;
  return /wrk (\S+)/.exec(Bun.spawnSync(["wrk", "-v"]).stdout.toString())?.[1] ?? "unknown version";
}

/** Writes the script of a case; returns its file. */
export function writeScript(directory: string, { name, method, upload, reconnect, routed }: Case): string {
  const file = join(directory, `${name}.lua`);
  const lines = [`wrk.method = "${method}"`];
  if (reconnect) lines.push('wrk.headers["Connection"] = "close"');
  if (upload > 0) {
    lines.push(`wrk.body = string.rep("u", ${upload})`, 'wrk.headers["Content-Type"] = "application/octet-stream"');
  }
  if (routed) {
    // A prime count: the walk through the list never falls in step with the number of connections.
    const requests = browserRequests(8191);
    lines.push(
      "local requests = {",
      ...requests.map((request) => `${JSON.stringify(request)},`),
      "}",
      "local at = 0",
      `function request() at = at % ${requests.length} + 1; return requests[at] end`,
    );
  }
  writeFileSync(file, `${lines.join("\n")}\n${REPORT}`);
  return file;
}

const REPORT = `
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"max":%d,"socketErrors":%d,"badResponses":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.timeout, e.status))
end
`;

/** @throws if wrk fails or says nothing */
export async function runWrk(
  children: Children,
  script: string,
  url: string,
  { connections }: Case,
  seconds: number,
  cpu: number | undefined,
): Promise<Load> {
  const log = `${script}.out`;
  writeFileSync(log, "");
  const command = [
    "wrk",
    "-t1",
    `-c${connections}`,
    `-d${seconds}s`,
    "--timeout",
    "10s",
    "--latency",
    "-s",
    script,
    url,
  ];
  const environment = { OPENSSL_CONF: opensslConfig(dirname(script)) };
  const wrk = children.start({ name: "wrk", command, cpu, log, environment });
  const code = await children.finish(wrk, (seconds + 20) * 1000);
  if (code !== 0) throw new Error(`wrk ended with code ${code}:\n${lastLines(wrk)}`);
  return { ...parseReport(readFileSync(log, "utf8")), cpuMicroseconds: wrk.cpuMicroseconds() };
}

/** Reads the line that the script writes. */
export function parseReport(output: string): Omit<Load, "cpuMicroseconds"> {
  const line = /^RESULT (\{.*\})$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(`wrk gave no result:\n${output}`);
  const { microseconds, p50, p99, max, ...counts } = JSON.parse(line) as Record<
    "requests" | "microseconds" | "p50" | "p99" | "max" | "socketErrors" | "badResponses",
    number
  >;
  return { ...counts, seconds: microseconds / 1e6, p50: p50 / 1000, p99: p99 / 1000, max: max / 1000 };
}

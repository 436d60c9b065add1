import { expect, test } from "bun:test";
import { cases } from "./cases.ts";
import { render } from "./report.ts";
import type { Results, Sample } from "./results.ts";

/** One window: microseconds of CPU per request, and p99 in milliseconds. */
function sample(name: string, proxy: string, round: number, cpu: number, p99: number): Sample {
  return {
    case: name,
    proxy,
    round,
    requests: 1000,
    seconds: 1,
    p50: 1,
    p99,
    max: 9,
    socketErrors: 0,
    badResponses: 0,
    cpuMicroseconds: 0,
    proxyMicroseconds: cpu * 1000,
    coreMicroseconds: null,
    strangers: 0,
    memory: { rss: 2 ** 20 } as Sample["memory"],
  };
}

/** Rows of a case's table, as cells under their heads. */
function table(name: string, samples: readonly Sample[]): { head: string[]; rows: Record<string, string[]> } {
  const results: Results = {
    startedAt: "",
    machine: { cpu: "", cores: 2, kernel: "", load: 0 } as Results["machine"],
    pinning: {} as Results["pinning"],
    seconds: 1,
    rounds: 3,
    versions: {},
    leftOut: [],
    failures: [],
    samples: [...samples],
    idle: [],
  };
  const lines = render(results, cases, true).split("\n");
  const from = lines.findIndex((line) => line.startsWith(`### ${name}: `));
  const cells = (line: string) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
  const [head, , ...rows] = lines.slice(from + 2).filter((line) => line.startsWith("|"));
  return { head: cells(head!), rows: Object.fromEntries(rows.map(cells).map(([proxy, ...row]) => [proxy, row])) };
}

const rounds = (name: string, proxy: string, values: readonly (readonly [cpu: number, p99: number])[]) =>
  values.map(([cpu, p99], round) => sample(name, proxy, round, cpu, p99));
const NGINX = [
  [10, 4],
  [10, 2],
  [10, 5],
] as const;

test("CPU and p99 have a verdict each: the median of the ratios to nginx's in the same rounds", () => {
  const { head, rows } = table("small", [
    ...rounds("small", "nginx", NGINX),
    ...rounds("small", "lintel", [
      [12, 4],
      [10.5, 3],
      [11, 4],
    ]),
  ]);
  expect(head.slice(0, 9)).toEqual([
    "proxy",
    "CPU µs/request",
    "of nginx's",
    "target",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "of nginx's",
    "target",
  ]);
  expect(rows["lintel"]!.slice(1, 8)).toEqual([
    "1.10 (1.05–1.20)",
    "≤ 1.10 met",
    "1,000",
    "1.00",
    "4.00",
    "1.00 (0.80–1.50)",
    "≤ 1.00 met",
  ]);
  expect(rows["nginx"]!.slice(6, 8)).toEqual(["1.00 (1.00–1.00)", ""]);
});

test("a p99 above nginx's is missed, however low the CPU", () => {
  const { rows } = table("routes", [
    ...rounds("routes", "nginx", NGINX),
    ...rounds("routes", "lintel", [
      [1, 4],
      [1, 2.1],
      [1, 5.2],
    ]),
  ]);
  expect(rows["lintel"]!.slice(6, 8)).toEqual(["1.04 (1.00–1.05)", "≤ 1.00 missed"]);
});

test("without nginx there is the target, and no verdict", () => {
  const { rows } = table("small", rounds("small", "lintel", NGINX));
  expect(rows["lintel"]!.slice(6, 8)).toEqual(["", "≤ 1.00"]);
});

test("where none was set for p99 there is no column for it", () => {
  const { head } = table("tls-small", [
    ...rounds("tls-small", "nginx", NGINX),
    ...rounds("tls-small", "lintel", NGINX),
  ]);
  expect(head).toEqual([
    "proxy",
    "CPU µs/request",
    "of the better's",
    "target",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "RSS MiB",
    "core used",
    "errors",
  ]);
});

test("every case of load over plain HTTP/1.1 has a target for p99", () => {
  const judged = cases.filter(({ p99Target }) => p99Target === 1).map(({ name }) => name);
  expect(judged).toEqual(["small", "connect", "64k", "1m", "upload64k", "routes", "small-log"]);
});

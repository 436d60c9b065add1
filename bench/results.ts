/** What a run gives, and the one line per case and proxy that the tables show of it. */
import type { Case } from "./cases.ts";
import type { Idle } from "./load/idle.ts";
import type { Load } from "./load/wrk.ts";
import { median } from "./statistics.ts";
import type { Machine, Pinning } from "./system/machine.ts";
import type { Memory } from "./system/process-tree.ts";

/** One window of load on one proxy. */
export interface Sample extends Load {
  readonly case: string;
  readonly proxy: string;
  readonly round: number;
  /** User and system time of the whole process tree in the window. */
  readonly proxyMicroseconds: number;
  /** All that was busy on the proxy's core in the window, the kernel's network work included; null: not pinned. */
  readonly coreMicroseconds: number | null;
  /** CPU time of programs that take no part, as a part of one core. */
  readonly strangers: number;
  readonly memory: Memory;
}

export interface IdleSample extends Idle {
  readonly case: string;
  readonly proxy: string;
  readonly connections: number;
}

export interface Results {
  readonly startedAt: string;
  readonly machine: Machine;
  readonly pinning: Pinning;
  readonly seconds: number;
  readonly rounds: number;
  /** Versions of proxies and tools. */
  readonly versions: Readonly<Record<string, string>>;
  readonly leftOut: readonly string[];
  readonly failures: string[];
  readonly samples: Sample[];
  readonly idle: IdleSample[];
}

export const REFERENCE = "nginx";
/** Where the reference is the better one of two. */
const OTHER_REFERENCE = "haproxy";

/** Other programs took more than this part of a core: they change what they share the machine with. */
export const DISTURBED = 0.1;

/** Over the rounds. */
export interface Ratio {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export interface Summary {
  readonly proxy: string;
  /** Medians over the rounds. */
  readonly cpuPerRequest: number;
  readonly corePerRequest: number | null;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly rss: number;
  /** Part of its core the proxy kept busy; well below 1, the load was the bottleneck. */
  readonly busy: number;
  /** CPU per request as a ratio of the reference's in the same round. */
  readonly ratio: Ratio | null;
  /** p99 as a ratio of nginx's in the same round. */
  readonly p99Ratio: Ratio | null;
  /** Sums over the rounds. */
  readonly errors: number;
}

export function summarise(results: Results, { name, reference: against }: Case): Summary[] {
  const samples = results.samples.filter((sample) => sample.case === name);
  const reference = new Map<number, Sample>();
  for (const sample of samples) {
    if (sample.proxy !== REFERENCE && !(against === "better" && sample.proxy === OTHER_REFERENCE)) continue;
    const known = reference.get(sample.round);
    if (known === undefined || perRequest(sample) < perRequest(known)) reference.set(sample.round, sample);
  }
  const nginx = new Map(samples.filter(({ proxy }) => proxy === REFERENCE).map((sample) => [sample.round, sample]));
  const names = [...new Set(samples.map(({ proxy }) => proxy))];
  return names.map((proxy) => {
    const own = samples.filter((sample) => sample.proxy === proxy);
    const middle = (value: (sample: Sample) => number) => median(own.map(value));
    return {
      proxy,
      cpuPerRequest: middle(perRequest),
      corePerRequest: own.some(({ coreMicroseconds }) => coreMicroseconds === null)
        ? null
        : middle(({ coreMicroseconds, requests }) => coreMicroseconds! / requests),
      perSecond: middle(({ requests, seconds }) => requests / seconds),
      p50: middle(({ p50 }) => p50),
      p99: middle(({ p99 }) => p99),
      rss: middle(({ memory }) => memory.rss),
      busy: middle(({ proxyMicroseconds, seconds }) => proxyMicroseconds / (seconds * 1e6)),
      ratio: ratioOf(own, reference, perRequest),
      p99Ratio: ratioOf(own, nginx, ({ p99 }) => p99),
      errors: own.reduce((sum, { socketErrors, badResponses }) => sum + socketErrors + badResponses, 0),
    };
  });
}

/** Generators that measure no time say 0: there is no ratio then. */
function ratioOf(
  own: readonly Sample[],
  others: ReadonlyMap<number, Sample>,
  value: (sample: Sample) => number,
): Ratio | null {
  const ratios = own.flatMap((sample) => {
    const other = others.get(sample.round);
    return other === undefined || value(other) === 0 ? [] : [value(sample) / value(other)];
  });
  if (ratios.length === 0) return null;
  return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
}

export function perRequest({ proxyMicroseconds, requests }: Pick<Sample, "proxyMicroseconds" | "requests">): number {
  return proxyMicroseconds / requests;
}

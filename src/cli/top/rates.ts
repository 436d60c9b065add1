/** From two looks at a running Lintel to what happened between them. */
import type { z } from "zod";
import type { clientRate, stats, status } from "../../admin/schemas.ts";
import type { EndpointAnswer, UpstreamAnswer } from "../endpoint-table.ts";

export type ClientAnswer = z.output<typeof clientRate>;
type Stats = z.output<typeof stats>;
type Counts = Readonly<Record<string, number>>;

/** One look. */
export interface Sample {
  readonly status: z.output<typeof status>;
  readonly stats: Stats;
  readonly upstreams: readonly UpstreamAnswer[];
  /** Rates already. A text: why they cannot be seen. */
  readonly clients: readonly ClientAnswer[] | string;
}

/** Per second, of one thing. */
export interface Rate {
  readonly name: string;
  readonly requests: number;
  /** Of these, 5xx; for upstreams and endpoints also attempts that failed. */
  readonly errors: number;
  /** Milliseconds, each an upper bound; null: nothing was measured. */
  readonly p50: number | null;
  readonly p99: number | null;
}

export interface EndpointRate extends Rate {
  readonly inFlight: number;
  readonly condition: EndpointAnswer["condition"];
}

export interface UpstreamRate extends Rate {
  readonly inFlight: number;
  readonly endpoints: readonly EndpointRate[];
}

export interface RouteRate extends Rate {
  readonly octetsOut: number;
}

export interface Rates {
  readonly requests: number;
  readonly errors: number;
  readonly octetsIn: number;
  readonly octetsOut: number;
  readonly accepted: number;
  /** Open right now. */
  readonly connections: number;
  /** Cores that the processes used. */
  readonly cores: number;
  readonly residentOctets: number;
  readonly upstreams: readonly UpstreamRate[];
  readonly routes: readonly RouteRate[];
}

export function ratesOf(before: Sample, after: Sample): Rates {
  const seconds = Math.max(0.001, (Date.parse(after.stats.at) - Date.parse(before.stats.at)) / 1000);
  const between = new Between(before.stats, after.stats, seconds);
  const routes = between.routes();
  const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
  return {
    requests: sum(routes.map(({ requests }) => requests)),
    errors: sum(routes.map(({ errors }) => errors)),
    octetsIn: sum(routes.map(({ octetsIn }) => octetsIn)),
    octetsOut: sum(routes.map(({ octetsOut }) => octetsOut)),
    accepted: between.total((read) => sum(read.listeners.map(({ accepted }) => accepted))),
    connections: sum(after.stats.listeners.map(({ active }) => active)),
    cores: between.total((read) => sum(read.processes.map(({ cpuSeconds }) => cpuSeconds))),
    residentOctets: sum(after.stats.processes.map(({ residentOctets }) => residentOctets)),
    upstreams: between.upstreams(after.upstreams),
    routes,
  };
}

class Between {
  readonly #before: Stats;
  readonly #after: Stats;
  readonly #seconds: number;

  constructor(before: Stats, after: Stats, seconds: number) {
    this.#before = before;
    this.#after = after;
    this.#seconds = seconds;
  }

  total(read: (stats: Stats) => number): number {
    return this.#rate(read(this.#before), read(this.#after));
  }

  routes(): (RouteRate & { readonly octetsIn: number })[] {
    const key = ({ site, route }: { site: string; route: string }) => `${site}\0${route}`;
    const before = new Map(this.#before.routes.map((one) => [key(one), one]));
    return this.#after.routes.map((now) => {
      const then = before.get(key(now));
      return {
        name: now.route === "" ? "(no route)" : `${now.site} ${now.route}`,
        requests: this.#rate(added(then?.responses), added(now.responses)),
        errors: this.#rate(then?.responses["5xx"], now.responses["5xx"]),
        octetsIn: this.#rate(then?.requestOctets, now.requestOctets),
        octetsOut: this.#rate(then?.responseOctets, now.responseOctets),
        ...this.#quantiles(then?.durations.counts, now.durations.counts),
      };
    });
  }

  /** @param views of all that are there now */
  upstreams(views: readonly UpstreamAnswer[]): UpstreamRate[] {
    return views.map(({ name, endpoints }) => {
      const then = this.#before.upstreams.find(({ upstream }) => upstream === name);
      const now = this.#after.upstreams.find(({ upstream }) => upstream === name);
      const rows = endpoints.map((view) => this.#endpoint(view, then?.endpoints, now?.endpoints));
      const failed = this.#rate(added(then?.failures), added(now?.failures));
      return {
        name,
        requests: rows.reduce((sum, { requests }) => sum + requests, 0),
        errors: rows.reduce((sum, { errors }) => sum + errors, failed),
        inFlight: rows.reduce((sum, { inFlight }) => sum + inFlight, 0),
        ...this.#quantiles(then?.durations.counts, now?.durations.counts),
        endpoints: rows,
      };
    });
  }

  #endpoint(
    { address, inFlight, condition }: EndpointAnswer,
    before: Stats["upstreams"][number]["endpoints"] = [],
    after: Stats["upstreams"][number]["endpoints"] = [],
  ): EndpointRate {
    const then = before.find(({ endpoint }) => endpoint === address);
    const now = after.find(({ endpoint }) => endpoint === address);
    return {
      name: address,
      inFlight,
      condition,
      requests: this.#rate(added(then?.responses), added(now?.responses)),
      errors: this.#rate(then?.responses["5xx"], now?.responses["5xx"]),
      ...this.#quantiles(then?.durations.counts, now?.durations.counts),
    };
  }

  /** A counter that is lower than before began anew: with an upgrade, say. */
  #rate(before = 0, after = 0): number {
    return (after >= before ? after - before : after) / this.#seconds;
  }

  #quantiles(before: readonly number[] = [], after: readonly number[] = []): Pick<Rate, "p50" | "p99"> {
    const counts = after.map((count, i) => Math.max(0, count - (before[i] ?? 0)));
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (total === 0) return { p50: null, p99: null };
    const at = (share: number) => {
      let seen = 0;
      const bucket = counts.findIndex((count) => (seen += count) >= share * total);
      const bounds = this.#after.bucketsMs;
      return bounds[Math.min(bucket, bounds.length - 1)]!;
    };
    return { p50: at(0.5), p99: at(0.99) };
  }
}

const added = (counts: Counts = {}): number => Object.values(counts).reduce((sum, count) => sum + count, 0);

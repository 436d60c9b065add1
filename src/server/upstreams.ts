/**
 * The upstreams of a worker, over all its generations: a reload that leaves an upstream as it is
 * leaves its connections, balancers and queue alone too, and one that changes it keeps the
 * connections to the endpoints that stay.
 */
import type { Log } from "../base/log.ts";
import type { GatewayConfig, UpstreamConfig } from "../config/gateway-config.ts";
import { Slices } from "../net/slices.ts";
import type { Zone } from "../state/zone.ts";
import type { GatewayMetrics } from "../telemetry/metrics.ts";
import { NO_MATERIAL, type TlsMaterial } from "../tls/tls-material.ts";
import { balancers } from "../upstream/balancers/index.ts";
import { Circuit } from "../upstream/circuit.ts";
import { Endpoint } from "../upstream/endpoint.ts";
import type { EndpointObserver, EndpointSettings } from "../upstream/endpoint-settings.ts";
import type { EndpointSet, PlacedEndpoint } from "../upstream/endpoint-spec.ts";
import { EndpointState } from "../upstream/endpoint-state.ts";
import { PassiveHealth } from "../upstream/health/passive.ts";
import { Queue } from "../upstream/queue.ts";
import { Resolver } from "../upstream/resolver.ts";
import { RetryBudget } from "../upstream/retry-budget.ts";
import { Sticky } from "../upstream/sticky.ts";
import { Upstream, type UpstreamSettings } from "../upstream/upstream.ts";
import { type ConnectionPlan, connectionPlan, endpointSettings } from "./connection-plan.ts";
import { hostPolicyOf } from "./upstream-names.ts";

export interface UpstreamsOptions {
  readonly zone: Zone;
  /** Of this worker. */
  readonly slot: number;
  /** Workers that share what is limited over all of them. */
  readonly workers: number;
  readonly log: Log;
}

/** An upstream with what it was made of. */
interface Entry {
  readonly config: UpstreamConfig;
  plan: ConnectionPlan;
  endpointSettings: EndpointSettings;
  readonly upstream: Upstream;
  endpoints: ReadonlyMap<string, Endpoint>;
}

/** Upstreams of a config that is not in force yet. */
export interface PreparedUpstreams {
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** Puts them in force; those of the config before that are not among them close. */
  commit(): void;
  /** Forgets them. */
  abort(): void;
}

export class Upstreams {
  readonly #options: UpstreamsOptions;
  readonly #resolver: Resolver;
  #entries = new Map<string, Entry>();
  #config: GatewayConfig | null = null;
  #metrics: GatewayMetrics | null = null;
  /** Latest change of each upstream: an earlier one that is still looking up names is overtaken. */
  readonly #changes = new Map<string, EndpointSet>();

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    this.#resolver = new Resolver(options.log);
  }

  /**
   * Builds what a config says beside what is in force. Names of new endpoints are looked up before it settles.
   * @throws {Error} if what an upstream's TLS needs is missing or broken
   */
  async prepare(
    config: GatewayConfig,
    sets: readonly EndpointSet[],
    metrics: GatewayMetrics,
    material: TlsMaterial = NO_MATERIAL,
  ): Promise<PreparedUpstreams> {
    const before = this.#entries;
    const byName = new Map(sets.map((set) => [set.upstream, set]));
    const entries = new Map<string, Entry>();
    const members = new Map<Entry, readonly Endpoint[]>();
    const made: Endpoint[] = [];
    const slices = new Slices();
    for (const upstream of config.upstreams) {
      const set = byName.get(upstream.name);
      if (set === undefined) throw new Error(`upstream ${upstream.name}: the supervisor sent no endpoints`);
      const kept = before.get(upstream.name);
      const entry = this.#entry(config, upstream, set, material, kept);
      const reusable = kept?.endpointSettings === entry.endpointSettings;
      const endpoints: Endpoint[] = [];
      for (const placed of set.endpoints) {
        if (slices.isOver) await slices.next();
        metrics.addEndpoint(upstream.name, placed.address, placed.cells);
        const existing = reusable ? kept!.endpoints.get(placed.address) : undefined;
        const endpoint = existing ?? this.#endpoint(upstream.name, placed, entry.endpointSettings, metrics);
        if (existing === undefined) made.push(endpoint);
        endpoints.push(endpoint);
      }
      entries.set(upstream.name, entry);
      members.set(entry, endpoints);
    }
    await Promise.all(made.map((endpoint) => this.#resolver.follow(endpoint)));
    return {
      upstreams: new Map([...entries].map(([name, { upstream }]) => [name, upstream])),
      commit: () => {
        this.#config = config;
        this.#metrics = metrics;
        this.#entries = entries;
        this.#changes.clear();
        for (const [name, entry] of entries) this.#fill(entry, byName.get(name)!, members.get(entry)!);
        this.#closeUnused(before);
      },
      abort: () => {
        for (const endpoint of made) this.#close(endpoint);
      },
    };
  }

  /** The endpoints of an upstream in force have changed. */
  async change(set: EndpointSet): Promise<void> {
    const entry = this.#entries.get(set.upstream);
    const metrics = this.#metrics;
    if (entry === undefined || metrics === null) return;
    this.#changes.set(set.upstream, set);
    const made: Endpoint[] = [];
    const settings = entry.endpointSettings;
    const endpoints = set.endpoints.map((placed) => {
      const known = entry.endpoints.get(placed.address);
      if (known !== undefined) return known;
      metrics.addEndpoint(set.upstream, placed.address, placed.cells);
      const endpoint = this.#endpoint(set.upstream, placed, settings, metrics);
      made.push(endpoint);
      return endpoint;
    });
    await Promise.all(made.map((endpoint) => this.#resolver.follow(endpoint)));
    const overtaken = this.#changes.get(set.upstream) !== set || this.#entries.get(set.upstream) !== entry;
    if (overtaken) {
      for (const endpoint of made) this.#close(endpoint);
      return;
    }
    // Certificates may have been renewed meanwhile: `useMaterial` did not know of these endpoints yet.
    if (entry.endpointSettings !== settings) for (const endpoint of made) endpoint.renew(entry.endpointSettings);
    const before = entry.endpoints;
    this.#fill(entry, set, endpoints);
    for (const [address, endpoint] of before) {
      if (entry.endpoints.has(address)) continue;
      this.#close(endpoint);
      metrics.removeEndpoint(set.upstream, address);
    }
  }

  /** CAs, certificates or keys of upstreams may have changed: connections are made with the new ones from now on. */
  useMaterial(material: TlsMaterial): void {
    const config = this.#config;
    if (config === null) return;
    for (const [name, entry] of this.#entries) {
      const plan = connectionPlan(config, entry.config, material);
      if (Bun.deepEquals(plan, entry.plan)) continue;
      try {
        entry.endpointSettings = endpointSettings(plan);
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown.message : String(thrown);
        this.#options.log.error("TLS of an upstream stays as it was", { upstream: name, error });
        continue;
      }
      entry.plan = plan;
      for (const endpoint of entry.endpoints.values()) endpoint.renew(entry.endpointSettings);
    }
  }

  close(): void {
    this.#resolver.stop();
    for (const { upstream } of this.#entries.values()) upstream.close();
  }

  #fill(entry: Entry, set: EndpointSet, endpoints: readonly Endpoint[]): void {
    endpoints.forEach((endpoint, i) => {
      endpoint.spec = set.endpoints[i]!;
    });
    entry.endpoints = new Map(endpoints.map((endpoint) => [endpoint.address, endpoint]));
    entry.upstream.update(endpoints);
  }

  #closeUnused(before: ReadonlyMap<string, Entry>): void {
    const used = new Set([...this.#entries.values()].flatMap(({ endpoints }) => [...endpoints.values()]));
    for (const { endpoints } of before.values()) {
      for (const endpoint of endpoints.values()) if (!used.has(endpoint)) this.#close(endpoint);
    }
  }

  #close(endpoint: Endpoint): void {
    this.#resolver.forget(endpoint);
    endpoint.close();
  }

  /** The one before, if nothing but its endpoints and what the supervisor does about them has changed. */
  #entry(
    config: GatewayConfig,
    upstream: UpstreamConfig,
    set: EndpointSet,
    material: TlsMaterial,
    before: Entry | undefined,
  ): Entry {
    const plan = connectionPlan(config, upstream, material);
    const settings = settingsOf(config, upstream);
    const connectsAsBefore = before !== undefined && Bun.deepEquals(before.plan, plan);
    if (
      connectsAsBefore &&
      Bun.deepEquals(ownPart(before.config), ownPart(upstream)) &&
      Bun.deepEquals(before.upstream.settings, settings)
    ) {
      return { ...before, config: upstream };
    }
    return {
      config: upstream,
      plan,
      endpointSettings: connectsAsBefore ? before.endpointSettings : settingsFor(upstream.name, plan),
      upstream: new Upstream(settings, this.#parts(upstream, set)),
      endpoints: new Map(),
    };
  }

  #parts(config: UpstreamConfig, set: EndpointSet) {
    const { zone, slot, workers, log } = this.#options;
    const { sticky, queue, circuit, health, retry, balance } = config;
    const balancer = balancers.find(({ name }) => name === balance.name)!;
    const named = log.with({ upstream: config.name });
    return {
      createBalancer: () => balancer.create(balance.options, slot),
      sticky: sticky === null ? null : new Sticky(sticky),
      passive:
        health.passive === null
          ? null
          : new PassiveHealth(health.passive, {
              slowStartMs: config.slowStart,
              log: named,
              onEjected: ({ address }) => this.#metrics?.endpoint(config.name, address)?.ejections.add(1),
            }),
      circuit: circuit === null ? null : new Circuit(circuit, zone, set.cells, named),
      queue: queue.size > 0 ? new Queue(queue, workers) : null,
      budget: new RetryBudget(retry.budget, retry.budgetFloor),
    };
  }

  #endpoint(upstream: string, placed: PlacedEndpoint, settings: EndpointSettings, metrics: GatewayMetrics): Endpoint {
    const state = new EndpointState(this.#options.zone, placed.cells, this.#options.slot);
    const counted = metrics.endpoint(upstream, placed.address)!;
    return new Endpoint(placed, state, settings, this.#observe(upstream, placed.address, counted));
  }

  #observe(upstream: string, address: string, counted: ReturnType<GatewayMetrics["addEndpoint"]>): EndpointObserver {
    const { log } = this.#options;
    return {
      connectionOpened() {
        counted.opened.add(1);
        counted.active.up();
      },
      connectionClosed(idle) {
        (idle ? counted.idle : counted.active).down();
      },
      becameIdle() {
        counted.active.down();
        counted.idle.up();
      },
      becameActive() {
        counted.idle.down();
        counted.active.up();
      },
      fault(thrown) {
        log.error("a fault in an exchange", {
          upstream,
          endpoint: address,
          error: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
        });
      },
    };
  }
}

/** What an `Upstream` is made from; endpoints come by themselves, and checks are the supervisor's. */
function ownPart({ endpoints: _, discover: __, health: { check: ___, ...health }, ...own }: UpstreamConfig): unknown {
  return { ...own, health };
}

/** @throws {Error} that says which upstream it is */
function settingsFor(upstream: string, plan: ConnectionPlan): EndpointSettings {
  try {
    return endpointSettings(plan);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new Error(`tls of upstream ${upstream}: ${reason}`, { cause: thrown });
  }
}

function settingsOf(config: GatewayConfig, upstream: UpstreamConfig): UpstreamSettings {
  const { name, timeouts, health } = upstream;
  return {
    name,
    host: hostPolicyOf(upstream),
    connectMs: timeouts.connect,
    firstOctetMs: timeouts.firstOctet,
    idleMs: timeouts.idle,
    locality: config.locality,
    whenAllDown: health.whenAllDown,
  };
}

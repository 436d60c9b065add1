/**
 * The endpoints of all upstreams, in the supervisor. Every change takes one path, whoever makes it
 * (the config, a provider, an operator): the set of its upstream is gathered anew, gets its places in
 * the zone, and goes to the workers whole.
 */
import type { Log } from "../base/log.ts";
import type { GatewayConfig, UpstreamConfig } from "../config/gateway-config.ts";
import type { Allocation } from "../state/placement.ts";
import type { Zone } from "../state/zone.ts";
import type { GatewayMetrics } from "../telemetry/metrics.ts";
import type { EndpointSettings } from "../upstream/endpoint-settings.ts";
import type { EndpointSet, EndpointSpec } from "../upstream/endpoint-spec.ts";
import { type Duty, NO_OVERRIDE, type Override } from "./endpoint-merge.ts";
import { placeUpstream } from "./endpoint-places.ts";
import { type EndpointView, viewEndpoint } from "./endpoint-view.ts";
import { type KnownEndpoint, type RunningProvider, startProvider, UpstreamEntry } from "./upstream-entry.ts";

export interface DirectoryOptions {
  readonly zone: Zone;
  readonly allocation: Allocation;
  /** The supervisor's own slot. */
  readonly slot: number;
  readonly log: Log;
  /** See `EntryScope`; absent: all are plain. */
  connections?(upstream: string): EndpointSettings | null;
  /** Tells the workers. */
  send(set: EndpointSet): void;
  /** Overrides that persist have changed. */
  save(overrides: SavedOverrides): void;
  /** What was saved last. */
  readonly saved: SavedOverrides;
}

/** By upstream and address. */
export type SavedOverrides = Readonly<Record<string, Readonly<Record<string, Override>>>>;

export interface UpstreamView {
  readonly name: string;
  readonly balance: string;
  /** Exchanges may be bound to an endpoint: one that drains gets those still. */
  readonly sticky: boolean;
  readonly endpoints: readonly EndpointView[];
}

/** Upstreams of a config that is not in force yet. */
export interface PreparedDirectory {
  readonly sets: readonly EndpointSet[];
  commit(): void;
  abort(): void;
}

/** An operator asked for something that cannot be. */
export class DirectoryError extends Error {
  constructor(
    readonly kind: "unknown-upstream" | "unknown-endpoint" | "endpoint-exists",
    message: string,
  ) {
    super(message);
  }
}

/** Providers get this long for their first word before a config is served without it. */
const FIRST_WORD_MS = 3000;
const MAX_TIMER_MS = 2 ** 31 - 1;

export class UpstreamDirectory {
  readonly #options: DirectoryOptions;
  #entries = new Map<string, UpstreamEntry>();
  #metrics: GatewayMetrics | null = null;
  readonly #overrides = new Map<string, Map<string, Override>>();
  readonly #drainTimers = new Map<string, Timer>();

  constructor(options: DirectoryOptions) {
    this.#options = options;
    for (const [upstream, overrides] of Object.entries(options.saved)) {
      this.#overrides.set(upstream, new Map(Object.entries(overrides)));
    }
  }

  /**
   * Finds out the endpoints of a config beside those in force.
   * @throws {ZoneFull} if they do not fit
   */
  async prepare(config: GatewayConfig, directory: string, metrics: GatewayMetrics): Promise<PreparedDirectory> {
    const started: RunningProvider[] = [];
    const entries = config.upstreams.map((upstream) => this.#entry(upstream, directory, started));
    await firstWords(started, this.#options.log);
    for (const entry of entries) this.#inherit(entry);
    try {
      const gathered = new Map(entries.map((entry) => [entry, this.#gather(entry)]));
      return {
        sets: entries.map((entry) => entry.toSet(gathered.get(entry)!)),
        commit: () => this.#commit(entries, gathered, metrics),
        abort: () => this.#abort(started, gathered),
      };
    } catch (thrown) {
      for (const { provider } of started) provider.stop();
      throw thrown;
    }
  }

  views(): UpstreamView[] {
    return [...this.#entries.values()].map((entry) => this.#view(entry));
  }

  /** @throws {DirectoryError} */
  view(upstream: string): UpstreamView {
    return this.#view(this.#find(upstream));
  }

  /**
   * @param persist keep what operators said of this endpoint over restarts; null: as before, at first not
   * @throws {DirectoryError} if it is there already
   */
  add(upstream: string, spec: EndpointSpec, persist: boolean | null): void {
    if (this.#find(upstream).endpoints.has(spec.address)) {
      throw new DirectoryError("endpoint-exists", `upstream ${upstream} has an endpoint ${spec.address} already`);
    }
    this.#override(upstream, spec.address, { ...NO_OVERRIDE, added: spec }, persist);
  }

  /** Takes it out, also if its provider names it again. @throws {DirectoryError} */
  remove(upstream: string, address: string, persist: boolean | null): void {
    const { source } = this.#endpoint(upstream, address);
    if (source === "operator") this.#override(upstream, address, null);
    else this.#override(upstream, address, { ...NO_OVERRIDE, removed: true }, persist);
  }

  /** Forgets what operators said of it; one that was taken out is there again. @throws {DirectoryError} */
  restore(upstream: string, address: string): void {
    this.#find(upstream);
    this.#override(upstream, address, null);
  }

  /** @param weight 0 to 1000; null: as its provider says. @throws {DirectoryError} */
  weigh(upstream: string, address: string, weight: number | null, persist: boolean | null): void {
    this.#endpoint(upstream, address);
    this.#override(upstream, address, { ...this.#overrideOf(upstream, address), weight }, persist);
  }

  /**
   * `draining`: finishes what it has and what is bound to it. `disabled`: nothing reaches it.
   * @param deadlineMs of `draining`, after which bound exchanges go elsewhere too; Infinity: never
   * @throws {DirectoryError}
   */
  setDuty(upstream: string, address: string, duty: Duty, deadlineMs: number, persist: boolean | null): void {
    this.#endpoint(upstream, address);
    const drainUntil = duty === "draining" && deadlineMs !== Infinity ? Date.now() + deadlineMs : null;
    this.#override(upstream, address, { ...this.#overrideOf(upstream, address), duty, drainUntil }, persist);
    this.#options.log.info(`endpoint ${duty}`, { upstream, endpoint: address });
  }

  /** What a worker that has died was doing. */
  clearSlot(slot: number): void {
    for (const entry of this.#entries.values()) {
      for (const { state } of entry.endpoints.values()) state.clearSlot(slot);
    }
  }

  /** The present sets, for a worker that starts. */
  sets(): EndpointSet[] {
    return [...this.#entries.values()].map((entry) => entry.toSet([...entry.endpoints.values()]));
  }

  /** All that operators said, also what does not persist. */
  overrides(): SavedOverrides {
    return Object.fromEntries([...this.#overrides].map(([name, overrides]) => [name, Object.fromEntries(overrides)]));
  }

  stop(): void {
    for (const timer of this.#drainTimers.values()) clearTimeout(timer);
    for (const entry of this.#entries.values()) {
      entry.checker?.stop();
      for (const { provider } of entry.providers) provider.stop();
    }
  }

  #entry(upstream: UpstreamConfig, directory: string, started: RunningProvider[]): UpstreamEntry {
    const { zone, allocation, slot, log, connections } = this.#options;
    const before = this.#entries.get(upstream.name);
    const running = upstream.discover.map((options) => {
      const same = before?.providers.find((one) => Bun.deepEquals(one.options, options));
      if (same !== undefined) return same;
      const made = startProvider(options, upstream.name, directory, log);
      started.push(made);
      return made;
    });
    return new UpstreamEntry(upstream, placeUpstream(allocation, upstream.name), running, {
      zone,
      allocation,
      slot,
      log,
      connections: (name) => connections?.(name) ?? null,
    });
  }

  /** A provider with other options that cannot say anything yet (its server is down) goes on with what it said before. */
  #inherit({ config, providers }: UpstreamEntry): void {
    const before = this.#entries.get(config.name)?.providers.filter((one) => !providers.includes(one)) ?? [];
    for (const running of providers) {
      running.endpoints ??= before.find(({ options }) => options.name === running.options.name)?.endpoints ?? null;
    }
  }

  #gather(entry: UpstreamEntry): KnownEndpoint[] {
    const { name } = entry.config;
    return entry.gather(this.#overridesOf(name), this.#entries.get(name)?.endpoints ?? new Map());
  }

  #commit(
    entries: readonly UpstreamEntry[],
    gathered: ReadonlyMap<UpstreamEntry, readonly KnownEndpoint[]>,
    metrics: GatewayMetrics,
  ): void {
    const before = this.#entries;
    const isFirst = this.#metrics === null;
    this.#entries = new Map(entries.map((entry) => [entry.config.name, entry]));
    this.#metrics = metrics;
    for (const entry of entries) {
      const { name } = entry.config;
      const old = before.get(name);
      entry.use(gathered.get(entry)!, this.#overridesOf(name), old?.endpoints ?? new Map(), !isFirst);
      entry.startChecks(old);
      for (const running of entry.providers) running.onChange = () => this.#refresh(name);
      for (const known of entry.endpoints.values()) this.#show(name, known);
      for (const address of old?.endpoints.keys() ?? []) if (!entry.endpoints.has(address)) entry.release(address);
      this.#watchDrains(name);
    }
    const used = new Set(entries.flatMap(({ providers }) => providers));
    for (const [name, old] of before) {
      for (const running of old.providers) if (!used.has(running)) running.provider.stop();
      if (this.#entries.has(name)) continue;
      old.stopChecks();
      for (const address of old.endpoints.keys()) old.release(address);
    }
    // Something may have changed since the sets were gathered.
    for (const { config } of entries) this.#refresh(config.name);
  }

  #abort(started: readonly RunningProvider[], gathered: ReadonlyMap<UpstreamEntry, readonly KnownEndpoint[]>): void {
    for (const { provider } of started) provider.stop();
    for (const [entry, endpoints] of gathered) {
      const inForce = this.#entries.get(entry.config.name)?.endpoints;
      for (const { spec } of endpoints) if (!inForce?.has(spec.address)) entry.release(spec.address);
    }
  }

  /** Gathers the set of an upstream again, and tells the workers if it is another one. */
  #refresh(upstream: string): void {
    const entry = this.#entries.get(upstream);
    if (entry === undefined) return;
    const before = entry.endpoints;
    const overrides = this.#overridesOf(upstream);
    let gathered: KnownEndpoint[];
    try {
      gathered = entry.gather(overrides, before);
    } catch (thrown) {
      this.#options.log.error("endpoints stay as they are", { upstream, reason: (thrown as Error).message });
      return;
    }
    const isSame = Bun.deepEquals(entry.toSet(gathered), entry.toSet([...before.values()]));
    entry.use(gathered, overrides, before, true);
    if (isSame) return;
    for (const known of gathered) if (!before.has(known.spec.address)) this.#show(upstream, known);
    for (const address of before.keys()) {
      if (entry.endpoints.has(address)) continue;
      this.#metrics?.removeEndpoint(upstream, address);
      entry.release(address);
    }
    this.#options.send(entry.toSet(gathered));
    this.#options.log.info("endpoints changed", { upstream, endpoints: gathered.length });
  }

  /** Metrics of an endpoint. */
  #show(upstream: string, { spec, cells, state }: KnownEndpoint): void {
    const { registry } = this.#metrics!;
    const { labels } = this.#metrics!.addEndpoint(upstream, spec.address, cells);
    registry.reading("lintel_upstream_endpoint_up", "1 while the endpoint gets new exchanges.", labels, () =>
      state.status === 0 ? 1 : 0,
    );
    registry.reading("lintel_upstream_in_flight", "Exchanges at the endpoint.", labels, () => state.inFlight);
  }

  #view(entry: UpstreamEntry): UpstreamView {
    const { name, balance, sticky } = entry.config;
    const overrides = this.#overridesOf(name);
    return {
      name,
      balance: balance.name,
      sticky: sticky !== null,
      endpoints: [...entry.endpoints.values()].map((known) =>
        viewEndpoint(known, entry, overrides.get(known.spec.address) ?? NO_OVERRIDE, this.#options.zone),
      ),
    };
  }

  /** @param persist null: as before, at first not */
  #override(upstream: string, address: string, said: Override | null, persist: boolean | null = null): void {
    const overrides = this.#overrides.get(upstream) ?? new Map<string, Override>();
    const before = overrides.get(address)?.persist ?? false;
    const override = said === null ? null : { ...said, persist: persist ?? before };
    const persisted = override?.persist || before;
    if (override === null || Bun.deepEquals({ ...override, persist: false }, NO_OVERRIDE)) overrides.delete(address);
    else overrides.set(address, override);
    this.#overrides.set(upstream, overrides);
    this.#refresh(upstream);
    this.#watchDrains(upstream);
    if (persisted) this.#options.save(this.#persistent());
  }

  #persistent(): SavedOverrides {
    const saved: Record<string, Record<string, Override>> = {};
    for (const [upstream, overrides] of this.#overrides) {
      for (const [address, override] of overrides) {
        if (override.persist) saved[upstream] = { ...saved[upstream], [address]: override };
      }
    }
    return saved;
  }

  /** When the time of a draining endpoint is over, its status changes by itself. */
  #watchDrains(upstream: string): void {
    clearTimeout(this.#drainTimers.get(upstream));
    this.#drainTimers.delete(upstream);
    const ends = [...this.#overridesOf(upstream).values()].flatMap(({ duty, drainUntil }) =>
      duty === "draining" && drainUntil !== null && drainUntil > Date.now() ? [drainUntil] : [],
    );
    if (ends.length === 0) return;
    const timer = setTimeout(
      () => {
        this.#refresh(upstream);
        this.#watchDrains(upstream);
      },
      Math.min(Math.max(1, Math.min(...ends) - Date.now() + 1), MAX_TIMER_MS),
    );
    timer.unref();
    this.#drainTimers.set(upstream, timer);
  }

  #overridesOf(upstream: string): ReadonlyMap<string, Override> {
    return this.#overrides.get(upstream) ?? NONE;
  }

  #overrideOf(upstream: string, address: string): Override {
    return this.#overridesOf(upstream).get(address) ?? NO_OVERRIDE;
  }

  #find(upstream: string): UpstreamEntry {
    const entry = this.#entries.get(upstream);
    if (entry !== undefined) return entry;
    const names = [...this.#entries.keys()].join(", ");
    throw new DirectoryError(
      "unknown-upstream",
      `there is no upstream ${JSON.stringify(upstream)}; there are ${names}`,
    );
  }

  #endpoint(upstream: string, address: string): KnownEndpoint {
    const { endpoints } = this.#find(upstream);
    const known = endpoints.get(address);
    if (known !== undefined) return known;
    const addresses = [...endpoints.keys()].slice(0, 20).join(", ");
    throw new DirectoryError(
      "unknown-endpoint",
      `upstream ${upstream} has no endpoint ${JSON.stringify(address)}; it has ${addresses || "none"}`,
    );
  }
}

const NONE: ReadonlyMap<string, Override> = new Map();

type Timer = ReturnType<typeof setTimeout>;

/** Waits until every provider has said something, or the time is over. */
async function firstWords(started: readonly RunningProvider[], log: Log): Promise<void> {
  let timer: Timer | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FIRST_WORD_MS);
  });
  const words = started.map(
    (running) =>
      new Promise<void>((resolve) => {
        running.onChange = resolve;
        if (running.endpoints !== null) resolve();
      }),
  );
  await Promise.race([Promise.all(words), timeUp]);
  clearTimeout(timer);
  for (const { options, endpoints } of started) {
    if (endpoints === null)
      log.warn("a provider has not said anything yet: serving without it", { provider: options.name });
  }
}

/** One upstream as the supervisor sees it: its providers, what operators said, its checks, and the set that results. */
import type { Log } from "../base/log.ts";
import type { CheckConfig, NamedOptions, UpstreamConfig } from "../config/gateway-config.ts";
import { machineTime } from "../net/machine-clock.ts";
import type { Allocation } from "../state/placement.ts";
import type { Zone } from "../state/zone.ts";
import { providers } from "../upstream/discovery/index.ts";
import type { Provider } from "../upstream/discovery/provider.ts";
import type { EndpointSettings } from "../upstream/endpoint-settings.ts";
import type { EndpointCells, EndpointSet, EndpointSpec } from "../upstream/endpoint-spec.ts";
import { EndpointState, Status } from "../upstream/endpoint-state.ts";
import { HealthChecker } from "../upstream/health/checker.ts";
import { checks } from "../upstream/health/checks/index.ts";
import { type EndpointSource, mergeEndpoints, NO_OVERRIDE, type Override } from "./endpoint-merge.ts";
import { endpointKey, endpointSizes, placeEndpoint } from "./endpoint-places.ts";
import { checkNamesOf } from "./upstream-names.ts";

/** A provider at work. Shared by two configs while one replaces the other. */
export interface RunningProvider {
  readonly options: NamedOptions;
  readonly provider: Provider;
  /** null: it has not said anything yet. */
  endpoints: readonly EndpointSpec[] | null;
  /** Called at each word; whoever has it in force sets it. */
  onChange: () => void;
}

/** An endpoint with its place in the zone. */
export interface KnownEndpoint {
  readonly spec: EndpointSpec;
  readonly source: EndpointSource;
  readonly cells: EndpointCells;
  readonly state: EndpointState;
}

export interface EntryScope {
  readonly zone: Zone;
  readonly allocation: Allocation;
  /** The supervisor's own. */
  readonly slot: number;
  readonly log: Log;
  /** How connections to the endpoints of this upstream of the config in force are made now; null: plain HTTP/1.1. */
  connections(upstream: string): EndpointSettings | null;
}

export function startProvider(options: NamedOptions, upstream: string, directory: string, log: Log): RunningProvider {
  const definition = providers.find(({ name }) => name === options.name)!;
  const provider = definition.create(options.options, {
    log: log.with({ upstream, provider: options.name }),
    directory,
    upstream,
  });
  const running: RunningProvider = { options, provider, endpoints: null, onChange: () => {} };
  provider.start((endpoints) => {
    running.endpoints = endpoints;
    running.onChange();
  });
  return running;
}

export class UpstreamEntry {
  readonly config: UpstreamConfig;
  readonly cells: EndpointSet["cells"];
  readonly providers: readonly RunningProvider[];
  readonly #scope: EntryScope;
  #endpoints = new Map<string, KnownEndpoint>();
  #checker: HealthChecker | null = null;

  constructor(
    config: UpstreamConfig,
    cells: EndpointSet["cells"],
    running: readonly RunningProvider[],
    scope: EntryScope,
  ) {
    this.config = config;
    this.cells = cells;
    this.providers = running;
    this.#scope = scope;
  }

  get endpoints(): ReadonlyMap<string, KnownEndpoint> {
    return this.#endpoints;
  }

  get checker(): HealthChecker | null {
    return this.#checker;
  }

  /**
   * The endpoints as they should be now, each with a place.
   * @param before those in force, under this config or the one before
   * @throws {ZoneFull}
   */
  gather(overrides: ReadonlyMap<string, Override>, before: ReadonlyMap<string, KnownEndpoint>): KnownEndpoint[] {
    const { zone, allocation, slot } = this.#scope;
    const { name } = this.config;
    const provided = this.providers.map(({ options, endpoints }) => [options.name, endpoints] as const);
    return mergeEndpoints(this.config, provided, overrides).map(({ spec, source }) => {
      const known = before.get(spec.address);
      if (known !== undefined) return { ...known, spec, source };
      const cells = placeEndpoint(allocation, name, spec.address, zone.slots);
      return { spec, source, cells, state: new EndpointState(zone, cells, slot) };
    });
  }

  /**
   * Puts gathered endpoints in force.
   * @param arrivals those that were not there before start slowly
   */
  use(
    gathered: readonly KnownEndpoint[],
    overrides: ReadonlyMap<string, Override>,
    before: ReadonlyMap<string, KnownEndpoint>,
    arrivals: boolean,
  ): void {
    for (const { spec, state } of gathered) {
      if (!before.has(spec.address)) {
        state.reset();
        if (arrivals && this.config.slowStart > 0) state.rampSince = machineTime();
      }
      applyDuty(state, overrides.get(spec.address) ?? NO_OVERRIDE, this.config.slowStart);
    }
    this.#endpoints = new Map(gathered.map((known) => [known.spec.address, known]));
    this.#checker?.update(gathered.map(({ spec, state }) => ({ address: spec.address, state })));
  }

  /** Takes over the checks of the entry before if they are the same, else begins its own. */
  startChecks(before: UpstreamEntry | undefined): void {
    const { check } = this.config.health;
    if (before !== undefined && Bun.deepEquals(whatIsAsked(before.config), whatIsAsked(this.config))) {
      this.#checker = before.#checker;
      before.#checker = null;
    } else if (check !== null) {
      before?.stopChecks();
      this.#checker = createChecker(check, this.config, this.#scope);
    }
    const targets = [...this.#endpoints.values()].map(({ spec: { address }, state }) => {
      // A reload that adds or changes checks takes no endpoint out that has traffic.
      return { address, state, inUse: before?.endpoints.has(address) ?? false };
    });
    this.#checker?.update(targets);
  }

  /** Verdicts of checks that are not made any more are void. */
  stopChecks(): void {
    if (this.#checker === null) return;
    this.#checker.stop();
    this.#checker = null;
    for (const { state } of this.#endpoints.values()) {
      state.unmark(Status.down);
      state.unmark(Status.unchecked);
    }
  }

  /** Gives the place of an endpoint back. */
  release(address: string): void {
    const { allocation, zone } = this.#scope;
    const key = endpointKey(this.config.name, address);
    const sizes = endpointSizes(zone.slots);
    for (const area of ["shared", "times", "totals", "levels"] as const) allocation.free(area, key, sizes[area]);
  }

  toSet(gathered: readonly KnownEndpoint[]): EndpointSet {
    return {
      upstream: this.config.name,
      cells: this.cells,
      endpoints: gathered.map(({ spec, cells }) => ({ ...spec, cells })),
    };
  }
}

/** While that is the same, what is known of the endpoints is. */
const whatIsAsked = (upstream: UpstreamConfig): unknown => [upstream.health.check, checkNamesOf(upstream)];

function createChecker(config: CheckConfig, upstream: UpstreamConfig, { log, connections }: EntryScope): HealthChecker {
  const check = checks.find(({ name }) => name === config.kind.name)!.create(config.kind.options);
  return new HealthChecker({
    config,
    check,
    names: checkNamesOf(upstream),
    slowStartMs: upstream.slowStart,
    connections: () => connections(upstream.name),
    log: log.with({ upstream: upstream.name }),
  });
}

/** The status bits that operators decide. */
function applyDuty(state: EndpointState, { duty, drainUntil }: Override, slowStartMs: number): void {
  const over = drainUntil !== null && Date.now() >= drainUntil;
  const disabled = duty === "disabled" || (duty === "draining" && over);
  const draining = duty === "draining" && !over;
  const was = state.status & (Status.disabled | Status.draining);
  if (disabled) state.mark(Status.disabled);
  else state.unmark(Status.disabled);
  if (draining) state.mark(Status.draining);
  else state.unmark(Status.draining);
  if (was !== 0 && duty === "enabled" && slowStartMs > 0) state.rampSince = machineTime();
}

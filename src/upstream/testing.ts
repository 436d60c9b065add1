/** For tests of upstreams and what sends to them: endpoints without an address, and counts of what they told telemetry. */
import { machineNow } from "../net/machine-clock.ts";
import type { Http1ClientSettings } from "../protocol/http1/client.ts";
import { Endpoint } from "./endpoint.ts";
import type { EndpointObserver, EndpointSettings } from "./endpoint-settings.ts";
import { EndpointState, privateMemory, type StateMemory, sharedCells, TIME_CELLS } from "./endpoint-state.ts";

const HTTP1: Http1ClientSettings = {
  head: { requestLineOctets: 8192, fieldLineOctets: 16_384, fieldSectionOctets: 65_536, fieldCount: 200 },
  content: { trailerOctets: 8192, chunkExtensionOctets: 1024 },
};

/** Connections as telemetry's gauges would show them. */
export class Tally implements EndpointObserver {
  opened = 0;
  closed = 0;
  active = 0;
  idle = 0;
  readonly faults: unknown[] = [];

  connectionOpened(): void {
    this.opened++;
    this.active++;
  }

  connectionClosed(idle: boolean): void {
    this.closed++;
    if (idle) this.idle--;
    else this.active--;
  }

  becameIdle(): void {
    this.active--;
    this.idle++;
  }

  becameActive(): void {
    this.idle--;
    this.active++;
  }

  fault(thrown: unknown): void {
    this.faults.push(thrown);
  }
}

export interface EndpointFacts extends Partial<Pick<EndpointSettings, "http2" | "tls" | "proxyProtocol">> {
  readonly weight?: number;
  readonly backup?: boolean;
  readonly priority?: number;
  readonly locality?: string | null;
  readonly maxInFlight?: number;
  /** Exchanges that are on it already. */
  readonly inFlight?: number;
  /** Bits of `Status`; 0: usable. */
  readonly status?: number;
  readonly latencyMs?: number;
  /** Its shared state; else memory of its own. */
  readonly state?: EndpointState;
  readonly slowStartMs?: number;
  readonly maxIdle?: number;
  readonly idleTimeMs?: number;
  readonly sockaddrs?: readonly Uint8Array[];
  readonly tally?: Tally;
}

export function endpoint(address: string, facts: EndpointFacts = {}): Endpoint {
  const { weight = 1, backup = false, priority = 0, locality = null, maxInFlight = Infinity } = facts;
  const { maxIdle = 64, idleTimeMs = 60_000, slowStartMs = 0, tally = new Tally() } = facts;
  const spec = { address, weight, backup, priority, locality, maxInFlight };
  const state = facts.state ?? stateIn(privateMemory());
  const { http2 = null, tls = null, proxyProtocol = null } = facts;
  const settings = { maxIdle, idleTimeMs, slowStartMs, http1: HTTP1, http2, tls, proxyProtocol };
  const made = new Endpoint(spec, state, settings, tally);
  for (let i = 0; i < (facts.inFlight ?? 0); i++) state.begin();
  if (facts.status !== undefined) state.mark(facts.status);
  if (facts.latencyMs !== undefined) state.observeLatency(facts.latencyMs, machineNow());
  made.sockaddrs = facts.sockaddrs ?? [];
  return made;
}

/**
 * The state of the endpoint with this number in some memory, as a worker sees it: two states of one
 * number and different slots are one endpoint in two workers.
 */
export function stateIn(memory: StateMemory, index = 0, slot = 0): EndpointState {
  const cells = { shared: index * sharedCells(memory.slots), times: index * TIME_CELLS };
  return new EndpointState(memory, cells, slot);
}

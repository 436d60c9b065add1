/** For tests of upstreams and what sends to them: endpoints without an address, and counts of what they told telemetry. */
import type { Http1ClientSettings } from "../protocol/http1/client.ts";
import { Endpoint, type EndpointObserver } from "./endpoint.ts";

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

export interface EndpointFacts {
  readonly weight?: number;
  readonly inFlight?: number;
  readonly health?: Endpoint["health"];
  readonly maxIdle?: number;
  readonly idleTimeMs?: number;
  readonly sockaddrs?: readonly Uint8Array[];
  readonly tally?: Tally;
}

export function endpoint(address: string, facts: EndpointFacts = {}): Endpoint {
  const { weight = 1, maxIdle = 64, idleTimeMs = 60_000, tally = new Tally() } = facts;
  const made = new Endpoint({ address, weight, maxIdle, idleTimeMs, http1: HTTP1 }, tally);
  made.inFlight = facts.inFlight ?? 0;
  made.health = facts.health ?? "up";
  made.sockaddrs = facts.sockaddrs ?? [];
  return made;
}

/** A named set of endpoints with a balancer: where exchanges of a route go. */
import type { Exchange } from "../http/exchange.ts";
import type { Balancer } from "./balancers/balancer.ts";
import type { Endpoint } from "./endpoint.ts";

/** Host sent to the origin server: the client's, the endpoint's own, or a fixed one. */
export type HostPolicy =
  | { readonly kind: "keep" }
  | { readonly kind: "endpoint" }
  | { readonly kind: "fixed"; readonly value: string };

export interface UpstreamSettings {
  readonly name: string;
  readonly host: HostPolicy;
  /** Further endpoints tried after the first. */
  readonly retries: number;
  readonly connectMs: number;
  readonly firstOctetMs: number;
  readonly idleMs: number;
}

export class Upstream {
  readonly settings: UpstreamSettings;
  readonly endpoints: readonly Endpoint[];
  readonly #balancer: Balancer;

  constructor(settings: UpstreamSettings, endpoints: readonly Endpoint[], balancer: Balancer) {
    this.settings = settings;
    this.endpoints = endpoints;
    this.#balancer = balancer;
    balancer.update(endpoints);
  }

  get name(): string {
    return this.settings.name;
  }

  /** The next endpoint for an exchange; null if all usable ones were tried. */
  pick(exchange: Exchange, tried: readonly Endpoint[] | null): Endpoint | null {
    if (tried === null) return this.#balancer.pick(exchange, isUp);
    return this.#balancer.pick(exchange, (endpoint) => endpoint.health === "up" && !tried.includes(endpoint));
  }

  close(): void {
    for (const endpoint of this.endpoints) endpoint.close();
  }
}

const isUp = (endpoint: Endpoint): boolean => endpoint.health === "up";

/**
 * A named set of endpoints: where exchanges of a route go. It chooses, counts what is in flight, and
 * learns from how attempts end.
 *
 * Endpoints stand in tiers (priority, then nearness, backups last); a tier is used only while no
 * tier before it has a usable endpoint. Each has a balancer of its own.
 */
import type { Failure } from "../base/failure.ts";
import type { Exchange } from "../http/exchange.ts";
import type { HttpResponse } from "../http/message.ts";
import { machineNow } from "../net/machine-clock.ts";
import type { Balancer } from "./balancers/balancer.ts";
import type { Circuit } from "./circuit.ts";
import type { Endpoint } from "./endpoint.ts";
import { Status } from "./endpoint-state.ts";
import type { PassiveHealth } from "./health/passive.ts";
import type { Queue, QueueWaiter } from "./queue.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { Sticky } from "./sticky.ts";
import { tiersOf } from "./tiers.ts";

/** Host sent to the origin server: the client's, the endpoint's own, or a fixed one. */
export type HostPolicy =
  | { readonly kind: "keep" }
  | { readonly kind: "endpoint" }
  | { readonly kind: "fixed"; readonly value: string };

export interface UpstreamSettings {
  readonly name: string;
  readonly host: HostPolicy;
  readonly connectMs: number;
  readonly firstOctetMs: number;
  readonly idleMs: number;
  /** Where this gateway stands; null: nowhere in particular. */
  readonly locality: string | null;
  readonly whenAllDown: "try-all" | "fail";
}

/** What an upstream is made of. */
export interface UpstreamParts {
  createBalancer(): Balancer;
  readonly sticky: Sticky | null;
  readonly passive: PassiveHealth | null;
  readonly circuit: Circuit | null;
  readonly queue: Queue | null;
  readonly budget: RetryBudget;
}

interface Tier {
  readonly key: string;
  readonly balancer: Balancer;
}

export class Upstream {
  settings: UpstreamSettings;
  readonly #parts: UpstreamParts;
  #endpoints: readonly Endpoint[] = [];
  #tiers: readonly Tier[] = [];
  /** Endpoints this pick may not use; null: none. Kept here so that a pick makes no closure. */
  #tried: readonly Endpoint[] | null = null;
  /** The last pick passed over an endpoint only because it was full. */
  #sawFull = false;
  /** The last pick passed over an endpoint only because it was tried. */
  #sawTried = false;
  /** Marks that keep exchanges away. An ejection that nobody would end is none. */
  readonly #barring: number;

  constructor(settings: UpstreamSettings, parts: UpstreamParts) {
    this.settings = settings;
    this.#parts = parts;
    this.#barring = parts.passive === null ? ~Status.ejected : ~0;
  }

  get name(): string {
    return this.settings.name;
  }

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  get circuit(): Circuit | null {
    return this.#parts.circuit;
  }

  get budget(): RetryBudget {
    return this.#parts.budget;
  }

  /** A new set, or new weights. Endpoints that are not in it any more are the caller's to close. */
  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    const { sticky, passive, createBalancer } = this.#parts;
    const before = new Map(this.#tiers.map(({ key, balancer }) => [key, balancer]));
    this.#tiers = tiersOf(endpoints, this.settings.locality).map(([key, members]) => {
      const balancer = before.get(key) ?? createBalancer();
      balancer.update(members);
      return { key, balancer };
    });
    sticky?.update(endpoints);
    passive?.update(endpoints);
    this.#parts.queue?.wake();
  }

  /**
   * The next endpoint for an exchange, with one exchange counted on it: `release` gives it back.
   * @param tried not these
   * @returns null if none is usable; `isFull` then says whether waiting may help
   */
  pick(exchange: Exchange, tried: readonly Endpoint[] | null): Endpoint | null {
    const { queue, sticky } = this.#parts;
    // Those who wait come first. If the first of them cannot use the room there is, this one may.
    queue?.wake();
    this.#tried = tried;
    const bound = sticky?.find(exchange) ?? null;
    if (bound !== null && this.#takesBound(bound) && this.#begin(bound)) return bound;
    this.#sawFull = false;
    this.#sawTried = false;
    for (let i = 0; i < this.#tiers.length; i++) {
      const endpoint = this.#pickFrom(this.#tiers[i]!.balancer, exchange, this.#isUsable);
      if (endpoint !== null) return endpoint;
      // Full is not down: the next tier is for when this one cannot work, not for its peaks.
      if (this.#sawFull && queue !== null) return null;
    }
    // All are down only if there is none that this exchange could have used.
    if (this.#sawFull || this.#sawTried || this.settings.whenAllDown === "fail") return null;
    for (let i = 0; i < this.#tiers.length; i++) {
      const endpoint = this.#pickFrom(this.#tiers[i]!.balancer, exchange, this.#isPossible);
      if (endpoint !== null) return endpoint;
    }
    return null;
  }

  /** After a pick that gave null: an endpoint is well but has no room. */
  get isFull(): boolean {
    return this.#sawFull;
  }

  /**
   * Waits for room on an endpoint.
   * @returns what calls it off, or null if the queue is full, or there is none
   */
  wait(waiter: QueueWaiter): { cancel(): void } | null {
    return this.#parts.queue?.add(waiter) ?? null;
  }

  /** An exchange that was picked an endpoint is done with it. */
  release(endpoint: Endpoint): void {
    endpoint.state.end();
    this.#parts.queue?.wake();
  }

  /** An attempt has its response head. */
  answered(endpoint: Endpoint, status: number, latencyMs: number): void {
    endpoint.state.observeLatency(latencyMs, machineNow());
    this.#parts.passive?.answered(endpoint, status, latencyMs);
  }

  /**
   * An attempt has failed. Not for what the client or we ended.
   * @param afterHead its response head was `answered`, and the content was cut
   * @param ageMs since the attempt began
   */
  failed(endpoint: Endpoint, failure: Failure, afterHead: boolean, ageMs: number): void {
    this.#parts.passive?.failed(endpoint, failure, afterHead, ageMs);
  }

  /** Lets the client come back to the endpoint that answered. */
  bind(exchange: Exchange, response: HttpResponse, endpoint: Endpoint): void {
    this.#parts.sticky?.bind(exchange, response, endpoint);
  }

  close(): void {
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  #pickFrom(balancer: Balancer, exchange: Exchange, usable: (endpoint: Endpoint) => boolean): Endpoint | null {
    for (;;) {
      const endpoint = balancer.pick(exchange, usable);
      // The room seen was taken by another worker meanwhile: it is seen as full now, so this ends.
      if (endpoint === null || this.#begin(endpoint)) return endpoint;
    }
  }

  #begin(endpoint: Endpoint): boolean {
    const { maxInFlight } = endpoint.spec;
    if (maxInFlight !== Infinity) return endpoint.state.tryBegin(maxInFlight);
    endpoint.state.begin();
    return true;
  }

  readonly #isUsable = (endpoint: Endpoint): boolean => {
    const status = endpoint.state.status & this.#barring;
    if (status !== 0 && !this.#isBack(endpoint, status)) return false;
    return endpoint.weight > 0 && this.#isOpen(endpoint);
  };

  /** Only ejected, and that is over. */
  #isBack(endpoint: Endpoint, status: number): boolean {
    return status === Status.ejected && this.#parts.passive!.readmit(endpoint);
  }

  /** When all are down: whatever nobody has switched off. */
  readonly #isPossible = (endpoint: Endpoint): boolean =>
    (endpoint.state.status & (Status.disabled | Status.draining)) === 0 &&
    endpoint.weight > 0 &&
    this.#isOpen(endpoint);

  /** A bound exchange reaches an endpoint that is drained, or has weight 0. */
  #takesBound(endpoint: Endpoint): boolean {
    const status = endpoint.state.status & this.#barring & ~Status.draining;
    return (status === 0 || this.#isBack(endpoint, status)) && this.#isOpen(endpoint);
  }

  #isOpen(endpoint: Endpoint): boolean {
    if (this.#tried?.includes(endpoint)) {
      this.#sawTried = true;
      return false;
    }
    const { maxInFlight } = endpoint.spec;
    if (maxInFlight === Infinity || endpoint.state.inFlight < maxInFlight) return true;
    this.#sawFull = true;
    return false;
  }
}
